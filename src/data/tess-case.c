#include "tess-case.h"
