#include "tess-evaluate.h"
