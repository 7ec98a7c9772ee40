#pragma once

/* A volume against what a reference library says of the same file. */

#include "tess-format-registry.h"
#include "tess-json.h"

/* tests/reference/NAME. */
JsonNode *check_reference (const char *name);
/* dims, channels, dtype, affine, orientation and a digest of all voxels; `what` names the case in a failure. */
void check_volume (TessVolume *volume, JsonObject *expected, const char *what);
void check_affine (const TessAffine *affine, JsonObject *expected, double tolerance, const char *what);
/* Digest of the voxels, channel after channel, little-endian. */
char *check_digest (TessVolume *volume);
/* Both hold the same numbers, in the same place but for `tolerance`. */
void check_same (TessVolume *a, TessVolume *b, double tolerance, const char *what);
/* Loading fails with `code` in one line that starts with the path and has advice; nothing is printed. */
void check_refused (const char *path, TessError code);
/* The root of the real files; NULL, and the test skipped, when it is not here. */
const char *check_shared_data (void);
