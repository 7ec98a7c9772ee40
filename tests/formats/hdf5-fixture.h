#pragma once

#include "tess-format-registry.h"
#include "tess-json.h"

/* The files of tests/reference/hdf5.json. */
JsonNode *hdf5_fixture_reference (void);
guint8   *hdf5_fixture_file      (JsonObject *file, gsize *n); /* its bytes */
char     *hdf5_fixture_put       (const char *folder, JsonObject *file); /* its path */
gboolean  hdf5_fixture_have_codec (void); /* else why not is told */
