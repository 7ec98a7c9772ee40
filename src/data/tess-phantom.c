#include "tess-phantom.h"

#include "tess-atomic-file.h"
#include "tess-json.h"
#include "tess-parallel.h"
#include "tess-philox.h"

#include <inttypes.h>
#include <math.h>

const char *const tess_phantom_label_names[TESS_PHANTOM_N_LABELS] = {"background", "organ", "vessel", "gland"};

/* Millimetres of the field of view at any number of voxels. */
static const double field_of_view[3] = {320.0, 320.0, 300.0};

#define N_LOOPS 7 /* unlabelled blobs of about the labelled structures' brightness */
#define NOISE_HU 20.0f
#define NOISE_STREAM 1000u /* transforms from here on are the noise of slice 0, 1, ... */

typedef enum {
  LABEL_NONE,
  LABEL_ORGAN,
  LABEL_VESSEL,
  LABEL_GLAND,
} PhantomLabel;

typedef struct {
  double centre[3], radius[3];
} Ellipsoid;

/* A tube along the body: centre line x(z), y(z) bent by a sine, with a constant radius. */
typedef struct {
  double x, y, bend[2], wavelength, phase[2], radius;
} Tube;

/* One scan's anatomy in body coordinates: millimetres, x to the right, y anterior, z superior. */
typedef struct {
  guint64 seed;
  guint32 index;
  guint32 n_drawn; /* parameters drawn so far */

  gint64 dim[3];
  double spacing[3], mean_spacing;
  double pose[3][3], shift[3];                      /* scan mm -> body mm */
  double wave[3][3], wave_phase[3], wave_height[3]; /* the warp that makes shapes irregular */
  double bias[3], texture[3][3], texture_phase[3];

  Ellipsoid body, organ, lobe, gland[2], loops[N_LOOPS], spine;
  double loop_hu[N_LOOPS];
  Tube vessel, vein;
  double organ_hu, vessel_hu, vein_hu, cortex_hu, medulla_hu, muscle_hu, fat_hu, fat_mm;

  gint16 *image;
  guint8 *label;
} Phantom;

/* The next parameter of this scan, uniform in [lo, hi). Never two in one expression: C does not order them. */
static double
uniform (Phantom *p, double lo, double hi)
{
  return tess_philox_range (tess_philox (p->seed, p->index, 0, 0, p->n_drawn++).v[0], lo, hi);
}

static void
rotation (Phantom *p, double degrees, double m[3][3])
{
  double limit = degrees * G_PI / 180.0;
  double a = uniform (p, -limit, limit), b = uniform (p, -limit, limit), c = uniform (p, -limit, limit);
  double sa = sin (a), ca = cos (a), sb = sin (b), cb = cos (b), sc = sin (c), cc = cos (c);
  const double r[3][3] = {{cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa},
                          {sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa},
                          {-sb, cb * sa, cb * ca}};

  memcpy (m, r, sizeof r);
}

static Ellipsoid
ellipsoid (Phantom *p, double x, double y, double z, double wander, double rx, double ry, double rz, double vary)
{
  Ellipsoid e;
  const double centre[3] = {x, y, z}, radius[3] = {rx, ry, rz};
  double size = uniform (p, 1.0 - vary, 1.0 + vary);

  for (int a = 0; a < 3; a++) {
    e.centre[a] = centre[a] + uniform (p, -wander, wander);
    e.radius[a] = radius[a] * size * uniform (p, 1.0 - vary / 2.0, 1.0 + vary / 2.0);
  }
  return e;
}

static Tube
tube (Phantom *p, double x, double y, double wander, double radius)
{
  Tube t;

  t.x = x + uniform (p, -wander, wander);
  t.y = y + uniform (p, -wander, wander);
  t.wavelength = uniform (p, 180.0, 320.0);
  t.radius = radius * uniform (p, 0.85, 1.2);
  for (int a = 0; a < 2; a++) {
    t.bend[a] = uniform (p, 6.0, 16.0);
    t.phase[a] = uniform (p, 0.0, 2.0 * G_PI);
  }
  return t;
}

