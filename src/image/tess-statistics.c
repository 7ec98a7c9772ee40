#include "tess-statistics.h"
