#include "tess-dataset.h"
