#pragma once

/* Private to the reader of PyTorch's files. */

#include "tess-torch-file.h"
#include "tess-zip.h"

G_BEGIN_DECLS

struct _TessTorchFile {
  char *path;
  TessZip *zip;
  char *prefix; /* of all members: "archive/" */
  gboolean swapped;
  TessPickle *pickle;
  GArray *tensors;      /* TessTorchTensor; names owned by the strings below */
  GPtrArray *names;     /* char* */
  GHashTable *by_name;  /* name -> index + 1 */
  GHashTable *storages; /* member + 1 -> Storage, read so far */
};

/* What pickles of PyTorch may name, NULL-terminated, and whether an object kept outside is one of its storages. */
extern const char *const tess_torch_globals[];
gboolean tess_torch_known_storage (const TessPickleValue *id, gpointer path, GError **error);

gboolean tess_torch_is_tensor     (const TessPickleValue *value);
/* All of the tensor but its name; checked against the storage's bytes in the archive. name: for messages. */
gboolean tess_torch_tensor_parse  (TessTorchFile *file, const char *name, const TessPickleValue *value,
                                   TessTorchTensor *tensor, GError **error);
void     tess_torch_storage_free  (gpointer storage);

G_END_DECLS
