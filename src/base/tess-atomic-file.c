#include "tess-atomic-file.h"
