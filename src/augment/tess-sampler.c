#include "tess-sampler.h"
