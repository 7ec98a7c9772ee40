#include "tess-progress.h"
