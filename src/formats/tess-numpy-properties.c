/* The .pkl beside an array: nnU-Net's properties of a case (versions 1 and 2) and ingradient's. */

#include "tess-json.h"
#include "tess-numpy-private.h"

#include <math.h>
#include <string.h>

#define MOST ((gsize)256 << 20) /* nnU-Net lists where its classes are found: some megabytes a case */

typedef enum {
  KIND_PLAIN, /* ingradient: the array lies as the scan */
  KIND_NNUNET_1,
  KIND_NNUNET_2,
} Kind;

/* Three numbers "zyx" are in the order of the array's axes, "xyz" in ITK's. */
struct _TessNumpyProperties {
  char *name; /* of the file, for sentences */
  Kind kind;
  gboolean located;      /* original is more than a spacing */
  gboolean usable;       /* original is valid */
  TessAffine original;   /* index (x, y, z) of the scan it came from -> world RAS+ */
  gboolean cut;          /* what follows is known */
  double first[3], n[3]; /* box that was cut out of it, zyx; nnU-Net 2: in transposed order */
  gboolean has_target;
  double target[3];  /* spacing after resampling, of the array's axes */
  double spacing[3]; /* of the scan, zyx */
  guint forward[3];  /* axis a of the array is axis forward[a] of the scan, zyx */
  gboolean forward_known;
};

void
tess_numpy_properties_free (TessNumpyProperties *properties)
{
  g_free (properties->name);
  g_free (properties);
}

gboolean
tess_numpy_properties_last_is_labels (const TessNumpyProperties *properties)
{
  return properties->kind == KIND_NNUNET_1;
}

/* ITK's spacing, origin and direction (row-major) of LPS -> RAS. direction and origin may be NULL. */
static void
set_from_itk (TessNumpyProperties *p, const double spacing[3], const double *origin, const double *direction)
{
  for (int r = 0; r < 3; r++) {
    double sign = r < 2 ? -1 : 1;

    for (int k = 0; k < 3; k++)
      p->original.m[r][k] = sign * (direction ? direction[3 * r + k] : r == k) * spacing[k];
    p->original.m[r][3] = sign * (origin ? origin[r] : 0);
  }
  for (int k = 0; k < 3; k++)
    p->spacing[k] = spacing[2 - k];
  p->located = origin && direction;
}

static gboolean
read_itk (TessNumpyProperties *p, const TessPickleValue *dict, const char *prefix)
{
  g_autofree char *spacing_name = g_strconcat (prefix, "spacing", NULL);
  g_autofree char *origin_name = g_strconcat (prefix, "origin", NULL);
  g_autofree char *direction_name = g_strconcat (prefix, "direction", NULL);
  double spacing[3], origin[3], direction[9];
  gboolean has_origin = tess_numpy_value_doubles (tess_pickle_lookup (dict, origin_name), origin, 3);
  gboolean has_direction = tess_numpy_value_doubles (tess_pickle_lookup (dict, direction_name), direction, 9);

  if (!tess_numpy_value_doubles (tess_pickle_lookup (dict, spacing_name), spacing, 3))
    return FALSE;
  set_from_itk (p, spacing, has_origin ? origin : NULL, has_direction ? direction : NULL);
  return TRUE;
}

static gboolean
read_nibabel (TessNumpyProperties *p, const TessPickleValue *dict)
{
  double m[16], spacing[3];

  if (!tess_numpy_value_doubles (tess_pickle_lookup (dict, "reoriented_affine"), m, 16) &&
      !tess_numpy_value_doubles (tess_pickle_lookup (dict, "original_affine"), m, 16))
    return FALSE;
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      p->original.m[r][k] = m[4 * r + k];
  tess_affine_spacing (&p->original, spacing);
  for (int k = 0; k < 3; k++)
    p->spacing[k] = spacing[2 - k];
  p->located = TRUE;
  return TRUE;
}

/* Only the size of voxels is known, in the order of the scan's axes. */
static gboolean
read_spacing (TessNumpyProperties *p, const TessPickleValue *root)
{
  if (!tess_numpy_value_doubles (tess_pickle_lookup (root, "spacing"), p->spacing, 3) &&
      !tess_numpy_value_doubles (tess_pickle_lookup (root, "original_spacing"), p->spacing, 3))
    return FALSE;
  p->original = tess_affine_scale (p->spacing[2], p->spacing[1], p->spacing[0]);
  return TRUE;
}

