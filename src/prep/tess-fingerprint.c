#include "tess-fingerprint.h"
