#include "tess-model.h"
