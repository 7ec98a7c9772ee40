#pragma once

#include "tess-network.h"

/* What networks of one kind have in common in tests: for the braces of a TessNetworkSpec. */
#define SPEC_UNET .leaky_slope = 0.01, .norm_eps = 1e-5
#define SPEC_INGRADIENT .architecture = TESS_NETWORK_INGRADIENT, .leaky_slope = 0.01, .norm_eps = 1e-5
#define SPEC_SE_RESIDUAL .architecture = TESS_NETWORK_SE_RESIDUAL, .leaky_slope = 0.3, .norm_eps = 1e-3
