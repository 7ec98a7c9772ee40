#include "tess-volume.h"
#include "tess-available-memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct _TessVolume {
  atomic_int refs;
  TessDType dtype;
  gint64 dim[3], n_voxels, n_channels;
  gsize n_bytes;
  TessAffine affine;
  double slope, intercept;
  TessIntent intent;
  TessLabelTable *labels;
  char *source_format, *series_uid;
  GBytes *source_header;
  GPtrArray *warnings; /* NULL-terminated */
  TessVolume *owner;   /* of the voxels, when this is one channel of it */
  gint64 owner_channel;
  void *data;
  _Atomic gint64 watermark;
};

static TessVolume *
volume_alloc (TessDType dtype, const gint64 dim[3], gint64 n_channels, const TessAffine *affine)
{
  TessVolume *volume = g_new0 (TessVolume, 1);

  atomic_init (&volume->refs, 1);
  volume->dtype = dtype;
  for (int k = 0; k < 3; k++)
    volume->dim[k] = dim[k];
  volume->n_voxels = dim[0] * dim[1] * dim[2];
  volume->n_channels = n_channels;
  volume->n_bytes = (gsize)(volume->n_voxels * n_channels) * tess_dtype_size (dtype);
  volume->affine = *affine;
  volume->slope = 1.0;
  volume->warnings = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (volume->warnings, NULL);
  atomic_init (&volume->watermark, dim[2] * n_channels);
  return volume;
}

/* A scan touches its pages once, front to back: with large ones the first touch costs a fraction. Only advice. */
static void
advise_large_pages (void *data, gsize n)
{
  gsize page = (gsize)sysconf (_SC_PAGESIZE), skip = (page - (gsize)(guintptr)data % page) % page;

  if (n >= (gsize)8 << 20)
    madvise ((guint8 *)data + skip, (n - skip) / page * page, MADV_HUGEPAGE);
}

#define WORTH_A_LOOK ((gint64)256 << 20)

/* The kernel promises more memory than there is, and ends programs when it is used: ask before. */
static gboolean
is_room (gint64 n, GError **error)
{
  guint64 available = n < WORTH_A_LOOK ? 0 : tess_available_memory ("");

  if (available == 0 || (guint64)n <= available)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("a volume of %.1f GB does not fit into the %.1f GB of memory that are free; crop it or close other "
                  "programs"),
               (double)n / 1e9, (double)available / 1e9);
  return FALSE;
}

/**
 * tess_volume_new:
 * @dim: voxels along x, y and z, each at least 1
 * @affine: index -> world, mm RAS+; invertible
 *
 * Voxels are 0, scaling is 1 and 0, the watermark is at the end (everything readable): who publishes a volume while
 * loading it sets the watermark to 0 first.
 *
 * Errors: BAD_SHAPE, NO_MEMORY.
 */
TessVolume *
tess_volume_new (TessDType dtype, const gint64 dim[3], gint64 n_channels, const TessAffine *affine, GError **error)
{
  gint64 n = (gint64)tess_dtype_size (dtype);
  TessVolume *volume;
  void *data;

  g_return_val_if_fail (n > 0, NULL);
  if (dim[0] < 1 || dim[1] < 1 || dim[2] < 1 || n_channels < 1 || __builtin_mul_overflow (n, dim[0], &n) ||
      __builtin_mul_overflow (n, dim[1], &n) || __builtin_mul_overflow (n, dim[2], &n) ||
      __builtin_mul_overflow (n, n_channels, &n) || (guint64)n > G_MAXSSIZE) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("a volume of %" PRId64 " x %" PRId64 " x %" PRId64 " voxels and %" PRId64
                    " channels is impossible; check its size"),
                 dim[0], dim[1], dim[2], n_channels);
    return NULL;
  }
  if (!tess_affine_is_valid (affine)) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                         _ ("the axes of the volume do not span space; check its spacing and directions"));
    return NULL;
  }
  if (!is_room (n, error))
    return NULL;
  data = calloc ((size_t)n, 1); /* pages come into being when they are written */
  if (!data) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("a volume of %.1f GB does not fit into memory; crop it or close other programs"), (double)n / 1e9);
    return NULL;
  }
  advise_large_pages (data, (gsize)n);
  volume = volume_alloc (dtype, dim, n_channels, affine);
  volume->data = data;
  return volume;
}

