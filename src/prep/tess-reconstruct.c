#include "tess-reconstruct.h"
