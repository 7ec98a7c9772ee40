#include "tess-safetensors.h"
