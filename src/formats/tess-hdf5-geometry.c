/* What an HDF5 file says of the place and meaning of voxels. There is no rule for that; these are the customs read:
 *
 * - attributes of the dataset, else small datasets beside it, else attributes of the root;
 * - `affine`, 4 x 4 over the array's axes of space in their order, as in our .npz;
 * - `spacing`, `origin` and `direction` (9 numbers) together: SimpleITK's, x first, LPS;
 * - `spacing`, `voxel_spacing`, `voxel_size` in mm or `element_size_um` (ilastik, PlantSeg) along the array's axes;
 * - ITK's own files: VoxelData with Spacing, Origin and Directions (an axis a row) beside it;
 * - `channel_axis`, or ilastik's `axistags`;
 * - `slope` and `intercept`, and `labels`: JSON, [{"value": 1, "name": "liver", "rgba": [r, g, b, a]}, ...]: ours. */
#include "tess-hdf5-private.h"

#include <math.h>
#include <string.h>

static gboolean
is_itk (const TessHdf5Dataset *dataset)
{
  return g_str_has_suffix (dataset->name, "/VoxelData");
}

static gboolean
numbers_of (JsonObject *attributes, const char *name, double *values, guint n)
{
  JsonArray *array = NULL;

  return attributes && tess_json_array_opt (attributes, "", name, &array, NULL) && array &&
         json_array_get_length (array) == n && tess_json_doubles (attributes, "", name, values, n, NULL);
}

/* A dataset of the same group. */
static TessHdf5Dataset *
neighbour (TessHdf5File *file, const TessHdf5Dataset *dataset, const char *name)
{
  gsize group = (gsize)(strrchr (dataset->name, '/') + 1 - dataset->name);

  for (guint i = 0; i < file->datasets->len; i++) {
    TessHdf5Dataset *other = g_ptr_array_index (file->datasets, i);

    if (other != dataset && strncmp (other->name, dataset->name, group) == 0 && strcmp (other->name + group, name) == 0)
      return other;
  }
  return NULL;
}

/* Exactly n numbers under that name. */
static gboolean
find_numbers (TessHdf5File *file, const TessHdf5Dataset *dataset, const char *name, double *values, guint n)
{
  const TessHdf5Dataset *other;

  if (numbers_of (dataset->attributes, name, values, n))
    return TRUE;
  other = neighbour (file, dataset, name);
  if (other && other->n_values == n) {
    memcpy (values, other->values, n * sizeof *values);
    return TRUE;
  }
  return numbers_of (file->attributes, name, values, n);
}

/* Numbers of ITK: x first; columns of `direction` are the axes; LPS. */
static gboolean
geometry_from_itk (const double spacing[3], const double origin[3], const double direction[9],
                   TessNumpyGeometry *geometry)
{
  for (int r = 0; r < 3; r++) {
    double sign = r < 2 ? -1 : 1;

    for (int k = 0; k < 3; k++)
      geometry->affine.m[r][k] = sign * direction[3 * r + k] * spacing[k];
    geometry->affine.m[r][3] = sign * origin[r];
  }
  geometry->known = tess_affine_is_valid (&geometry->affine);
  geometry->only_spacing = FALSE;
  return geometry->known;
}

static gboolean
find_itk (TessHdf5File *file, TessHdf5Dataset *dataset, TessNumpyGeometry *geometry)
{
  double spacing[3], origin[3], direction[9], rows[9];

  if (!is_itk (dataset))
    return find_numbers (file, dataset, "spacing", spacing, 3) && find_numbers (file, dataset, "origin", origin, 3) &&
           find_numbers (file, dataset, "direction", direction, 9) &&
           geometry_from_itk (spacing, origin, direction, geometry);
  if (!find_numbers (file, dataset, "Spacing", spacing, 3) || !find_numbers (file, dataset, "Origin", origin, 3) ||
      !find_numbers (file, dataset, "Directions", rows, 9))
    return FALSE;
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 3; k++)
      direction[3 * r + k] = rows[3 * k + r];
  return geometry_from_itk (spacing, origin, direction, geometry);
}

/* In mm along the array's axes of space; two numbers for a slice. */
static gboolean
find_spacing (TessHdf5File *file, TessHdf5Dataset *dataset, TessNumpyGeometry *geometry)
{
  static const struct {
    const char *name;
    double mm;
  } names[] = {{"spacing", 1}, {"voxel_spacing", 1}, {"voxel_size", 1}, {"element_size_um", 1e-3}};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    double spacing[3] = {1, 1, 1};
    gboolean slice = dataset->header.n_axes == 2 && find_numbers (file, dataset, names[i].name, spacing + 1, 2);

    if (!slice && !find_numbers (file, dataset, names[i].name, spacing, 3))
      continue;
    for (int k = slice; k < 3; k++)
      spacing[k] *= names[i].mm;
    if (tess_numpy_geometry_from_spacing (spacing, geometry))
      return TRUE;
  }
  return FALSE;
}

void
tess_hdf5_geometry (TessHdf5File *file, TessHdf5Dataset *dataset, TessNumpyGeometry *geometry)
{
  double affine[16];

  memset (geometry, 0, sizeof *geometry);
  if ((find_numbers (file, dataset, "affine", affine, 16) && tess_numpy_geometry_from_affine (affine, geometry)) ||
      find_itk (file, dataset, geometry) || find_spacing (file, dataset, geometry))
    return;
  memset (geometry, 0, sizeof *geometry);
  geometry->affine = tess_affine_identity ();
}

