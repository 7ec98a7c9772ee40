#include "tess-error.h"
