#include "tess-nifti.h"
