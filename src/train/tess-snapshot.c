#include "tess-snapshot.h"
