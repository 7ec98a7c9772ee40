#include "tess-predictor.h"
