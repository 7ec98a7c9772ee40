#include "tess-numpy-private.h"

#include <string.h>

/* numpy.save may be called several times on one file: a second array of 4 x 4 numbers is our affine. */
static void
read_following (const char *path, guint64 offset, TessNumpySource *source)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, offset, G_MAXUINT64, TESS_PACKING_NONE, NULL);
  TessNpyHeader header;
  double affine[16];

  if (!stream || tess_stream_file_size (stream) == 0)
    return;
  if (tess_npy_header_read (&header, stream, path, NULL) && tess_npy_header_is (&header, 2, 4) &&
      tess_numpy_read_doubles (&header, stream, affine, 16, NULL) &&
      tess_numpy_geometry_from_affine (affine, &source->geometry))
    source->channel_axis = TESS_NUMPY_CHANNEL_AXIS_FIRST;
  else
    g_ptr_array_add (source->warnings,
                     g_strdup (_ ("More follows after the first array of this file; it is not read.")));
}

/* Where the first array ends; FALSE when its header promises more than 64 bits can count. */
static gboolean
find_end (const TessNpyHeader *header, guint64 *offset)
{
  guint64 n = tess_dtype_size (header->dtype);

  for (guint i = 0; i < header->n_axes; i++)
    if (__builtin_mul_overflow (n, (guint64)header->shape[i], &n))
      return FALSE;
  return !__builtin_add_overflow (n, header->size, offset) && *offset <= G_MAXINT64;
}

/**
 * npy_load:
 *
 * One array, of versions 1 to 3, in C or Fortran order and either byte order. tess_numpy_layout() has the rule of axes.
 * The affine is that of a 4 x 4 array behind it (what npy_save writes), else of a partner NAME.pkl.
 */
static TessVolume *
npy_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
          GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, G_MAXUINT64, TESS_PACKING_NONE, error);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessNumpyProperties) properties = NULL;
  g_autofree char *stem = tess_volume_stem (path);
  TessNpyHeader header;
  guint64 end;
  TessNumpySource source = {
      .header = &header,
      .stream = stream,
      .origin = path,
      .name = g_str_has_suffix (stem, "_seg") ? "seg" : stem,
      .channel_axis = TESS_NUMPY_CHANNEL_AXIS_UNKNOWN,
      .warnings = warnings,
  };

  g_return_val_if_fail (entry == NULL, NULL);
  if (!stream || !tess_npy_header_read (&header, stream, path, error))
    return NULL;
  if (header.numeric && find_end (&header, &end))
    read_following (path, end, &source);
  if (!source.geometry.known) {
    properties = tess_numpy_properties_find (path, tess_format_stem_length (&tess_format_npy, path), warnings);
    source.properties = properties;
    if (properties)
      source.channel_axis = TESS_NUMPY_CHANNEL_AXIS_FIRST;
    if (properties && tess_numpy_properties_last_is_labels (properties))
      g_ptr_array_add (warnings, g_strdup (_ ("This is a case of nnU-Net 1: its last channel holds the labels.")));
  }
  return tess_numpy_load_array (&source, &listener, error);
}

const TessFormat tess_format_npy = {
    .id = "npy",
    .name = "NumPy array",
    .endings = ".npy",
    .load = npy_load,
    .save = tess_npy_save,
};
