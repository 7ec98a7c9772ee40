#include "tess-plan.h"
