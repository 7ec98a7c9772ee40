#include "tess-stream.h"