/* A box [[lo, hi), ...]; bounds the size when it is not given. */
static void
read_box (TessNumpyProperties *p, const TessPickleValue *box)
{
  double bounds[6];

  p->cut = tess_numpy_value_doubles (box, bounds, 6);
  for (int a = 0; a < 3 && p->cut; a++) {
    p->first[a] = bounds[2 * a];
    p->n[a] = bounds[2 * a + 1] - bounds[2 * a];
    p->cut = isfinite (p->first[a]) && fabs (p->first[a]) < 1e9 && p->n[a] >= 1 && p->n[a] < 1e9;
  }
}

static void
read_nnunet_1 (TessNumpyProperties *p, const TessPickleValue *root)
{
  p->usable = read_itk (p, root, "itk_") || read_spacing (p, root);
  read_box (p, tess_pickle_lookup (root, "crop_bbox"));
  p->has_target = tess_numpy_value_doubles (tess_pickle_lookup (root, "spacing_after_resampling"), p->target, 3);
}

static void
read_nnunet_2 (TessNumpyProperties *p, const TessPickleValue *root)
{
  p->usable = read_itk (p, tess_pickle_lookup (root, "sitk_stuff"), "") ||
              read_nibabel (p, tess_pickle_lookup (root, "nibabel_stuff")) || read_spacing (p, root);
  read_box (p, tess_pickle_lookup (root, "bbox_used_for_cropping"));
}

static gboolean
read_root (TessNumpyProperties *p, const TessPickleValue *root)
{
  if (tess_pickle_kind (root) != TESS_PICKLE_DICT)
    return FALSE;
  if (tess_pickle_lookup (root, "crop_bbox") || tess_pickle_lookup (root, "size_after_resampling")) {
    p->kind = KIND_NNUNET_1;
    read_nnunet_1 (p, root);
  } else if (tess_pickle_lookup (root, "bbox_used_for_cropping") || tess_pickle_lookup (root, "sitk_stuff") ||
             tess_pickle_lookup (root, "nibabel_stuff")) {
    p->kind = KIND_NNUNET_2;
    read_nnunet_2 (p, root);
  } else {
    p->usable = read_itk (p, root, "");
  }
  p->usable = p->usable && tess_affine_is_valid (&p->original);
  return p->usable;
}

/* The order of axes of a configuration whose arrays lie in a folder of that name, from one plans file. */
static gboolean
read_plans (TessNumpyProperties *p, const char *path, const char *identifier)
{
  g_autoptr (JsonNode) root = tess_json_load (path, NULL);
  JsonObject *plans, *configurations = NULL;
  g_autoptr (GList) members = NULL;
  gint64 forward[3];

  if (!root || !tess_json_root (root, path, &plans, NULL) ||
      !tess_json_object (plans, path, "configurations", &configurations, NULL) ||
      !tess_json_ints (plans, path, "transpose_forward", 0, 2, forward, 3, NULL) ||
      (1 << forward[0] | 1 << forward[1] | 1 << forward[2]) != 7)
    return FALSE;
  members = json_object_get_members (configurations);
  for (GList *member = members; member; member = member->next) {
    JsonObject *configuration;
    const char *found;

    if (!tess_json_object (configurations, path, member->data, &configuration, NULL) ||
        !tess_json_string (configuration, path, "data_identifier", &found, NULL) || strcmp (found, identifier) != 0)
      continue;
    for (int a = 0; a < 3; a++)
      p->forward[a] = (guint)forward[a];
    p->forward_known = TRUE;
    return TRUE;
  }
  return FALSE;
}

/* nnU-Net 2 keeps its cases in DATASET/IDENTIFIER/ and its plans beside that folder. */
static void
find_plans (TessNumpyProperties *p, const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL), *folder = g_path_get_dirname (absolute);
  g_autofree char *identifier = g_path_get_basename (folder), *above = g_path_get_dirname (folder);
  g_autoptr (GDir) dir = g_dir_open (above, 0, NULL);
  const char *name;

  while (dir && !p->forward_known && (name = g_dir_read_name (dir)))
    if (g_str_has_suffix (name, "lans.json")) { /* nnUNetPlans.json, plans.json */
      g_autofree char *plans = g_build_filename (above, name, NULL);

      read_plans (p, plans, identifier);
    }
}

/**
 * tess_numpy_properties_find:
 * @stem_length: of @path; the partner is called that, or that without "_seg", with .pkl
 *
 * A partner that cannot be read is a warning, which says why: the array is still an array.
 */
