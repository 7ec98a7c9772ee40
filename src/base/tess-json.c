#include "tess-json.h"
