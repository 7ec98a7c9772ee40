#include "tess-format.h"