static void
draw_anatomy (Phantom *p)
{
  p->body = ellipsoid (p, 0, 0, 0, 4, 138, 108, 330, 0.05);
  p->organ = ellipsoid (p, 58, 12, 30, 9, 56, 58, 62, 0.12);
  p->lobe = ellipsoid (p, 8, 40, 45, 7, 48, 30, 32, 0.15);
  p->gland[0] = ellipsoid (p, -64, -38, 0, 8, 27, 24, 42, 0.12);
  p->gland[1] = ellipsoid (p, 60, -46, -45, 8, 27, 24, 42, 0.12);
  p->spine = ellipsoid (p, 0, -70, 0, 3, 21, 19, 400, 0.08);
  p->vessel = tube (p, -12, -34, 4, 13);
  p->vein = tube (p, 22, -36, 4, 12);
  for (int i = 0; i < N_LOOPS; i++) {
    double x = uniform (p, -80, 50), y = uniform (p, 10, 60), z = uniform (p, -120, -10);

    p->loops[i] = ellipsoid (p, x, y, z, 5, 21, 18, 24, 0.3);
    p->loop_hu[i] = uniform (p, 0, 1) < 0.15 ? -600.0 : uniform (p, 20, 150);
  }
  p->muscle_hu = uniform (p, 45, 60);
  p->fat_hu = uniform (p, -115, -90);
  p->fat_mm = uniform (p, 6, 20);
  p->organ_hu = uniform (p, 95, 120);
  p->vessel_hu = uniform (p, 160, 210);
  p->vein_hu = uniform (p, 115, 145);
  p->cortex_hu = uniform (p, 150, 190);
  p->medulla_hu = uniform (p, 80, 110);
}

/* 2 pi over a wavelength in mm, of either sign. */
static double
wave_number (Phantom *p, double shortest, double longest)
{
  double wavelength = uniform (p, shortest, longest);

  return uniform (p, 0.0, 1.0) < 0.5 ? -2.0 * G_PI / wavelength : 2.0 * G_PI / wavelength;
}

static void
draw_scan (Phantom *p, const gint64 size[3])
{
  for (int a = 0; a < 3; a++) {
    p->dim[a] = MAX ((gint64)rint ((double)size[a] * uniform (p, 0.92, 1.08)), 8);
    p->spacing[a] = field_of_view[a] / (double)size[a] * uniform (p, 0.97, 1.03);
    p->mean_spacing += p->spacing[a] / 3.0;
    p->shift[a] = uniform (p, -9.0, 9.0);
    p->bias[a] = uniform (p, -14.0, 14.0);
    p->wave_height[a] = uniform (p, 2.5, 5.0);
    p->wave_phase[a] = uniform (p, 0.0, 2.0 * G_PI);
    p->texture_phase[a] = uniform (p, 0.0, 2.0 * G_PI);
    for (int b = 0; b < 3; b++) {
      p->wave[a][b] = wave_number (p, 90.0, 180.0);
      p->texture[a][b] = wave_number (p, 22.0, 50.0);
    }
  }
  rotation (p, 6.0, p->pose);
}

#define FAR_AWAY 1e3 /* mm */

/* About the distance to the surface in mm, negative inside. */
static double
ellipsoid_distance (const Ellipsoid *e, const double q[3])
{
  double sum = 0.0, smallest = MIN (e->radius[0], MIN (e->radius[1], e->radius[2]));

  for (int a = 0; a < 3; a++) {
    double d = (q[a] - e->centre[a]) / e->radius[a];

    sum += d * d;
    if (sum > 9.0)
      return FAR_AWAY;
  }
  return (sqrt (sum) - 1.0) * smallest;
}

static double
tube_distance (const Tube *t, const double q[3])
{
  double turn = 2.0 * G_PI * q[2] / t->wavelength, dx = q[0] - t->x, dy = q[1] - t->y;

  if (fabs (dx) > t->bend[0] + 3.0 * t->radius || fabs (dy) > t->bend[1] + 3.0 * t->radius)
    return FAR_AWAY;
  dx -= t->bend[0] * sin (turn + t->phase[0]);
  dy -= t->bend[1] * sin (turn + t->phase[1]);
  return sqrt (dx * dx + dy * dy) - t->radius;
}

/* Lays a material over what is there; a voxel on its edge gets a share of both. */
static void
paint (const Phantom *p, double distance, double hu, PhantomLabel label, double *value, guint8 *painted)
{
  double cover = CLAMP (0.5 - distance / p->mean_spacing, 0.0, 1.0);

  if (cover == 0.0)
    return;
  *value += cover * (hu - *value);
  if (distance < 0.0)
    *painted = (guint8)label;
}

