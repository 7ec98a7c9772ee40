/* Tensors of PyTorch's files: from the pickle's call to a checked place in a storage, and their numbers from there. */

#include "tess-torch-private.h"

#include <string.h>

const char *const tess_torch_globals[] = {
    TESS_PICKLE_PLAIN_GLOBALS,
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.FloatStorage",
    "torch.DoubleStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.Size",
    "torch.device",
    "torch.float32",
    "torch.float64",
    "torch.float16",
    "torch.bfloat16",
    "torch.int64",
    "torch.int32",
    "torch.int16",
    "torch.int8",
    "torch.uint8",
    "torch.bool",
    /* NumPy's scalars and arrays, in the logs and arguments of checkpoints */
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    NULL,
};

static const struct {
  const char *global;
  TessDType dtype;
} storages[] = {
    {"torch.FloatStorage", TESS_DTYPE_F32}, {"torch.DoubleStorage", TESS_DTYPE_F64},
    {"torch.HalfStorage", TESS_DTYPE_F16},  {"torch.BFloat16Storage", TESS_DTYPE_BF16},
    {"torch.LongStorage", TESS_DTYPE_I64},  {"torch.IntStorage", TESS_DTYPE_I32},
    {"torch.ShortStorage", TESS_DTYPE_I16}, {"torch.CharStorage", TESS_DTYPE_I8},
    {"torch.ByteStorage", TESS_DTYPE_U8},   {"torch.BoolStorage", TESS_DTYPE_U8},
};

typedef struct {
  guint8 *data;
  gsize n;
} Storage;

void
tess_torch_storage_free (gpointer storage)
{
  g_free (((Storage *)storage)->data);
  g_free (storage);
}

/* ('storage', torch.FloatStorage, '12', 'cuda:0', 864): kind, type, key, device, elements */
static gboolean
parse_storage (const TessPickleValue *id, TessDType *dtype, char **key, gsize *n)
{
  const char *type = tess_pickle_global (tess_pickle_nth (id, 1));
  const guint8 *text;
  gsize n_text;
  gint64 elements;

  text = tess_pickle_bytes (tess_pickle_nth (id, 2), &n_text);
  if (!tess_pickle_is_text (tess_pickle_nth (id, 0), "storage") || tess_pickle_n (id) != 5 || !type || !text ||
      n_text == 0 || n_text > 100 || memchr (text, '\0', n_text) ||
      !tess_pickle_int (tess_pickle_nth (id, 4), &elements) || elements < 0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (storages); i++)
    if (strcmp (type, storages[i].global) == 0) {
      *dtype = storages[i].dtype;
      *n = (gsize)elements;
      if (key)
        *key = g_strndup ((const char *)text, n_text);
      return TRUE;
    }
  return FALSE;
}

gboolean
tess_torch_known_storage (const TessPickleValue *id, gpointer path, GError **error)
{
  g_autofree char *name = NULL;
  TessDType dtype;
  gsize n;

  if (parse_storage (id, &dtype, NULL, &n))
    return TRUE;
  name = g_filename_display_name (path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: its pickle refers to something outside that is no tensor's storage; it is damaged, or another "
                  "program's"),
               name);
  return FALSE;
}

/* A parameter of a module saved by itself holds its tensor. */
static const TessPickleValue *
unwrap (const TessPickleValue *value)
{
  if (g_strcmp0 (tess_pickle_global (value), "torch._utils._rebuild_parameter") == 0)
    return tess_pickle_nth (tess_pickle_args (value), 0);
  return value;
}

gboolean
tess_torch_is_tensor (const TessPickleValue *value)
{
  const TessPickleValue *tensor = unwrap (value);

  return tensor && tess_pickle_args (tensor) &&
         g_strcmp0 (tess_pickle_global (tensor), "torch._utils._rebuild_tensor_v2") == 0;
}

static gboolean
damaged (TessTorchFile *file, const char *name, GError **error)
{
  g_autofree char *path = g_filename_display_name (file->path);

  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: the tensor \"%s\" does not fit its storage in the file; it is damaged, copy it again"), path,
               name);
  return FALSE;
}

