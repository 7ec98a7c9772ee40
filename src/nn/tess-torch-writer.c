/* State dicts as PyTorch's zip files: the smallest pickle that says them, and the storages beside it. */

#include "tess-torch-file.h"
#include "tess-zip.h"

#include <string.h>

#define ORDERED_DICT "ccollections\nOrderedDict\n)R"

typedef struct {
  char *name;
  guint n_dims;
  gint64 dim[TESS_TORCH_MAX_DIMS];
  const void *data;
  gsize n;       /* elements */
  guint storage; /* number of the member */
} Tensor;

struct _TessTorchWriter {
  GArray *tensors;
  GHashTable *names; /* name -> index + 1 */
  guint n_storages;
};

static void
tensor_clear (gpointer tensor)
{
  g_free (((Tensor *)tensor)->name);
}

TessTorchWriter *
tess_torch_writer_new (void)
{
  TessTorchWriter *writer = g_new0 (TessTorchWriter, 1);

  writer->tensors = g_array_new (FALSE, TRUE, sizeof (Tensor));
  g_array_set_clear_func (writer->tensors, tensor_clear);
  writer->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return writer;
}

void
tess_torch_writer_free (TessTorchWriter *writer)
{
  if (!writer)
    return;
  g_array_unref (writer->tensors);
  g_hash_table_unref (writer->names);
  g_free (writer);
}

static void
append (TessTorchWriter *writer, const Tensor *tensor)
{
  g_array_append_vals (writer->tensors, tensor, 1);
  g_hash_table_insert (writer->names, g_strdup (tensor->name), GUINT_TO_POINTER (writer->tensors->len));
}

/**
 * tess_torch_writer_add:
 * @name: UTF-8, each name once
 * @dim: slowest axis first, at most TESS_TORCH_MAX_DIMS
 * @data: float32 in C order, borrowed until tess_torch_writer_save() has returned
 */
void
tess_torch_writer_add (TessTorchWriter *writer, const char *name, guint n_dims, const gint64 *dim, const void *data)
{
  Tensor tensor = {.n_dims = n_dims, .data = data, .n = 1};

  g_return_if_fail (n_dims <= TESS_TORCH_MAX_DIMS && !g_hash_table_contains (writer->names, name));
  for (guint i = 0; i < n_dims; i++) {
    g_return_if_fail (dim[i] >= 0 && g_size_checked_mul (&tensor.n, tensor.n, (gsize)dim[i]));
    tensor.dim[i] = dim[i];
  }
  g_return_if_fail (tensor.n <= G_MAXINT64 / sizeof (float));
  tensor.name = g_strdup (name);
  tensor.storage = writer->n_storages++;
  append (writer, &tensor);
}

void
tess_torch_writer_alias (TessTorchWriter *writer, const char *name, const char *of)
{
  guint i = GPOINTER_TO_UINT (g_hash_table_lookup (writer->names, of));
  Tensor tensor;

  g_return_if_fail (i > 0 && !g_hash_table_contains (writer->names, name));
  tensor = g_array_index (writer->tensors, Tensor, i - 1);
  tensor.name = g_strdup (name);
  append (writer, &tensor);
}

static void
put (GByteArray *out, const char *text)
{
  g_byte_array_append (out, (const guint8 *)text, (guint)strlen (text));
}

static void
put_little_endian (GByteArray *out, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint8 byte = (guint8)(value >> (8 * i));

    g_byte_array_append (out, &byte, 1);
  }
}

static void
put_text (GByteArray *out, const char *text)
{
  put (out, "X"); /* BINUNICODE */
  put_little_endian (out, strlen (text), 4);
  put (out, text);
}

static void
put_int (GByteArray *out, gsize value)
{
  if (value <= G_MAXINT32) {
    put (out, "J"); /* BININT */
    put_little_endian (out, value, 4);
  } else {
    put (out, "\x8a\x08"); /* LONG1 of 8 bytes */
    put_little_endian (out, value, 8);
  }
}

/* _rebuild_tensor_v2 (storage, offset, size, stride, requires_grad, backward_hooks) */
static void
put_tensor (GByteArray *out, const Tensor *tensor)
{
  g_autofree char *key = g_strdup_printf ("%u", tensor->storage);
  gsize stride[TESS_TORCH_MAX_DIMS];

  for (gsize i = tensor->n_dims, n = 1; i-- > 0; n *= (gsize)MAX (tensor->dim[i], 1))
    stride[i] = n;
  put (out, "ctorch._utils\n_rebuild_tensor_v2\n((");
  put_text (out, "storage");
  put (out, "ctorch\nFloatStorage\n");
  put_text (out, key);
  put_text (out, "cpu");
  put_int (out, tensor->n);
  put (out, "tQ"); /* TUPLE, BINPERSID */
  put_int (out, 0);
  put (out, "(");
  for (guint i = 0; i < tensor->n_dims; i++)
    put_int (out, (gsize)tensor->dim[i]);
  put (out, "t(");
  for (guint i = 0; i < tensor->n_dims; i++)
    put_int (out, stride[i]);
  put (out, "t\x89" ORDERED_DICT "tR"); /* NEWFALSE, TUPLE, REDUCE */
}

static GByteArray *
make_pickle (TessTorchWriter *writer)
{
  GByteArray *out = g_byte_array_new ();

  put (out, "\x80\x02" ORDERED_DICT "(");
  for (guint i = 0; i < writer->tensors->len; i++) {
    const Tensor *tensor = &g_array_index (writer->tensors, Tensor, i);

    put_text (out, tensor->name);
    put_tensor (out, tensor);
  }
  put (out, "u."); /* SETITEMS, STOP */
  return out;
}

static gboolean
put_member (TessZipWriter *zip, const char *name, const void *data, gsize n, GError **error)
{
  g_autofree char *member = g_strconcat ("archive/", name, NULL);
  TessAtomicFile *file = tess_zip_writer_begin (zip, member, FALSE, error);

  return file && (n == 0 || tess_atomic_file_write (file, data, n, error)) && tess_zip_writer_end (zip, error);
}

/**
 * tess_torch_writer_save:
 *
 * Writes an OrderedDict of tensors that `torch.load (FILE, weights_only=True)` reads. Equal contents make equal files.
 *
 * Returns: FALSE with IO; the old file is then untouched.
 */
gboolean
tess_torch_writer_save (TessTorchWriter *writer, const char *path, GError **error)
{
  g_autoptr (TessZipWriter) zip = tess_zip_writer_new (path, error);
  g_autoptr (GByteArray) pickle = make_pickle (writer);
  guint next = 0;

  G_STATIC_ASSERT (G_BYTE_ORDER == G_LITTLE_ENDIAN);
  if (!zip || !put_member (zip, "data.pkl", pickle->data, pickle->len, error) ||
      !put_member (zip, "byteorder", "little", 6, error))
    return FALSE;
  for (guint i = 0; i < writer->tensors->len; i++) {
    const Tensor *tensor = &g_array_index (writer->tensors, Tensor, i);
    g_autofree char *name = g_strdup_printf ("data/%u", tensor->storage);

    if (tensor->storage != next) /* another name of one that is written */
      continue;
    next++;
    if (!put_member (zip, name, tensor->data, tensor->n * sizeof (float), error))
      return FALSE;
  }
  return put_member (zip, "version", "3\n", 2, error) && tess_zip_writer_commit (zip, error);
}
