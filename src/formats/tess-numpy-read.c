/* The numbers of an array into a volume. */

#include "tess-numpy-private.h"

#include <string.h>

#define PIECE ((gsize)8 << 20)

/* One axis of a block of numbers on its way. */
typedef struct {
  gsize count, from, to; /* steps in numbers: in the block, in the volume */
} Axis;

/* axes: the innermost, of the smallest step in the volume, last. */
static void
copy_block (const Axis *axes, guint n, const guint8 *in, guint8 *out, gsize size)
{
  if (n == 1) {
    tess_voxels_copy (in, axes->from, out, axes->to, axes->count, size);
    return;
  }
  for (gsize i = 0; i < axes->count; i++)
    copy_block (axes + 1, n - 1, in + i * axes->from * size, out + i * axes->to * size, size);
}

/* Stable for so few: by the step in the volume, largest first. */
static void
sort_axes (Axis *axes, guint n)
{
  for (guint i = 1; i < n; i++)
    for (guint k = i; k > 0 && axes[k].to > axes[k - 1].to; k--) {
      Axis swap = axes[k];

      axes[k] = axes[k - 1];
      axes[k - 1] = swap;
    }
}

static gboolean
no_memory (const char *origin, GError **error)
{
  g_autofree char *name = g_filename_display_name (origin);

  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("%s: there is not enough memory to read it; close other programs"), name);
  return FALSE;
}

/* Fortran order: the first axis is the fastest in the file. Blocks of several steps along the slowest (often the
 * volume's x) are read and put where they belong. */
static gboolean
read_fortran (TessVolume *volume, const TessNumpyLayout *layout, gboolean swapped, TessStream *stream,
              const char *origin, TessProgress *progress, GError **error)
{
  guint slow = layout->n_axes - 1;
  gsize size = tess_dtype_size (tess_volume_dtype (volume)), slice = size, steps;
  gsize n_slow = (gsize)layout->count[slow];
  guint8 *data = tess_volume_data_mut (volume);
  g_autofree guint8 *block = NULL;

  for (guint i = 0; i < slow; i++)
    slice *= (gsize)layout->count[i];
  steps = MIN (MAX (PIECE / slice, 1), n_slow);
  block = g_try_malloc (steps * slice);
  if (!block)
    return no_memory (origin, error);
  for (gsize done = 0; done < n_slow; done += MIN (steps, n_slow - done)) {
    gsize now = MIN (steps, n_slow - done), from = 1;
    Axis axes[TESS_NUMPY_MAX_AXES];

    for (gsize at = 0; at < now * slice; at += MIN (PIECE, now * slice - at))
      if (!tess_progress_check (progress, error) ||
          !tess_stream_read_exact (stream, block + at, MIN (PIECE, now * slice - at), error))
        return FALSE;
    if (swapped)
      tess_voxels_swap (block, now * slice, size);
    for (guint i = 0; i <= slow; i++) {
      axes[i] = (Axis){i == slow ? now : (gsize)layout->count[i], from, (gsize)layout->stride[i]};
      from *= axes[i].count;
    }
    sort_axes (axes, slow + 1);
    copy_block (axes, slow + 1, block, data + done * (gsize)layout->stride[slow] * size, size);
    tess_progress_set (progress, (double)(done + now) / (double)n_slow);
  }
  return TRUE;
}

/* Reads past what follows, so that its checksum is compared. */
static gboolean
read_on (TessStream *stream, TessProgress *progress, GError **error)
{
  guint8 rest[4096];
  gssize got;

  do {
    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_stream_read (stream, rest, sizeof rest, error);
  } while (got > 0);
  return got == 0;
}

