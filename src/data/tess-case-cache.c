#include "tess-case-cache.h"