/* Voxel at scan position s (mm) without noise. */
static double
material (const Phantom *p, const double s[3], guint8 *label)
{
  double q[3], warped[3], value = -1000.0, body, lumps = 0.0, organ, gland;

  for (int a = 0; a < 3; a++)
    q[a] = p->pose[a][0] * s[0] + p->pose[a][1] * s[1] + p->pose[a][2] * s[2] + p->shift[a];
  *label = LABEL_NONE;
  body = ellipsoid_distance (&p->body, q);
  paint (p, body, p->fat_hu, LABEL_NONE, &value, label);
  if (body > p->mean_spacing)
    return value;
  for (int a = 0; a < 3; a++) {
    warped[a] = q[a] + p->wave_height[a] *
                           sin (p->wave[a][0] * q[0] + p->wave[a][1] * q[1] + p->wave[a][2] * q[2] + p->wave_phase[a]);
    lumps += sin (p->texture[a][0] * q[0] + p->texture[a][1] * q[1] + p->texture[a][2] * q[2] + p->texture_phase[a]);
  }
  paint (p, body + p->fat_mm, p->muscle_hu, LABEL_NONE, &value, label);
  paint (p, ellipsoid_distance (&p->spine, q), 380.0, LABEL_NONE, &value, label);
  for (int i = 0; i < N_LOOPS; i++)
    paint (p, MAX (ellipsoid_distance (&p->loops[i], warped), body + p->fat_mm), p->loop_hu[i], LABEL_NONE, &value,
           label);
  paint (p, tube_distance (&p->vein, warped), p->vein_hu, LABEL_NONE, &value, label);
  organ = MIN (ellipsoid_distance (&p->organ, warped), ellipsoid_distance (&p->lobe, warped));
  paint (p, MAX (organ, body + p->fat_mm), p->organ_hu, LABEL_ORGAN, &value, label);
  gland = MIN (ellipsoid_distance (&p->gland[0], warped), ellipsoid_distance (&p->gland[1], warped));
  paint (p, gland, p->cortex_hu, LABEL_GLAND, &value, label);
  paint (p, gland + 9.0, p->medulla_hu, LABEL_GLAND, &value, label);
  paint (p, tube_distance (&p->vessel, warped), p->vessel_hu, LABEL_VESSEL, &value, label);
  return value + 5.0 * lumps;
}

static void
fill_slices (gsize begin, gsize end, gpointer user_data)
{
  const Phantom *p = user_data;
  gint64 n = p->dim[0] * p->dim[1];

  for (gsize z = begin; z < end; z++)
    for (gint64 i = 0; i < n; i++) {
      const gint64 voxel[3] = {i % p->dim[0], i / p->dim[0], (gint64)z};
      TessPhilox4 r = tess_philox (p->seed, p->index, 1, NOISE_STREAM + (guint32)z, (guint32)i);
      /* Box and Muller (1958); the 1 - u keeps the logarithm finite. */
      float noise = NOISE_HU * sqrtf (-2.0f * logf (1.0f - tess_philox_unit (r.v[0]))) *
                    cosf (2.0f * (float)G_PI * tess_philox_unit (r.v[1]));
      double s[3], drift = 0.0, value;
      gsize at = z * (gsize)n + (gsize)i;

      for (int a = 0; a < 3; a++) {
        s[a] = ((double)voxel[a] - (double)(p->dim[a] - 1) / 2.0) * p->spacing[a];
        drift += p->bias[a] * sin (G_PI * s[a] / field_of_view[a]);
      }
      value = material (p, s, &p->label[at]) + drift + (double)noise;
      p->image[at] = (gint16)CLAMP (rint (value), -1024.0, 3071.0);
    }
}

