#include "tess-patch-grid.h"