/* The last element lies within the storage, and all of them are no more than it holds: a tensor that repeats elements
 * (expand) could ask for any memory. */
static gboolean
check_extent (const TessTorchTensor *t, gsize n_storage, gsize *n)
{
  gsize last = (gsize)t->offset;

  *n = 1;
  for (guint i = 0; i < t->n_dims; i++)
    if (!g_size_checked_mul (n, *n, (gsize)t->dim[i]))
      return FALSE;
  if (*n == 0)
    return TRUE;
  for (guint i = 0; i < t->n_dims; i++) {
    gsize span;

    if (!g_size_checked_mul (&span, (gsize)(t->dim[i] - 1), (gsize)t->stride[i]) ||
        !g_size_checked_add (&last, last, span))
      return FALSE;
  }
  return last < n_storage && *n <= n_storage;
}

gboolean
tess_torch_tensor_parse (TessTorchFile *file, const char *name, const TessPickleValue *value, TessTorchTensor *tensor,
                         GError **error)
{
  const TessPickleValue *args = tess_pickle_args (unwrap (value)), *storage = tess_pickle_nth (args, 0);
  const TessPickleValue *size = tess_pickle_nth (args, 2), *stride = tess_pickle_nth (args, 3);
  g_autofree char *key = NULL;
  g_autofree char *member = NULL;
  gsize n_storage, n_bytes;

  if (!storage || tess_pickle_kind (storage) != TESS_PICKLE_PERSISTENT ||
      !parse_storage (tess_pickle_args (storage), &tensor->dtype, &key, &n_storage) || !size || !stride ||
      tess_pickle_n (size) != tess_pickle_n (stride) || !tess_pickle_int (tess_pickle_nth (args, 1), &tensor->offset) ||
      tensor->offset < 0)
    return damaged (file, name, error);
  if (tess_pickle_n (size) > TESS_TORCH_MAX_DIMS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: the tensor \"%s\" has more than %d dimensions; leave it out of the file"), file->path, name,
                 TESS_TORCH_MAX_DIMS);
    return FALSE;
  }
  tensor->n_dims = (guint)tess_pickle_n (size);
  for (guint i = 0; i < tensor->n_dims; i++)
    if (!tess_pickle_int (tess_pickle_nth (size, i), &tensor->dim[i]) || tensor->dim[i] < 0 ||
        !tess_pickle_int (tess_pickle_nth (stride, i), &tensor->stride[i]) || tensor->stride[i] < 0)
      return damaged (file, name, error);
  member = g_strconcat (file->prefix, "data/", key, NULL);
  if (!tess_zip_find (file->zip, member, &tensor->member) ||
      !g_size_checked_mul (&n_bytes, n_storage, tess_dtype_size (tensor->dtype)) ||
      tess_zip_size (file->zip, tensor->member) < n_bytes || !check_extent (tensor, n_storage, &tensor->n))
    return damaged (file, name, error);
  return TRUE;
}

/* Kept until the file is freed: nnU-Net's tensors have a storage each, other files one for many. */
static const Storage *
load_storage (TessTorchFile *file, guint member, GError **error)
{
  Storage *storage = g_hash_table_lookup (file->storages, GUINT_TO_POINTER (member + 1));
  g_autoptr (TessStream) stream = NULL;
  guint64 n = tess_zip_size (file->zip, member);

  if (storage)
    return storage;
  stream = tess_zip_open_member (file->zip, member, error);
  if (!stream)
    return NULL;
  storage = g_new0 (Storage, 1);
  storage->n = (gsize)n;
  storage->data = g_try_malloc (MAX (storage->n, 1));
  if (!storage->data) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: not enough memory to read the weights"), file->path);
  } else if (tess_stream_read_exact (stream, storage->data, storage->n, error)) {
    g_hash_table_insert (file->storages, GUINT_TO_POINTER (member + 1), storage);
    return storage;
  }
  tess_torch_storage_free (storage);
  return NULL;
}

