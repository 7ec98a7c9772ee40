#include "tess-volume.h"
