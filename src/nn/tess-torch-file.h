#pragma once

#include "tess-dtype.h"
#include "tess-pickle.h"

G_BEGIN_DECLS

/* PyTorch's files (torch.save, since 1.6 a zip archive), read as data: nothing in them is ever run. */
typedef struct _TessTorchFile TessTorchFile;

#define TESS_TORCH_MAX_DIMS 8

typedef struct {
  const char *name;
  TessDType   dtype; /* bool: U8 */
  guint       n_dims;
  gint64      dim[TESS_TORCH_MAX_DIMS], stride[TESS_TORCH_MAX_DIMS], offset; /* elements of the storage */
  gsize       n;      /* elements */
  guint       member; /* of the archive: its storage */
} TessTorchTensor;

TessTorchFile         *tess_torch_file_open  (const char *path, GError **error); /* tensors are read when asked for */
void                   tess_torch_file_free  (TessTorchFile *file);
const char            *tess_torch_file_path  (TessTorchFile *file);
/* The state dict in its order, without the second names that nnU-Net's networks give their tensors. */
guint                  tess_torch_file_n     (TessTorchFile *file);
const TessTorchTensor *tess_torch_file_nth   (TessTorchFile *file, guint i);
const TessTorchTensor *tess_torch_file_find  (TessTorchFile *file, const char *name); /* NULL when absent */
/* What the file holds besides, of the outermost dict: "init_args", "trainer_name", ... NULL when absent. */
const TessPickleValue *tess_torch_file_value (TessTorchFile *file, const char *key);
/* Elements in C order; n is the number that out holds. One thread at a time. */
gboolean tess_torch_file_read     (TessTorchFile *file, const TessTorchTensor *tensor, void *out, gsize n, GError **error);
gboolean tess_torch_file_read_f32 (TessTorchFile *file, const TessTorchTensor *tensor, float *out, gsize n, GError **error);

/* A state dict to be written: tensors in the order they are added. */
typedef struct _TessTorchWriter TessTorchWriter;

TessTorchWriter *tess_torch_writer_new  (void);
void             tess_torch_writer_free (TessTorchWriter *writer);
/* float32, C order; data is borrowed until save. */
void             tess_torch_writer_add  (TessTorchWriter *writer, const char *name, guint n_dims, const gint64 *dim, const void *data);
/* Another name of a tensor that was added: one storage, as PyTorch has it. */
void             tess_torch_writer_alias (TessTorchWriter *writer, const char *name, const char *of);
gboolean         tess_torch_writer_save (TessTorchWriter *writer, const char *path, GError **error); /* atomic */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessTorchFile, tess_torch_file_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessTorchWriter, tess_torch_writer_free)

G_END_DECLS
