/* From every format that can be written to every other and back: values and place in space stay, or the save is refused
 * with one sentence. Formats are taken from the registry, so a new one joins by being entered there. */
#include "volume-check.h"

#include <float.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;
static guint n_refused;

typedef struct {
  const char *name;
  TessAffine affine;
} Place;

/* 0.7 x 0.9 x 2.5 mm along three axes, as in a scanner's files: straight, stored in another order and mirrored, turned
 * by no round angle, mirrored besides, and with a gantry's tilt. */
static Place places[] = {
    {"straight", {{{0.7, 0, 0, -61.25}, {0, 0.9, 0, 43.5}, {0, 0, 2.5, -210}}}},
    {"other axes", {{{0, 0, -2.5, 61.25}, {-0.7, 0, 0, 43.5}, {0, 0.9, 0, 1e-3}}}},
    {"oblique", {{{0}}}},
    {"oblique, mirrored", {{{0}}}},
    {"sheared", {{{0}}}},
};
enum { STRAIGHT, OTHER_AXES, OBLIQUE, MIRRORED, SHEARED };

static void
make_places (void)
{
  const double spacing[3] = {0.7, 0.9, 2.5}, c = cos (0.3), s = sin (0.3), d = cos (-0.7), t = sin (-0.7);
  const double turn[3][3] = {{c, -s * d, s * t}, {s, c * d, -c * t}, {0, t, d}};

  for (int p = OBLIQUE; p <= SHEARED; p++)
    for (int r = 0; r < 3; r++) {
      for (int k = 0; k < 3; k++)
        places[p].affine.m[r][k] = turn[r][k] * spacing[k] * (p == MIRRORED && k == 0 ? -1.0 : 1.0);
      if (p == SHEARED)
        places[p].affine.m[r][2] += 0.4 * places[p].affine.m[r][1];
      places[p].affine.m[r][3] = 100.0 / 3.0 - 50.0 * r;
    }
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static guint32
scramble (gsize i)
{
  guint32 x = (guint32)i * 2654435761u + 12345u;

  x ^= x >> 15;
  x *= 2246822519u;
  return x ^ x >> 13;
}

#define FILL(type, low, high)                                                                                          \
  for (gsize i = 0; i < n; i++)                                                                                        \
    ((type *)data)[i] = (type)(i == 0   ? (low)                                                                        \
                               : i == 1 ? (high)                                                                       \
                                        : (type)((guint64)scramble (i) << 32 | scramble (i + 77777)));

static void
fill (TessVolume *volume)
{
  static const double special[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-40, 0.1, -1.0 / 3.0};
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  TessDType dtype = tess_volume_dtype (volume);
  void *data = tess_volume_data_mut (volume);

  switch (dtype) {
  case TESS_DTYPE_U8:
    FILL (guint8, 0, G_MAXUINT8)
    return;
  case TESS_DTYPE_I8:
    FILL (gint8, G_MININT8, G_MAXINT8)
    return;
  case TESS_DTYPE_U16:
    FILL (guint16, 0, G_MAXUINT16)
    return;
  case TESS_DTYPE_I16:
    FILL (gint16, G_MININT16, G_MAXINT16)
    return;
  case TESS_DTYPE_U32:
    FILL (guint32, 0, G_MAXUINT32)
    return;
  case TESS_DTYPE_I32:
    FILL (gint32, G_MININT32, G_MAXINT32)
    return;
  case TESS_DTYPE_U64:
    FILL (guint64, 0, G_MAXUINT64)
    return;
  case TESS_DTYPE_I64:
    FILL (gint64, G_MININT64, G_MAXINT64)
    return;
  default:
    break;
  }
  for (gsize i = 0; i < n; i++) {
    double value = i < G_N_ELEMENTS (special) ? special[i] : ((double)scramble (i) - 2e9) / 1e7;

    if (dtype == TESS_DTYPE_F32)
      ((float *)data)[i] = (float)value;
    else if (dtype == TESS_DTYPE_F64)
      ((double *)data)[i] = value;
    else if (dtype == TESS_DTYPE_F16)
      ((guint16 *)data)[i] = tess_float_to_f16 ((float)value);
    else
      ((guint16 *)data)[i] = tess_float_to_bf16 ((float)value);
  }
}

static TessVolume *
sample (TessDType dtype, const gint64 dim[3], gint64 n_channels, int place)
{
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (dtype, dim, n_channels, &places[place].affine, &error);

  g_assert_no_error (error);
  fill (volume);
  return volume;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

/* Real values, 64-bit whole numbers with all their digits. */
static long double *
values_of (TessVolume *volume)
{
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  long double *out = g_new (long double, n);
  gboolean plain = tess_volume_slope (volume) == 1.0 && tess_volume_intercept (volume) == 0.0;
  g_autofree double *values = g_new (double, n);

  tess_volume_values_f64 (volume, 0, n, values);
  for (gsize i = 0; i < n; i++)
    if (plain && tess_volume_dtype (volume) == TESS_DTYPE_U64)
      out[i] = (long double)((const guint64 *)tess_volume_data (volume))[i];
    else if (plain && tess_volume_dtype (volume) == TESS_DTYPE_I64)
      out[i] = (long double)((const gint64 *)tess_volume_data (volume))[i];
    else
      out[i] = values[i];
  return out;
}

/* Where some are no whole numbers, they may be rounded to float32. Whole ones alone may be labels: they never are. */
static gboolean
all_whole (const long double *values, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (isfinite (values[i]) && values[i] != rintl (values[i]))
      return FALSE;
  return TRUE;
}

static gboolean
same_number (long double a, long double b, long double off)
{
  return a == b || (isnan (a) && isnan (b)) || (isfinite (a) && fabsl (a - b) <= off);
}

/* How far a number may be off where numbers are float32, or their scaling is: by the last digit of the value and of
 * what is added to it. */
static long double
rounding_at (TessVolume *after, long double value)
{
  double intercept = tess_volume_intercept (after);

  if (tess_volume_slope (after) == 1.0 && intercept == 0.0 && tess_volume_dtype (after) != TESS_DTYPE_F32)
    return 0.0L;
  return (long double)FLT_EPSILON * (fabsl (value) + fabs (intercept)) + FLT_TRUE_MIN;
}

/* What is lost of the place in space: nothing but the last digits, but for formats whose numbers are float32. */
static double
tolerance_of (const TessFormat *format)
{
  return strcmp (format->id, "nifti") == 0 || strcmp (format->id, "mgh") == 0 ? 1e-5 : 1e-12;
}

static void
check_kept (TessVolume *before, TessVolume *after, double tolerance, const char *what)
{
  g_autofree long double *a = values_of (before), *b = NULL;
  gsize n = (gsize)(tess_volume_n_voxels (before) * tess_volume_n_channels (before));
  TessGrid ga = tess_volume_grid (before), gb = tess_volume_grid (after);
  gboolean whole;
  double size = 0.0;

  if (memcmp (ga.dim, gb.dim, sizeof ga.dim) != 0 || tess_volume_n_channels (before) != tess_volume_n_channels (after))
    g_error ("%s: %d x %d x %d, %d channels became %d x %d x %d, %d channels", what, (int)ga.dim[0], (int)ga.dim[1],
             (int)ga.dim[2], (int)tess_volume_n_channels (before), (int)gb.dim[0], (int)gb.dim[1], (int)gb.dim[2],
             (int)tess_volume_n_channels (after));
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      size += fabs (ga.affine.m[r][k]);
  if (!tess_affine_equal (&ga.affine, &gb.affine, tolerance * size))
    g_error ("%s: the place in space has changed by %g mm", what, tess_grid_corner_offset (&ga, &gb));
  b = values_of (after);
  whole = all_whole (a, n);
  for (gsize i = 0; i < n; i++)
    if (!same_number (a[i], b[i], whole ? 0.0L : rounding_at (after, a[i])))
      g_error ("%s: number %" G_GSIZE_FORMAT " was %.20Lg, is %.20Lg", what, i, a[i], b[i]);
}

/* --- the journey -------------------------------------------------------------------------------------------------- */

static void
empty_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_assert_cmpint (g_remove (path), ==, 0);
  }
}

