#pragma once

#include "tess-safetensors.h"

/* The JSON header of a safetensors file, read by a parser of its own: the format is small and fixed, names must be
 * unique, and nothing may be allocated that the header's length does not justify. */

#define TESS_SAFETENSORS_MAX_HEADER 100000000u /* the limit of the format's own library */

typedef struct {
  GArray *tensors;      /* TessSafetensor; names and dims owned by the header */
  GHashTable *by_name;  /* name -> index */
  GHashTable *metadata; /* key -> value, both owned */
} TessSafetensorsHeader;

/* bytes: the whole file; the tensors point into it. path: for messages. */
TessSafetensorsHeader *tess_safetensors_header_read (const char *path, const guint8 *bytes, gsize n, GError **error);
void tess_safetensors_header_free (TessSafetensorsHeader *header);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSafetensorsHeader, tess_safetensors_header_free)
