#include "tess-session.h"