TessVolume *
tess_volume_ref (TessVolume *volume)
{
  atomic_fetch_add_explicit (&volume->refs, 1, memory_order_relaxed);
  return volume;
}

void
tess_volume_unref (TessVolume *volume)
{
  if (!volume || atomic_fetch_sub_explicit (&volume->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (volume->owner)
    tess_volume_unref (volume->owner);
  else
    free (volume->data);
  g_clear_pointer (&volume->labels, tess_label_table_unref);
  g_clear_pointer (&volume->source_header, g_bytes_unref);
  g_free (volume->source_format);
  g_free (volume->series_uid);
  g_ptr_array_unref (volume->warnings);
  g_free (volume);
}

/* Geometry, scaling, intent, labels, source header, series and warnings are taken over as they are now; the voxels and
 * the watermark stay @volume's. */
TessVolume *
tess_volume_new_channel (TessVolume *volume, gint64 channel)
{
  TessVolume *one;

  g_return_val_if_fail (channel >= 0 && channel < volume->n_channels, NULL);
  one = volume_alloc (volume->dtype, volume->dim, 1, &volume->affine);
  one->slope = volume->slope;
  one->intercept = volume->intercept;
  one->intent = volume->intent;
  if (volume->labels)
    one->labels = tess_label_table_ref (volume->labels);
  if (volume->source_header)
    tess_volume_set_source_header (one, volume->source_format, volume->source_header);
  one->series_uid = g_strdup (volume->series_uid);
  for (const char *const *warning = tess_volume_warnings (volume); *warning; warning++)
    tess_volume_add_warning (one, *warning);
  one->owner = tess_volume_ref (volume);
  one->owner_channel = channel;
  one->data = (guint8 *)volume->data + (gsize)channel * one->n_bytes;
  return one;
}

TessDType
tess_volume_dtype (const TessVolume *volume)
{
  return volume->dtype;
}

const gint64 *
tess_volume_dim (const TessVolume *volume)
{
  return volume->dim;
}

gint64
tess_volume_n_voxels (const TessVolume *volume)
{
  return volume->n_voxels;
}

gint64
tess_volume_n_channels (const TessVolume *volume)
{
  return volume->n_channels;
}

gsize
tess_volume_n_bytes (const TessVolume *volume)
{
  return volume->n_bytes;
}

const TessAffine *
tess_volume_affine (const TessVolume *volume)
{
  return &volume->affine;
}

TessGrid
tess_volume_grid (const TessVolume *volume)
{
  return (TessGrid){.dim = {volume->dim[0], volume->dim[1], volume->dim[2]}, .affine = volume->affine};
}

double
tess_volume_slope (const TessVolume *volume)
{
  return volume->slope;
}

double
tess_volume_intercept (const TessVolume *volume)
{
  return volume->intercept;
}

/* @slope finite and not 0, @intercept finite. */
void
tess_volume_set_scaling (TessVolume *volume, double slope, double intercept)
{
  g_return_if_fail (isfinite (slope) && slope != 0.0 && isfinite (intercept));
  volume->slope = slope;
  volume->intercept = intercept;
}

TessIntent
tess_volume_intent (const TessVolume *volume)
{
  return volume->intent;
}

void
tess_volume_set_intent (TessVolume *volume, TessIntent intent)
{
  volume->intent = intent;
}

TessLabelTable *
tess_volume_peek_labels (const TessVolume *volume)
{
  return volume->labels;
}

void
tess_volume_set_labels (TessVolume *volume, TessLabelTable *labels)
{
  TessLabelTable *old = volume->labels;

  volume->labels = labels ? tess_label_table_ref (labels) : NULL;
  tess_label_table_unref (old);
}

/* NULL @header forgets it. */
void
tess_volume_set_source_header (TessVolume *volume, const char *format, GBytes *header)
{
  GBytes *old = volume->source_header;

  volume->source_header = header ? g_bytes_ref (header) : NULL;
  if (old)
    g_bytes_unref (old);
  g_free (volume->source_format);
  volume->source_format = header ? g_strdup (format) : NULL;
}

GBytes *
tess_volume_peek_source_header (const TessVolume *volume, const char *format)
{
  return volume->source_header && g_strcmp0 (volume->source_format, format) == 0 ? volume->source_header : NULL;
}

void
tess_volume_set_series_uid (TessVolume *volume, const char *uid)
{
  g_free (volume->series_uid);
  volume->series_uid = uid && *uid ? g_strdup (uid) : NULL;
}

const char *
tess_volume_peek_series_uid (const TessVolume *volume)
{
  return volume->series_uid;
}

void
tess_volume_add_warning (TessVolume *volume, const char *sentence)
{
  g_ptr_array_insert (volume->warnings, (gint)volume->warnings->len - 1, g_strdup (sentence));
}

const char *const *
tess_volume_warnings (const TessVolume *volume)
{
  return (const char *const *)volume->warnings->pdata;
}

const void *
tess_volume_data (const TessVolume *volume)
{
  return volume->data;
}

void *
tess_volume_data_mut (TessVolume *volume)
{
  return volume->data;
}

gint64
tess_volume_watermark (const TessVolume *volume)
{
  if (volume->owner) {
    gint64 slices = tess_volume_watermark (volume->owner) - volume->owner_channel * volume->dim[2];

    return CLAMP (slices, 0, volume->dim[2]);
  }
  return atomic_load_explicit (&volume->watermark, memory_order_acquire);
}

void
tess_volume_set_watermark (TessVolume *volume, gint64 n_slices)
{
  g_return_if_fail (!volume->owner && n_slices >= 0 && n_slices <= tess_volume_n_slices (volume));
  atomic_store_explicit (&volume->watermark, n_slices, memory_order_release);
}

gint64
tess_volume_n_slices (const TessVolume *volume)
{
  return volume->dim[2] * volume->n_channels;
}

static gsize
linear_index (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel)
{
  return (gsize)(x + volume->dim[0] * (y + volume->dim[1] * (z + volume->dim[2] * channel)));
}

/* Calls LOOP (type, load) for the volume's element type, load (i) giving element i in C's type. */
#define PLAIN(i) (in[i])
#define HALF(i) (tess_f16_to_float (in[i]))
#define BRAIN(i) (tess_bf16_to_float (in[i]))
#define FOR_DTYPE(dtype, LOOP)                                                                                         \
  switch (dtype) {                                                                                                     \
  case TESS_DTYPE_U8:                                                                                                  \
    LOOP (guint8, PLAIN)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_I8:                                                                                                  \
    LOOP (gint8, PLAIN)                                                                                                \
    break;                                                                                                             \
  case TESS_DTYPE_U16:                                                                                                 \
    LOOP (guint16, PLAIN)                                                                                              \
    break;                                                                                                             \
  case TESS_DTYPE_I16:                                                                                                 \
    LOOP (gint16, PLAIN)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_U32:                                                                                                 \
    LOOP (guint32, PLAIN)                                                                                              \
    break;                                                                                                             \
  case TESS_DTYPE_I32:                                                                                                 \
    LOOP (gint32, PLAIN)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_U64:                                                                                                 \
    LOOP (guint64, PLAIN)                                                                                              \
    break;                                                                                                             \
  case TESS_DTYPE_I64:                                                                                                 \
    LOOP (gint64, PLAIN)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_F32:                                                                                                 \
    LOOP (float, PLAIN)                                                                                                \
    break;                                                                                                             \
  case TESS_DTYPE_F64:                                                                                                 \
    LOOP (double, PLAIN)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_F16:                                                                                                 \
    LOOP (guint16, HALF)                                                                                               \
    break;                                                                                                             \
  case TESS_DTYPE_BF16:                                                                                                \
    LOOP (guint16, BRAIN)                                                                                              \
    break;                                                                                                             \
  case TESS_N_DTYPES:                                                                                                  \
    break;                                                                                                             \
  }

/**
 * tess_volume_values_f64:
 * @first: index in memory order over all channels, x fastest
 *
 * Real values of @n voxels that follow in memory, rows and slices notwithstanding.
 */
void
tess_volume_values_f64 (const TessVolume *volume, gsize first, gsize n, double *out)
{
  double slope = volume->slope, intercept = volume->intercept;

#define LOOP_F64(type, load)                                                                                           \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gsize i = 0; i < n; i++)                                                                                      \
      out[i] = slope * (double)load (i) + intercept;                                                                   \
  }
#define LOOP_F64_UNSCALED(type, load)                                                                                  \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gsize i = 0; i < n; i++)                                                                                      \
      out[i] = (double)load (i);                                                                                       \
  }
  if (slope == 1.0 && intercept == 0.0)
    FOR_DTYPE (volume->dtype, LOOP_F64_UNSCALED)
  else
    FOR_DTYPE (volume->dtype, LOOP_F64)
}

