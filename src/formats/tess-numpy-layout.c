/* Which axis of an array is which of a volume, and where that lies. */

#include "tess-numpy-private.h"

#include <math.h>
#include <string.h>

#define MOST_TRAILING 16 /* more numbers than these at the end of a shape are an axis of space */

static gboolean
fail (const char *origin, GError **error, TessError code, const char *format)
{
  g_autofree char *name = g_filename_display_name (origin);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

static gboolean
check_header (const TessNpyHeader *header, const char *origin, GError **error)
{
  gboolean empty = FALSE;

  if (!header->numeric) {
    g_autofree char *name = g_filename_display_name (origin);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 strchr (header->descr, 'O')
                     ? _ ("%s: this array holds Python objects (%s), which are never unpickled; save numbers instead")
                     : _ ("%s: this array's type (%s) is neither whole nor real numbers of up to 64 bits; save it as "
                          "one of these, for example by astype('float32')"),
                 name, header->descr);
    return FALSE;
  }
  for (guint i = 0; i < header->n_axes; i++)
    empty |= header->shape[i] == 0;
  if (empty)
    return fail (origin, error, TESS_ERROR_UNSUPPORTED, _ ("%s: this array is empty; give one with voxels"));
  if (header->n_axes < 2)
    return fail (origin, error, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this array has fewer than two axes, so it is no image; give one with two to five"));
  return TRUE;
}

/**
 * tess_numpy_layout:
 * @channel_axis: of an array of four axes or more, where something says so; or TESS_NUMPY_CHANNEL_AXIS_UNKNOWN
 *
 * The rule. Axes are those of the array as NumPy indexes it, however it lies in memory:
 * two: (y, x), one slice; three: (z, y, x); four: (channel, z, y, x), unless the last axis is shorter than the first
 * and at most 16 long: (z, y, x, channel); five: (n, channel, z, y, x), the first two counted on as channels; axes of
 * length 1 in front of four are dropped.
 *
 * Errors: UNSUPPORTED, naming type or shape.
 */
gboolean
tess_numpy_layout (const TessNpyHeader *header, gint64 channel_axis, const char *origin, TessNumpyLayout *layout,
                   GError **error)
{
  const gint64 *shape = header->shape;
  guint n = header->n_axes, space;
  gint64 stride = 1;

  memset (layout, 0, sizeof *layout);
  if (!check_header (header, origin, error))
    return FALSE;
  for (; n > 4 && shape[0] == 1; n--)
    shape++;
  if (n > TESS_NUMPY_MAX_AXES)
    return fail (origin, error, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this array has more than five axes; give one with two to five"));
  layout->n_axes = n;
  layout->n_channels = 1;
  layout->guessed = n >= 4 && channel_axis == TESS_NUMPY_CHANNEL_AXIS_UNKNOWN;
  layout->channels_last =
      n == 4 && (channel_axis == 3 || (layout->guessed && shape[3] < shape[0] && shape[3] <= MOST_TRAILING));
  space = n - layout->channels_last; /* one past the axes of space */
  for (guint k = 0; k < 3; k++)
    layout->dim[k] = k < MIN (space, 3) ? shape[space - 1 - k] : 1;
  for (guint i = 0; i < n; i++) {
    gboolean is_space = i < space && i + 3 >= space;

    layout->count[i] = shape[i];
    if (!is_space && __builtin_mul_overflow (layout->n_channels, shape[i], &layout->n_channels))
      return fail (origin, error, TESS_ERROR_FORMAT,
                   _ ("%s: the header of this array is damaged; copy the file again"));
  }
  /* Strides from the fastest axis of the volume: x, y, z, then channels from the last to the first. */
  for (guint pass = 0; pass < 2; pass++)
    for (guint i = n; i-- > 0;)
      if ((i < space && i + 3 >= space) == (pass == 0)) {
        layout->stride[i] = stride;
        if (__builtin_mul_overflow (stride, shape[i], &stride))
          return fail (origin, error, TESS_ERROR_FORMAT,
                       _ ("%s: the header of this array is damaged; copy the file again"));
      }
  return TRUE;
}

gboolean
tess_numpy_layout_part (TessNumpyLayout *layout, const TessNpyHeader *header, TessNumpyPart part, gint64 *first_channel)
{
  *first_channel = 0;
  if (part == TESS_NUMPY_WHOLE)
    return TRUE;
  if (header->fortran || layout->n_axes != 4 || layout->channels_last || layout->n_channels < 2)
    return FALSE;
  if (part == TESS_NUMPY_LAST_CHANNEL)
    *first_channel = layout->n_channels - 1;
  layout->n_channels = part == TESS_NUMPY_LAST_CHANNEL ? 1 : layout->n_channels - 1;
  return TRUE;
}

void
tess_numpy_warn (const TessNpyHeader *header, const TessNumpyLayout *layout, const TessNumpyGeometry *geometry,
                 GPtrArray *warnings)
{
  g_autoptr (GString) shape = g_string_new (NULL);
  const char *axes = layout->n_axes == 2     ? "y, x"
                     : layout->n_axes == 3   ? "z, y, x"
                     : layout->channels_last ? _ ("z, y, x, channel")
                     : layout->n_axes == 4   ? _ ("channel, z, y, x")
                                             : _ ("channel, channel, z, y, x");

  for (guint i = 0; i < header->n_axes; i++)
    g_string_append_printf (shape, "%s%" G_GINT64_FORMAT, i ? ", " : "", header->shape[i]);
  if (layout->guessed || !geometry->known)
    g_ptr_array_add (warnings, g_strdup_printf (_ ("An array of shape (%s), read as (%s)."), shape->str, axes));
  if (!geometry->known)
    g_ptr_array_add (warnings, g_strdup (_ ("The file does not say how large voxels are and where they lie: 1 mm along "
                                            "x, y and z is assumed, x to the right, y to the front, z to the head.")));
  else if (geometry->only_spacing)
    g_ptr_array_add (warnings, g_strdup (_ ("The file gives the size of voxels but not where they lie: x to the right, "
                                            "y to the front and z to the head are assumed.")));
}

gboolean
tess_numpy_geometry_from_affine (const double affine[16], TessNumpyGeometry *geometry)
{
  for (int r = 0; r < 3; r++) {
    for (int k = 0; k < 3; k++)
      geometry->affine.m[r][k] = affine[4 * r + 2 - k];
    geometry->affine.m[r][3] = affine[4 * r + 3];
  }
  geometry->known = tess_affine_is_valid (&geometry->affine) && affine[12] == 0 && affine[13] == 0 && affine[14] == 0 &&
                    affine[15] == 1;
  geometry->only_spacing = FALSE;
  return geometry->known;
}

gboolean
tess_numpy_geometry_from_spacing (const double spacing[3], TessNumpyGeometry *geometry)
{
  geometry->affine = tess_affine_scale (spacing[2], spacing[1], spacing[0]);
  geometry->known = spacing[0] > 0 && spacing[1] > 0 && spacing[2] > 0 && tess_affine_is_valid (&geometry->affine);
  geometry->only_spacing = geometry->known;
  return geometry->known;
}

/* How the programs whose arrays these are call label maps. */
gboolean
tess_numpy_is_label_name (const char *name)
{
  static const char *const names[] = {"seg", "y", "label", "labels", "mask", "segmentation", NULL};

  return g_strv_contains (names, name);
}
