#include "tess-normalise.h"
