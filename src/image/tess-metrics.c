#include "tess-metrics.h"
