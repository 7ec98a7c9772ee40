#include "tess-dtype.h"