TessNumpyProperties *
tess_numpy_properties_find (const char *path, gsize stem_length, GPtrArray *warnings)
{
  const TessPickleRules rules = {.globals = tess_numpy_globals};
  g_autofree char *stem = g_strndup (path, stem_length);
  g_autofree char *partner = g_strconcat (stem, ".pkl", NULL);
  g_autoptr (TessPickle) pickle = NULL;
  g_autoptr (TessNumpyProperties) p = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_test (partner, G_FILE_TEST_EXISTS) && g_str_has_suffix (stem, "_seg")) {
    stem[stem_length - 4] = '\0';
    g_free (partner);
    partner = g_strconcat (stem, ".pkl", NULL);
  }
  if (!g_file_test (partner, G_FILE_TEST_EXISTS))
    return NULL;
  pickle = tess_pickle_load (partner, MOST, &rules, &error);
  if (!pickle) {
    g_ptr_array_add (warnings, g_strdup_printf (_ ("The file beside it was not used: %s."), error->message));
    return NULL;
  }
  p = g_new0 (TessNumpyProperties, 1);
  p->name = g_filename_display_basename (partner);
  for (guint a = 0; a < 3; a++)
    p->forward[a] = a;
  if (!read_root (p, tess_pickle_root (pickle))) {
    g_ptr_array_add (warnings,
                     g_strdup_printf (_ ("%s beside it gives no usable size of voxels, so it was not used."), p->name));
    return NULL;
  }
  if (p->kind == KIND_NNUNET_2)
    find_plans (p, path);
  return g_steal_pointer (&p);
}

/* nnU-Net 1: the order of axes is the one that leads to the array's size; the first that does, starting with none
 * changed. */
static void
infer_order (TessNumpyProperties *p, const double n_array[3])
{
  static const guint orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

  for (guint i = 0; i < 6 && p->has_target && p->cut && !p->forward_known; i++) {
    gboolean fits = TRUE;

    for (guint a = 0; a < 3; a++) {
      guint o = orders[i][a];

      fits &= p->target[a] > 0 && fabs (p->n[o] * p->spacing[o] / p->target[a] - n_array[a]) < 1;
    }
    if (fits) {
      memcpy (p->forward, orders[i], sizeof p->forward);
      p->forward_known = TRUE;
    }
  }
}

/* Index of the volume -> index of the scan: cut, then resampled so that the outer edges stay. */
static TessAffine
undo_preparation (const TessNumpyProperties *p, const double n_array[3])
{
  TessAffine back = {0};

  for (guint a = 0; a < 3; a++) {
    guint o = p->forward[a], box = p->kind == KIND_NNUNET_1 ? o : a, row = 2 - o;
    double n = p->cut ? p->n[box] : n_array[a], scale = n / n_array[a];

    back.m[row][2 - a] = scale;
    back.m[row][3] = 0.5 * scale - 0.5 + (p->cut ? p->first[box] : 0);
  }
  return back;
}

/**
 * tess_numpy_properties_geometry:
 * @dim: of the volume, x, y, z
 *
 * nnU-Net cuts a scan, changes the order of its axes and resamples it (skimage's resize: voxel edges coincide); the
 * affine of its arrays undoes that. ingradient's arrays lie as the scan.
 */
gboolean
tess_numpy_properties_geometry (TessNumpyProperties *p, const gint64 dim[3], gboolean original,
                                TessNumpyGeometry *geometry, GPtrArray *warnings)
{
  const double n_array[3] = {(double)dim[2], (double)dim[1], (double)dim[0]};

  geometry->affine = p->original;
  if (!original && p->kind != KIND_PLAIN) {
    TessAffine back;

    if (p->kind == KIND_NNUNET_1)
      infer_order (p, n_array);
    back = undo_preparation (p, n_array);
    geometry->affine = tess_affine_compose (&p->original, &back);
    if (!p->cut)
      g_ptr_array_add (warnings, g_strdup_printf (_ ("%s does not say what was cut from the scan; the array is taken "
                                                     "for all of it."),
                                                  p->name));
    if (!p->forward_known)
      g_ptr_array_add (warnings, g_strdup_printf (_ ("%s does not say in which order nnU-Net put the axes; it is taken "
                                                     "as z, y, x."),
                                                  p->name));
  }
  geometry->known = tess_affine_is_valid (&geometry->affine);
  geometry->only_spacing = !p->located;
  return geometry->known;
}
