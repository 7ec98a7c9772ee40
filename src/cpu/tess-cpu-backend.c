#include "tess-cpu-backend.h"
