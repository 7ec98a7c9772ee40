#pragma once

#include "tess-dtype.h"
#include "tess-error.h"

G_BEGIN_DECLS

/* The safetensors container: 8 bytes little-endian header length, JSON header, tensor bytes. */
typedef struct _TessSafetensors TessSafetensors;

typedef struct {
  const char *name;
  TessDType   dtype;
  guint       n_dims;
  const gint64 *dim;
  const void *data; /* inside the mapped file; little-endian, at any alignment: copy, do not cast */
  gsize       bytes;
} TessSafetensor;

TessSafetensors      *tess_safetensors_open     (const char *path, GError **error); /* memory-mapped; header fully checked */
void                  tess_safetensors_free     (TessSafetensors *file);
guint                 tess_safetensors_n        (TessSafetensors *file);
const TessSafetensor *tess_safetensors_nth      (TessSafetensors *file, guint i);
const TessSafetensor *tess_safetensors_find     (TessSafetensors *file, const char *name); /* NULL when absent */
const char           *tess_safetensors_metadata (TessSafetensors *file, const char *key);  /* NULL when absent */
const char           *tess_safetensors_path     (TessSafetensors *file);

typedef struct _TessSafetensorsWriter TessSafetensorsWriter;

TessSafetensorsWriter *tess_safetensors_writer_new      (void);
void                   tess_safetensors_writer_free     (TessSafetensorsWriter *writer);
void                   tess_safetensors_writer_metadata (TessSafetensorsWriter *writer, const char *key, const char *value);
/* data is borrowed until save. */
void                   tess_safetensors_writer_add      (TessSafetensorsWriter *writer, const char *name, TessDType dtype,
                                                         guint n_dims, const gint64 *dim, const void *data);
gboolean               tess_safetensors_writer_save     (TessSafetensorsWriter *writer, const char *path, GError **error); /* atomic */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSafetensors, tess_safetensors_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSafetensorsWriter, tess_safetensors_writer_free)

G_END_DECLS