static gboolean
read_voxels (TessVolume *volume, const TessNpyHeader *header, const TessNumpyLayout *layout, gboolean more,
             TessStream *stream, const char *origin, const TessVoxelListener *listener, GError **error)
{
  TessVoxelCoding coding = {.stored_size = tess_dtype_size (header->dtype), .swapped = header->swapped, .more = more};

  if (header->fortran)
    return read_fortran (volume, layout, header->swapped, stream, origin, listener->progress, error) &&
           (more || read_on (stream, listener->progress, error));
  return layout->channels_last
             ? tess_voxels_read_interleaved (volume, stream, &coding, layout->n_channels, listener, error)
             : tess_voxels_read (volume, stream, &coding, listener, error);
}

static TessVolume *
read_volume (TessNumpySource *source, const TessNumpyLayout *layout, gint64 first_channel,
             const TessVoxelListener *listener, GError **error)
{
  const TessNpyHeader *header = source->header;
  gsize size = tess_dtype_size (header->dtype);
  g_autoptr (TessVolume) volume = NULL;

  if (!tess_voxels_fit (source->stream, header->size, layout->dim, layout->n_channels + first_channel, size, error))
    return NULL;
  volume = tess_volume_new (header->dtype, layout->dim, layout->n_channels, &source->geometry.affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (source->origin);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  if (source->part == TESS_NUMPY_LAST_CHANNEL ||
      (tess_numpy_is_label_name (source->name) && tess_dtype_is_integer (header->dtype)))
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  for (guint i = 0; i < source->warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (source->warnings, i));
  if (!tess_stream_skip (source->stream, (guint64)(tess_volume_n_voxels (volume) * first_channel) * size,
                         listener->progress, error) ||
      !read_voxels (volume, header, layout, source->more, source->stream, source->origin, listener, error))
    return NULL;
  tess_progress_set (listener->progress, 1.0);
  return g_steal_pointer (&volume);
}

/**
 * tess_numpy_load_array:
 *
 * Where voxels lie is taken from the file's own affine, else from its partner's properties, else from the file's own
 * spacing, else assumed to be 1 mm.
 */
TessVolume *
tess_numpy_load_array (TessNumpySource *source, const TessVoxelListener *listener, GError **error)
{
  TessNumpyGeometry *geometry = &source->geometry;
  TessNumpyLayout layout;
  gint64 first_channel;

  if (!tess_numpy_layout (source->header, source->channel_axis, source->origin, &layout, error))
    return NULL;
  if (!tess_numpy_layout_part (&layout, source->header, source->part, &first_channel))
    return no_memory (source->origin, error), NULL;
  if (source->properties && (!geometry->known || geometry->only_spacing))
    tess_numpy_properties_geometry (source->properties, layout.dim, strcmp (source->name, "probabilities") == 0,
                                    geometry, source->warnings);
  if (!geometry->known)
    geometry->affine = tess_affine_identity ();
  tess_numpy_warn (source->header, &layout, geometry, source->warnings);
  return read_volume (source, &layout, first_channel, listener, error);
}

/* A small array of exactly n numbers, in the order NumPy's ravel() gives. */
gboolean
tess_numpy_read_doubles (const TessNpyHeader *header, TessStream *stream, double *values, guint n, GError **error)
{
  const TessVoxelListener nobody = {0};
  gint64 dim[3] = {n, 1, 1};
  TessAffine identity = tess_affine_identity ();
  g_autoptr (TessVolume) volume = NULL;
  TessVoxelCoding coding = {.stored_size = tess_dtype_size (header->dtype), .swapped = header->swapped, .more = TRUE};

  volume = tess_volume_new (header->dtype, dim, 1, &identity, error);
  if (!volume || !tess_voxels_read (volume, stream, &coding, &nobody, error))
    return FALSE;
  tess_volume_values_f64 (volume, 0, n, values);
  if (header->fortran && header->n_axes == 2)
    for (gint64 i = 0, side = header->shape[0]; i < side; i++) /* square ones only are read so */
      for (gint64 k = 0; k < i; k++) {
        double swap = values[i * side + k];

        values[i * side + k] = values[k * side + i];
        values[k * side + i] = swap;
      }
  return TRUE;
}
