#include "tess-format-registry.h"