/* ilastik's {"axes": [{"key": "z", ...}, ...]}: which one is "c". */
static gint64
axis_of_tags (const char *tags)
{
  g_autoptr (JsonNode) root = tess_json_parse (tags, -1, "", NULL);
  JsonObject *o;
  JsonArray *axes;

  if (!root || !tess_json_root (root, "", &o, NULL) || !tess_json_array (o, "", "axes", &axes, NULL))
    return TESS_NUMPY_CHANNEL_AXIS_UNKNOWN;
  for (guint i = 0; i < json_array_get_length (axes); i++) {
    JsonObject *axis;
    const char *key;

    if (tess_json_root (json_array_get_element (axes, i), "", &axis, NULL) &&
        tess_json_string (axis, "", "key", &key, NULL) && strcmp (key, "c") == 0)
      return i;
  }
  return TESS_NUMPY_CHANNEL_AXIS_UNKNOWN;
}

gint64
tess_hdf5_channel_axis (TessHdf5File *file, TessHdf5Dataset *dataset)
{
  gint64 axis = TESS_NUMPY_CHANNEL_AXIS_UNKNOWN, n = dataset->header.n_axes;
  const char *tags = NULL;
  double value;

  if (is_itk (dataset) && n == 4)
    return 3;
  if (find_numbers (file, dataset, "channel_axis", &value, 1) && value >= 0 && value < (double)n)
    axis = (gint64)value;
  else if (dataset->attributes && tess_json_string_opt (dataset->attributes, "", "axistags", &tags, NULL) && tags)
    axis = axis_of_tags (tags);
  return axis == 0 || (axis == 3 && n == 4) ? axis : TESS_NUMPY_CHANNEL_AXIS_UNKNOWN;
}

/* A dataset that is no image, by its name and size. */
gboolean
tess_hdf5_says_of_others (TessHdf5Dataset *dataset)
{
  static const char *const names[] = {"affine",          "spacing", "voxel_spacing", "voxel_size",
                                      "element_size_um", "origin",  "direction",     "Directions",
                                      "Origin",          "Spacing", "Dimension",     NULL};

  return dataset->n_values > 0 && g_strv_contains (names, strrchr (dataset->name, '/') + 1);
}

static TessLabelTable *
parse_labels (const char *text)
{
  g_autoptr (JsonNode) root = tess_json_parse (text, -1, "", NULL);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  JsonArray *list;

  if (!root || !JSON_NODE_HOLDS_ARRAY (root))
    return NULL;
  list = json_node_get_array (root);
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o;
    const char *name;
    gint64 value, rgba[4];
    guint8 colour[4];
    gboolean coloured;

    if (!tess_json_root (json_array_get_element (list, i), "", &o, NULL) ||
        !tess_json_int (o, "", "value", G_MININT64, G_MAXINT64, &value, NULL) ||
        !tess_json_string (o, "", "name", &name, NULL) || tess_label_table_find (table, value))
      continue;
    coloured = tess_json_ints (o, "", "rgba", 0, 255, rgba, 4, NULL);
    for (int k = 0; coloured && k < 4; k++)
      colour[k] = (guint8)rgba[k];
    tess_label_table_add (table, value, name, coloured ? colour : NULL);
  }
  return tess_label_table_n (table) > 0 ? g_steal_pointer (&table) : NULL;
}

char *
tess_hdf5_labels_text (TessLabelTable *labels)
{
  g_autoptr (JsonNode) root = json_node_alloc ();
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < tess_label_table_n (labels); i++) {
    const TessLabel *label = tess_label_table_peek (labels, i);
    JsonObject *o = json_object_new ();
    JsonArray *rgba = json_array_new ();

    json_object_set_int_member (o, "value", label->value);
    json_object_set_string_member (o, "name", label->name);
    for (int k = 0; k < 4; k++)
      json_array_add_int_element (rgba, label->rgba[k]);
    json_object_set_array_member (o, "rgba", rgba);
    json_array_add_object_element (list, o);
  }
  json_node_init_array (root, list);
  json_array_unref (list);
  return tess_json_to_text (root, FALSE);
}

void
tess_hdf5_apply (TessHdf5Dataset *dataset, TessVolume *volume)
{
  const char *name = strrchr (dataset->name, '/') + 1, *text = NULL;
  double slope = 1, intercept = 0;

  if (tess_numpy_is_label_name (name) && tess_dtype_is_integer (dataset->header.dtype))
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  if (numbers_of (dataset->attributes, "slope", &slope, 1) && slope != 0) {
    numbers_of (dataset->attributes, "intercept", &intercept, 1);
    tess_volume_set_scaling (volume, slope, intercept);
  }
  if (tess_json_string_opt (dataset->attributes, "", "labels", &text, NULL) && text) {
    g_autofree char *utf8 = tess_hdf5_text (text);
    g_autoptr (TessLabelTable) table = parse_labels (utf8);

    if (table) {
      tess_volume_set_labels (volume, table);
      tess_volume_set_intent (volume, TESS_INTENT_LABEL);
    }
  }
}
