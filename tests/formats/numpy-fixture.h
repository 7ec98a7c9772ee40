#pragma once

#include "../remove-tree.h"
#include "tess-format-registry.h"
#include "tess-json.h"

/* A folder for files of a test, and what the reference scripts wrote. */
char     *numpy_fixture_folder (void);
char     *numpy_fixture_put    (const char *folder, const char *name, const void *data, gsize n); /* its path */
char     *numpy_fixture_put_base64 (const char *folder, const char *name, const char *base64);
JsonNode *numpy_fixture_reference (const char *name);
/* Loading fails with that code, in one sentence about this file that says what to do. */
void      numpy_fixture_assert_refused (const char *location, const char *path, int code, const char *says);
gboolean  numpy_fixture_warned (TessVolume *volume, const char *part); /* some warning has this in it */
