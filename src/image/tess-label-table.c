#include "tess-label-table.h"