/* Nothing half is left behind. */
static void
check_refusal (const GError *error, const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  g_test_message ("%s", error->message);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_assert_nonnull (strchr (error->message, ';'));
  g_assert_null (strchr (error->message, '\n'));
  while ((name = g_dir_read_name (dir)))
    g_error ("%s: %s is left behind", path, name);
  n_refused++;
}

/* Saves and loads; NULL when the format says that it cannot hold the volume. */
static TessVolume *
through (TessVolume *volume, const char *stem, const char *ending)
{
  g_autofree char *name = g_strconcat (stem, ending, NULL), *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  TessVolume *out;

  empty_folder ();
  if (!tess_volume_save (volume, path, NULL, &error)) {
    check_refusal (error, path);
    return NULL;
  }
  out = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  return out;
}

static char *
first_ending (const TessFormat *format)
{
  return g_strndup (format->endings, strcspn (format->endings, " "));
}

/* Only whole numbers beyond 32 bits and others beyond float32 may be refused: there is a format for every scan. */
static gboolean
may_be_refused (TessVolume *volume)
{
  g_autofree long double *values = values_of (volume);
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  gboolean whole = all_whole (values, n);

  for (gsize i = 0; i < n; i++)
    if (isfinite (values[i]) && ((whole && (values[i] > 2147483647.0L || values[i] < -2147483648.0L)) ||
                                 fabsl (values[i]) > (long double)FLT_MAX))
      return TRUE;
  return FALSE;
}

