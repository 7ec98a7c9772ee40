#include "tess-thread.h"
