#include "tess-backend.h"
