#include "tess-network.h"