static void
travel (TessVolume *volume, const char *what)
{
  guint n_ways = 0;

  for (guint i = 0; i < tess_formats_n (); i++) {
    const TessFormat *a = tess_formats_nth (i);
    g_autofree char *ending_a = first_ending (a), *into = g_strdup_printf ("%s into %s", what, a->id);
    g_autoptr (TessVolume) here = a->save ? through (volume, "a", ending_a) : NULL;

    if (!here) {
      g_assert_true (!a->save || may_be_refused (volume));
      continue;
    }
    check_kept (volume, here, tolerance_of (a), into);
    n_ways++;
    for (guint k = 0; k < tess_formats_n (); k++) {
      const TessFormat *b = tess_formats_nth (k);
      g_autofree char *ending_b = first_ending (b), *on = g_strdup_printf ("%s, on into %s", into, b->id),
                      *again = g_strdup_printf ("%s, and back", on);
      g_autoptr (TessVolume) there = b->save ? through (here, "b", ending_b) : NULL, back = NULL;

      if (!there) {
        g_assert_true (!b->save || may_be_refused (here));
        continue;
      }
      check_kept (here, there, tolerance_of (b), on);
      back = through (there, "c", ending_a);
      g_assert_nonnull (back);
      check_kept (here, back, MAX (tolerance_of (a), tolerance_of (b)), again);
    }
  }
  g_assert_cmpuint (n_ways, >=, 5);
}

static void
test_types (void)
{
  const gint64 dim[3] = {5, 4, 3};

  for (int dtype = 0; dtype < TESS_N_DTYPES; dtype++)
    for (int channels = 1; channels <= 3; channels += 2) {
      g_autoptr (TessVolume) volume = sample ((TessDType)dtype, dim, channels, OBLIQUE);
      g_autofree char *what = g_strdup_printf ("%s x %d", tess_dtype_name ((TessDType)dtype), channels);

      travel (volume, what);
    }
}

static void
test_places (void)
{
  const gint64 dim[3] = {5, 4, 3};

  for (guint place = 0; place < G_N_ELEMENTS (places); place++)
    for (int channels = 1; channels <= 3; channels += 2) {
      g_autoptr (TessVolume) volume = sample (TESS_DTYPE_I16, dim, channels, (int)place);

      travel (volume, places[place].name);
    }
}

