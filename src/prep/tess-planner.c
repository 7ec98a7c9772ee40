#include "tess-planner.h"
