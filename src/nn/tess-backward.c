#include "tess-graph.h"