/* Whole and broken slopes; a CT's. */
static void
test_scaled (void)
{
  static const double scalings[][2] = {{1, -1024},  {2, 1},     {0.5, -3}, {2.209, 0},
                                       {-0.1, 1e6}, {1e-12, 0}, {1e6, 1},  {16777217, 3}};
  static const TessDType types[] = {TESS_DTYPE_U8, TESS_DTYPE_I16, TESS_DTYPE_U16, TESS_DTYPE_I32, TESS_DTYPE_F32};
  const gint64 dim[3] = {4, 3, 2};

  for (guint i = 0; i < G_N_ELEMENTS (scalings); i++)
    for (guint t = 0; t < G_N_ELEMENTS (types); t++) {
      g_autoptr (TessVolume) volume = sample (types[t], dim, 1, SHEARED);
      g_autofree char *what =
          g_strdup_printf ("%s, %g x + %g", tess_dtype_name (types[t]), scalings[i][0], scalings[i][1]);

      tess_volume_set_scaling (volume, scalings[i][0], scalings[i][1]);
      travel (volume, what);
    }
}

/* Sizes that a format could take for something else: channels for slices, a slice for a row. */
static void
test_shapes (void)
{
  static const gint64 shapes[][4] = {{1, 1, 1, 1}, {5, 4, 1, 1}, {5, 1, 1, 1},  {1, 1, 5, 1},
                                     {3, 4, 5, 3}, {3, 3, 3, 3}, {5, 4, 1, 3},  {4, 5, 3, 1},
                                     {2, 3, 4, 2}, {1, 4, 5, 4}, {64, 2, 2, 20}};

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autoptr (TessVolume) volume = sample (TESS_DTYPE_U16, shapes[i], shapes[i][3], OTHER_AXES);
    g_autofree char *what = g_strdup_printf ("%d x %d x %d x %d", (int)shapes[i][0], (int)shapes[i][1],
                                             (int)shapes[i][2], (int)shapes[i][3]);

    travel (volume, what);
  }
}

/* Labels through every ending of every format. */
static void
test_endings (void)
{
  const gint64 dim[3] = {5, 4, 3};
  guint n = 0;

  for (guint i = 0; i < tess_formats_n (); i++) {
    const TessFormat *format = tess_formats_nth (i);
    g_auto (GStrv) endings = g_strsplit (format->endings, " ", -1);

    for (char **ending = endings; format->save && *ending; ending++, n++) {
      g_autoptr (TessVolume) volume = sample (TESS_DTYPE_U8, dim, 1, OBLIQUE), out = NULL;

      tess_volume_set_intent (volume, TESS_INTENT_LABEL);
      out = through (volume, "labels", *ending);
      g_assert_nonnull (out);
      check_kept (volume, out, tolerance_of (format), *ending);
    }
  }
  g_assert_cmpuint (n, >=, 12);
}

/* What no format with a fixed set of types can hold is refused there, and only there. */
static void
test_refused (void)
{
  const gint64 dim[3] = {2, 2, 2};
  g_autoptr (TessVolume) wide = sample (TESS_DTYPE_I64, dim, 1, STRAIGHT);
  g_autoptr (TessVolume) large = tess_volume_new (TESS_DTYPE_F64, dim, 1, &places[STRAIGHT].affine, NULL);

  n_refused = 0;
  g_assert_null (through (wide, "a", ".mgz"));
  ((double *)tess_volume_data_mut (large))[3] = 1e300;
  g_assert_null (through (large, "a", ".mgh"));
  g_assert_cmpuint (n_refused, ==, 2);
  travel (wide, "int64");
  travel (large, "1e300");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-round-trip-XXXXXX", NULL);
  make_places ();
  g_test_add_func ("/formats/round-trip/types", test_types);
  g_test_add_func ("/formats/round-trip/places", test_places);
  g_test_add_func ("/formats/round-trip/scaled", test_scaled);
  g_test_add_func ("/formats/round-trip/shapes", test_shapes);
  g_test_add_func ("/formats/round-trip/endings", test_endings);
  g_test_add_func ("/formats/round-trip/refused", test_refused);
  result = g_test_run ();
  empty_folder ();
  g_rmdir (folder);
  g_free (folder);
  return result;
}