static void
copy_element (guint8 *to, const guint8 *from, gsize size, gboolean swapped)
{
  if (!swapped)
    memcpy (to, from, size);
  else
    for (gsize i = 0; i < size; i++)
      to[i] = from[size - 1 - i];
}

static gboolean
is_dense (const TessTorchTensor *t)
{
  gint64 n = 1;

  for (guint a = t->n_dims; a-- > 0; n *= t->dim[a])
    if (t->dim[a] > 1 && t->stride[a] != n)
      return FALSE;
  return TRUE;
}

/**
 * tess_torch_file_read:
 * @n: elements that @out holds, which must be the tensor's
 *
 * A tensor's elements in its own type and in C order (last axis fastest), however they lie in the file.
 *
 * Returns: FALSE with IO, FORMAT (the storage is damaged) or NO_MEMORY.
 */
gboolean
tess_torch_file_read (TessTorchFile *file, const TessTorchTensor *tensor, void *out, gsize n, GError **error)
{
  gsize size = tess_dtype_size (tensor->dtype), at = (gsize)tensor->offset;
  gint64 index[TESS_TORCH_MAX_DIMS] = {0};
  const Storage *storage;
  guint8 *to = out;

  g_return_val_if_fail (n == tensor->n, FALSE);
  if (n == 0)
    return TRUE;
  storage = load_storage (file, tensor->member, error);
  if (!storage)
    return FALSE;
  if (!file->swapped && is_dense (tensor)) {
    memcpy (to, storage->data + at * size, n * size);
    return TRUE;
  }
  for (gsize i = 0; i < n; i++) {
    copy_element (to + i * size, storage->data + at * size, size, file->swapped);
    for (guint a = tensor->n_dims; a-- > 0;) {
      at += (gsize)tensor->stride[a];
      if (++index[a] < tensor->dim[a])
        break;
      at -= (gsize)tensor->stride[a] * (gsize)tensor->dim[a];
      index[a] = 0;
    }
  }
  return TRUE;
}

static float
to_float (const guint8 *from, TessDType dtype)
{
  union {
    guint8 u8;
    gint8 i8;
    gint16 i16;
    gint32 i32;
    gint64 i64;
    guint16 half;
    float f32;
    double f64;
  } v;

  memcpy (&v, from, tess_dtype_size (dtype));
  switch (dtype) {
  case TESS_DTYPE_F32:
    return v.f32;
  case TESS_DTYPE_F64:
    return (float)v.f64;
  case TESS_DTYPE_F16:
    return tess_f16_to_float (v.half);
  case TESS_DTYPE_BF16:
    return tess_bf16_to_float (v.half);
  case TESS_DTYPE_I64:
    return (float)v.i64;
  case TESS_DTYPE_I32:
    return (float)v.i32;
  case TESS_DTYPE_I16:
    return v.i16;
  case TESS_DTYPE_I8:
    return v.i8;
  default:
    return v.u8;
  }
}

/**
 * tess_torch_file_read_f32:
 *
 * As tess_torch_file_read(), with every type turned into float32 (numbers beyond it become infinite).
 */
gboolean
tess_torch_file_read_f32 (TessTorchFile *file, const TessTorchTensor *tensor, float *out, gsize n, GError **error)
{
  gsize size = tess_dtype_size (tensor->dtype), n_bytes;
  g_autofree guint8 *raw = NULL;

  if (tensor->dtype == TESS_DTYPE_F32)
    return tess_torch_file_read (file, tensor, out, n, error);
  raw = g_size_checked_mul (&n_bytes, n, size) ? g_try_malloc (MAX (n_bytes, 1)) : NULL;
  if (!raw) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: not enough memory to read the weights"), file->path);
    return FALSE;
  }
  if (!tess_torch_file_read (file, tensor, raw, n, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    out[i] = to_float (raw + i * size, tensor->dtype);
  return TRUE;
}