gboolean
tess_phantom_make (guint64 seed, guint32 index, const gint64 size[3], TessVolume **image, TessVolume **label,
                   GError **error)
{
  Phantom p = {.seed = seed, .index = index};
  g_autoptr (TessVolume) scan = NULL, map = NULL;
  g_autoptr (TessLabelTable) table = NULL;
  TessAffine affine;
  double oblique[3][3];

  draw_scan (&p, size);
  draw_anatomy (&p);
  rotation (&p, 7.0, oblique);
  for (int i = 0; i < 3; i++) {
    affine.m[i][3] = uniform (&p, -40.0, 40.0);
    for (int j = 0; j < 3; j++) {
      affine.m[i][j] = oblique[i][j] * p.spacing[j];
      affine.m[i][3] -= affine.m[i][j] * (double)(p.dim[j] - 1) / 2.0;
    }
  }
  if (!(scan = tess_volume_new (TESS_DTYPE_I16, p.dim, 1, &affine, error)) ||
      !(map = tess_volume_new (TESS_DTYPE_U8, p.dim, 1, &affine, error)))
    return FALSE;
  p.image = tess_volume_data_mut (scan);
  p.label = tess_volume_data_mut (map);
  tess_parallel_for ((gsize)p.dim[2], 1, fill_slices, &p);

  table = tess_label_table_new ();
  for (guint l = 0; l < TESS_PHANTOM_N_LABELS; l++)
    tess_label_table_add (table, l, tess_phantom_label_names[l], NULL);
  tess_volume_set_labels (map, table);
  tess_volume_set_intent (map, TESS_INTENT_LABEL);
  *image = g_steal_pointer (&scan);
  *label = g_steal_pointer (&map);
  return TRUE;
}

static gboolean
write_case (const char *directory, const TessPhantomOptions *options, guint index, GError **error)
{
  gboolean test = index >= options->n_cases;
  g_autofree char *image_name = g_strdup_printf ("phantom_%03u_0000.nii.gz", index + 1);
  g_autofree char *label_name = g_strdup_printf ("phantom_%03u.nii.gz", index + 1);
  g_autofree char *image_path = g_build_filename (directory, test ? "imagesTs" : "imagesTr", image_name, NULL);
  g_autofree char *label_path = g_build_filename (directory, test ? "labelsTs" : "labelsTr", label_name, NULL);
  g_autoptr (TessVolume) image = NULL, label = NULL;

  return tess_phantom_make (options->seed, index, options->size, &image, &label, error) &&
         tess_volume_save (image, image_path, NULL, error) && tess_volume_save (label, label_path, NULL, error);
}

static gboolean
write_json (const char *directory, const TessPhantomOptions *options, GError **error)
{
  g_autofree char *path = g_build_filename (directory, "dataset.json", NULL);
  g_autofree char *name = g_path_get_basename (directory);
  g_autofree char *description =
      g_strdup_printf ("Synthetic torso scans made by Tessera with seed %" PRIu64 "; no patient", options->seed);
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *root = json_object_new (), *channels = json_object_new (), *labels = json_object_new ();

  json_object_set_string_member (channels, "0", "CT");
  for (guint l = 0; l < TESS_PHANTOM_N_LABELS; l++)
    json_object_set_int_member (labels, tess_phantom_label_names[l], l);
  json_object_set_string_member (root, "name", name);
  json_object_set_string_member (root, "description", description);
  json_object_set_object_member (root, "channel_names", channels);
  json_object_set_object_member (root, "labels", labels);
  json_object_set_int_member (root, "numTraining", options->n_cases);
  json_object_set_string_member (root, "file_ending", ".nii.gz");
  json_node_take_object (node, root);
  return tess_json_save (path, node, error);
}

static gboolean
make_folders (const char *directory, gboolean with_test, GError **error)
{
  const char *const folders[] = {"imagesTr", "labelsTr", "imagesTs", "labelsTs"};
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);

  if ((dir && g_dir_read_name (dir)) || (!dir && g_file_test (directory, G_FILE_TEST_EXISTS))) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("%s: is not an empty folder; name a new one, nothing is written over"), directory);
    return FALSE;
  }
  for (guint i = 0; i < (with_test ? 4u : 2u); i++) {
    g_autofree char *folder = g_build_filename (directory, folders[i], NULL);

    if (!tess_make_directory (folder, error))
      return FALSE;
  }
  return TRUE;
}

/* Writes imagesTr, labelsTr, when wanted imagesTs and labelsTs, and last dataset.json. The same options give the same
 * files, on any number of threads. Errors: IO (the folder is not empty, writing fails), CANCELLED. */
gboolean
tess_phantom_write (const char *directory, const TessPhantomOptions *options, TessProgress *progress, GError **error)
{
  g_autofree char *root = g_canonicalize_filename (directory, NULL);
  guint n = options->n_cases + options->n_test;

  if (!make_folders (root, options->n_test > 0, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    if (!tess_progress_check (progress, error) || !write_case (root, options, i, error))
      return FALSE;
    tess_progress_set (progress, (i + 1.0) / n);
  }
  return write_json (root, options, error);
}
