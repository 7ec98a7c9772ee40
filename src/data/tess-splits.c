#include "tess-splits.h"
