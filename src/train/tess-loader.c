#include "tess-trainer.h"
