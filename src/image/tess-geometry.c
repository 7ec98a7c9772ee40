#include "tess-geometry.h"
