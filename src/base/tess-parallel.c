#include "tess-parallel.h"