double
tess_volume_value (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel)
{
  double value = 0.0;

  tess_volume_values_f64 (volume, linear_index (volume, x, y, z, channel), 1, &value);
  return value;
}

void
tess_volume_row_f32 (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel, gint64 n, float *out)
{
  gsize first = linear_index (volume, x, y, z, channel);
  double slope = volume->slope, intercept = volume->intercept;

#define LOOP_F32(type, load)                                                                                           \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gint64 i = 0; i < n; i++)                                                                                     \
      out[i] = (float)(slope * (double)load (i) + intercept);                                                          \
  }
#define LOOP_F32_UNSCALED(type, load)                                                                                  \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gint64 i = 0; i < n; i++)                                                                                     \
      out[i] = (float)load (i);                                                                                        \
  }
  if (slope == 1.0 && intercept == 0.0)
    FOR_DTYPE (volume->dtype, LOOP_F32_UNSCALED)
  else
    FOR_DTYPE (volume->dtype, LOOP_F32)
}

static inline gint32
round_label (double value)
{
  if (isnan (value))
    return 0;
  return (gint32)rint (CLAMP (value, (double)G_MININT32, (double)G_MAXINT32));
}

void
tess_volume_row_i32 (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel, gint64 n, gint32 *out)
{
  gsize first = linear_index (volume, x, y, z, channel);
  double slope = volume->slope, intercept = volume->intercept;

#define COPY_I32(type)                                                                                                 \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gint64 i = 0; i < n; i++)                                                                                     \
      out[i] = (gint32)in[i];                                                                                          \
    return;                                                                                                            \
  }
#define LOOP_I32(type, load)                                                                                           \
  {                                                                                                                    \
    const type *in = (const type *)volume->data + first;                                                               \
    for (gint64 i = 0; i < n; i++)                                                                                     \
      out[i] = round_label (slope * (double)load (i) + intercept);                                                     \
  }
  if (slope == 1.0 && intercept == 0.0) {
    if (volume->dtype == TESS_DTYPE_U8)
      COPY_I32 (guint8)
    if (volume->dtype == TESS_DTYPE_I16)
      COPY_I32 (gint16)
    if (volume->dtype == TESS_DTYPE_U16)
      COPY_I32 (guint16)
    if (volume->dtype == TESS_DTYPE_I32)
      COPY_I32 (gint32)
  }
  FOR_DTYPE (volume->dtype, LOOP_I32)
}
