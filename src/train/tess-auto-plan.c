#include "tess-auto-plan.h"
