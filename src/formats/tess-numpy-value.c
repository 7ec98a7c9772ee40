/* NumPy's scalars and arrays inside a pickle, as it writes them: calls of a few functions, which are understood here
 * and never made. */

#include "tess-numpy-private.h"

#include <string.h>

#define MAX_NESTING 4

const char *const tess_numpy_globals[] = {
    TESS_PICKLE_PLAIN_GLOBALS,
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

/* Where results go: no more than n. */
typedef struct {
  double *out;
  guint n, done;
} Sink;

typedef struct {
  TessDType dtype;
  gboolean swapped;
} Type;

static gboolean
put (Sink *sink, double value)
{
  if (sink->done == sink->n)
    return FALSE;
  sink->out[sink->done++] = value;
  return TRUE;
}

/* numpy.dtype ('f8', False, True) with the state (3, '<', ...). */
static gboolean
read_type (const TessPickleValue *value, Type *type)
{
  static const struct {
    const char *name;
    TessDType dtype;
  } types[] = {
      {"b1", TESS_DTYPE_U8},  {"u1", TESS_DTYPE_U8},  {"i1", TESS_DTYPE_I8},  {"u2", TESS_DTYPE_U16},
      {"i2", TESS_DTYPE_I16}, {"u4", TESS_DTYPE_U32}, {"i4", TESS_DTYPE_I32}, {"u8", TESS_DTYPE_U64},
      {"i8", TESS_DTYPE_I64}, {"f2", TESS_DTYPE_F16}, {"f4", TESS_DTYPE_F32}, {"f8", TESS_DTYPE_F64},
  };
  const TessPickleValue *name = tess_pickle_nth (tess_pickle_args (value), 0);

  if (g_strcmp0 (tess_pickle_global (value), "numpy.dtype") != 0)
    return FALSE;
  type->swapped =
      tess_pickle_is_text (tess_pickle_nth (tess_pickle_state (value), 1), G_BYTE_ORDER == G_LITTLE_ENDIAN ? ">" : "<");
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (tess_pickle_is_text (name, types[i].name)) {
      type->dtype = types[i].dtype;
      return TRUE;
    }
  return FALSE;
}

static double
number (const guint8 *data, const Type *type)
{
  const gint64 dim[3] = {1, 1, 1};
  TessAffine identity = tess_affine_identity ();
  gsize size = tess_dtype_size (type->dtype);
  g_autoptr (TessVolume) one = tess_volume_new (type->dtype, dim, 1, &identity, NULL);

  if (!one)
    return 0;
  memcpy (tess_volume_data_mut (one), data, size);
  if (type->swapped)
    tess_voxels_swap (tess_volume_data_mut (one), size, size);
  return tess_volume_value (one, 0, 0, 0, 0);
}

/* The numbers of an array in the order they lie; Fortran's of a matrix are turned to C's. */
static gboolean
put_raw (Sink *sink, const TessPickleValue *bytes, const Type *type, const TessPickleValue *shape, gboolean fortran)
{
  gsize n_bytes, size = tess_dtype_size (type->dtype), n;
  const guint8 *data = tess_pickle_bytes (bytes, &n_bytes);
  gint64 rows = 1, columns = 1;

  if (!data || n_bytes % size != 0)
    return FALSE;
  n = n_bytes / size;
  if (tess_pickle_n (shape) > 2)
    return FALSE;
  for (guint i = 0; i < tess_pickle_n (shape); i++)
    if (!tess_pickle_int (tess_pickle_nth (shape, i), i == 0 && tess_pickle_n (shape) == 2 ? &rows : &columns))
      return FALSE;
  if (rows < 1 || columns < 1 || rows > 1000 || columns > 1000 || (gsize)(rows * columns) != n)
    return FALSE;
  for (gsize i = 0; i < n; i++) {
    gsize at = fortran ? i % (gsize)columns * (gsize)rows + i / (gsize)columns : i;

    if (!put (sink, number (data + at * size, type)))
      return FALSE;
  }
  return TRUE;
}

static gboolean
put_object (Sink *sink, const TessPickleValue *value)
{
  const char *global = tess_pickle_global (value);
  const TessPickleValue *args = tess_pickle_args (value), *state = tess_pickle_state (value);
  Type type;

  if (g_str_has_suffix (global, ".scalar")) {
    gsize n;
    const guint8 *data = tess_pickle_bytes (tess_pickle_nth (args, 1), &n);

    return read_type (tess_pickle_nth (args, 0), &type) && data && n == tess_dtype_size (type.dtype) &&
           put (sink, number (data, &type));
  }
  if (g_str_has_suffix (global, "._reconstruct")) {
    gboolean fortran = FALSE;

    return read_type (tess_pickle_nth (state, 2), &type) && tess_pickle_bool (tess_pickle_nth (state, 3), &fortran) &&
           put_raw (sink, tess_pickle_nth (state, 4), &type, tess_pickle_nth (state, 1), fortran);
  }
  if (g_str_has_suffix (global, "._frombuffer"))
    return read_type (tess_pickle_nth (args, 1), &type) &&
           put_raw (sink, tess_pickle_nth (args, 0), &type, tess_pickle_nth (args, 2),
                    tess_pickle_is_text (tess_pickle_nth (args, 3), "F"));
  return FALSE;
}

static gboolean
put_value (Sink *sink, const TessPickleValue *value, guint nesting)
{
  double plain;

  if (!value || nesting > MAX_NESTING)
    return FALSE;
  switch (tess_pickle_kind (value)) {
  case TESS_PICKLE_LIST:
  case TESS_PICKLE_TUPLE:
    if (tess_pickle_n (value) > sink->n)
      return FALSE;
    for (gsize i = 0; i < tess_pickle_n (value); i++)
      if (!put_value (sink, tess_pickle_nth (value, i), nesting + 1))
        return FALSE;
    return TRUE;
  case TESS_PICKLE_OBJECT:
    return put_object (sink, value);
  default:
    return tess_pickle_number (value, &plain) && put (sink, plain);
  }
}

gboolean
tess_numpy_value_doubles (const TessPickleValue *value, double *out, guint n)
{
  Sink sink = {out, n, 0};

  return put_value (&sink, value, 0) && sink.done == n;
}

/* The same for any number of them up to `most`. */
gboolean
tess_numpy_value_read (const TessPickleValue *value, double *out, guint most, guint *n)
{
  Sink sink = {out, most, 0};
  gboolean ok = put_value (&sink, value, 0);

  *n = sink.done;
  return ok;
}
