/* Twenty-six scenes: the picture of the graphics driver must agree with the oracle within one step of 255. */
#include "picture.h"

#include <math.h>
#include <string.h>

#define WIDTH 300
#define HEIGHT 220

typedef struct _Case Case;
struct _Case {
  const char *name;
  void (*make) (OracleScene *scene);
  double zoom, pan[2]; /* zoom 0: as tess_pane_fit() does */
  int channels;        /* 0: one */
};

/* --- what volumes are made of --------------------------------------------------------------------------------- */

static double
noise (int x, int y, int z)
{
  guint32 h = (guint32)x * 73856093u ^ (guint32)y * 19349663u ^ (guint32)z * 83492791u;

  h = (h ^ h >> 13) * 1274126177u;
  return (double)((h ^ h >> 16) & 0xffff) / 65536.0;
}

/* Blobs with noise in [0,1]; no axis, no direction like another. */
static double
texture (int x, int y, int z)
{
  return 0.5 + 0.28 * sin (0.41 * x + 0.2 * y) * cos (0.33 * y - 0.15 * z) + 0.12 * sin (0.27 * z + 0.05 * x * y) +
         0.2 * (noise (x, y, z) - 0.5);
}

static double
as_stored (TessDType dtype, double v)
{
  if (dtype == TESS_DTYPE_F32)
    return (float)v;
  return dtype == TESS_DTYPE_F64 ? v : floor (v);
}

static OracleLayer *
add (OracleScene *scene, TessDType dtype, int nx, int ny, int nz, double low, double high)
{
  OracleLayer *layer = &scene->layers[scene->n_layers++];

  *layer = (OracleLayer){.dtype = dtype, .dim = {nx, ny, nz}, .slope = 1.0, .opacity = 1.0};
  for (int k = 0; k < 3; k++)
    layer->m[k][k] = 1.0;
  layer->stored = g_new (double, (gsize)nx *ny *nz);
  for (int z = 0; z < nz; z++)
    for (int y = 0; y < ny; y++)
      for (int x = 0; x < nx; x++)
        layer->stored[x + nx * (y + (gsize)ny * z)] = as_stored (dtype, low + (high - low) * texture (x, y, z));
  layer->lower = low + 0.1 * (high - low);
  layer->upper = low + 0.8 * (high - low);
  return layer;
}

/* Nested shapes of the labels 1 to n over 0. */
static OracleLayer *
add_labels (OracleScene *scene, TessDType dtype, int nx, int ny, int nz, int n, const int values[])
{
  static const guint8 colours[ORACLE_MAX_LABELS][4] = {{230, 159, 0, 255},  {86, 180, 233, 255}, {0, 158, 115, 255},
                                                       {240, 228, 66, 255}, {0, 114, 178, 255},  {213, 94, 0, 255},
                                                       {204, 121, 167, 128}};
  OracleLayer *layer = add (scene, dtype, nx, ny, nz, 0.0, 1.0);

  layer->lut = ORACLE_LABELS;
  layer->nearest = TRUE;
  layer->opacity = 0.45;
  layer->n_labels = n;
  for (int k = 0; k < n; k++) {
    layer->labels[k] = values ? values[k] : k + 1;
    memcpy (layer->colours[k], colours[k], 4);
  }
  for (int z = 0; z < nz; z++)
    for (int y = 0; y < ny; y++)
      for (int x = 0; x < nx; x++) {
        double t = texture (40 * x / nx, 40 * y / ny, 40 * z / nz);
        int k = (int)floor ((t - 0.3) / 0.5 * (n + 1));

        k = CLAMP (k, 0, n);
        layer->stored[x + nx * (y + (gsize)ny * z)] = k ? layer->labels[k - 1] : 0;
      }
  return layer;
}

/* Centre of the volume at `centre`; columns: spacing times direction. */
static void
place (OracleLayer *layer, const double columns[3][3], const double centre[3])
{
  for (int a = 0; a < 3; a++) {
    layer->m[a][3] = centre[a];
    for (int k = 0; k < 3; k++) {
      layer->m[a][k] = columns[k][a];
      layer->m[a][3] -= columns[k][a] * (layer->dim[k] - 1) / 2.0;
    }
  }
}

/* Index axes along the world's: axes[k] is +-1, +-2, +-3 for right, anterior, superior (or their opposites). */
static void
place_along (OracleLayer *layer, const int axes[3], const double spacing[3], const double centre[3])
{
  double columns[3][3] = {{0.0}};

  for (int k = 0; k < 3; k++)
    columns[k][ABS (axes[k]) - 1] = axes[k] > 0 ? spacing[k] : -spacing[k];
  place (layer, columns, centre);
}

/* Turned about three axes (degrees), then sheared: the second axis leans towards the first, the third to the second. */
static void
place_turned (OracleLayer *layer, const double spacing[3], const double angles[3], double shear, const double centre[3])
{
  double r[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, columns[3][3];

  for (int axis = 0; axis < 3; axis++) {
    double c = cos (angles[axis] * G_PI / 180.0), s = sin (angles[axis] * G_PI / 180.0);
    int p = (axis + 1) % 3, q = (axis + 2) % 3;

    for (int k = 0; k < 3; k++) {
      double a = r[k][p], b = r[k][q];

      r[k][p] = c * a - s * b;
      r[k][q] = s * a + c * b;
    }
  }
  for (int k = 0; k < 3; k++)
    for (int a = 0; a < 3; a++)
      columns[k][a] = spacing[k] * (r[k][a] + (k ? shear * r[k - 1][a] : 0.0));
  place (layer, columns, centre);
}

static const int RAS[3] = {1, 2, 3}, LAS[3] = {-1, 2, 3}, LPS[3] = {-1, -2, 3}, PIR[3] = {-2, -3, 1},
                 SAL[3] = {3, 2, -1};
static const double ISO[3] = {1.0, 1.0, 1.0}, THICK[3] = {0.8, 1.1, 3.0}, ORIGIN[3] = {0.0, 0.0, 0.0};
static const double AWAY[3] = {31.7, -44.1, 12.3}, TURNED[3] = {14.0, -23.0, 31.0}, LITTLE[3] = {2.0, -3.0, 4.0};

/* --- the scenes ----------------------------------------------------------------------------------------------- */

static void
u8_ras (OracleScene *s)
{
  place_along (add (s, TESS_DTYPE_U8, 40, 44, 36, 0, 255), RAS, ISO, ORIGIN);
}

static void
i8_scaled (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_I8, 36, 40, 21, -128, 127);

  place_along (l, LAS, THICK, AWAY);
  l->slope = 0.5;
  l->intercept = -3.25;
  l->lower = -50.0;
  l->upper = 31.5;
}

static void
u16_permuted (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_U16, 30, 41, 27, 0, 65535);

  place_along (l, PIR, THICK, AWAY);
  l->lower = 30000.0;
  l->upper = 34000.0;
}

static void
ct_window (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_I16, 48, 48, 30, 0, 2400);

  place_along (l, LPS, THICK, AWAY);
  l->intercept = -1024.0;
  l->lower = 40.0 - 200.0;
  l->upper = 40.0 + 200.0;
}

static void
i32_large (OracleScene *s)
{
  place_along (add (s, TESS_DTYPE_I32, 33, 34, 35, 2.0e9, 2.1e9), SAL, ISO, ORIGIN);
}

static void
f32_with_nan (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_F32, 40, 40, 40, -1.5, 2.5);

  place_along (l, RAS, (double[]){0.93, 1.07, 1.21}, AWAY);
  for (int i = 0; i < 40 * 40 * 40; i++)
    if (i / 40 % 40 > 25 && i % 40 > 18)
      l->stored[i] = NAN;
}

static void
f64_far_from_zero (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_F64, 32, 38, 30, 1.0e7, 1.0e7 + 3.0);

  place_along (l, LAS, ISO, ORIGIN);
}

static void
wide_types (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_U32, 32, 38, 30, 3.0e9, 4.2e9);

  place_along (l, LAS, ISO, ORIGIN);
  l = add (s, TESS_DTYPE_I64, 28, 28, 30, -5.0e9, 5.0e9);
  place_along (l, RAS, (double[]){1.3, 0.9, 1.1}, (double[]){3.3, -2.0, 1.0});
  l->opacity = 0.5;
  l = add (s, TESS_DTYPE_U64, 20, 20, 20, 0.0, 9.0e9);
  place_along (l, RAS, ISO, (double[]){-5.0, 8.0, 2.2});
  l->opacity = 0.5;
  l->lut = ORACLE_HOT;
}

static void
i16_oblique (OracleScene *s)
{
  place_turned (add (s, TESS_DTYPE_I16, 40, 36, 24, -900, 1200), (double[]){0.9, 1.0, 2.1}, TURNED, 0.0, AWAY);
}

static void
u8_sheared (OracleScene *s)
{
  place_turned (add (s, TESS_DTYPE_U8, 40, 44, 30, 0, 255), (double[]){1.0, 1.1, 1.7}, (double[]){0, 0, 0}, 0.25,
                ORIGIN);
}

static void
f32_oblique_sheared_mirrored_nearest (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_F32, 37, 31, 29, 0.0, 1.0);

  place_turned (l, (double[]){-1.0, 1.3, 1.6}, TURNED, -0.2, AWAY);
  l->nearest = TRUE;
}

static void
u8_hot (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_U8, 40, 44, 36, 0, 255);

  place_along (l, RAS, ISO, ORIGIN);
  l->lut = ORACLE_HOT;
}

static void
hot_over_grey (OracleScene *s)
{
  OracleLayer *l;

  place_along (add (s, TESS_DTYPE_I16, 50, 50, 30, 0, 1000), LPS, THICK, ORIGIN);
  l = add (s, TESS_DTYPE_F32, 20, 22, 18, 0.0, 1.0);
  place_turned (l, (double[]){1.9, 1.7, 2.3}, TURNED, 0.1, (double[]){4.0, -5.0, 3.0});
  l->lut = ORACLE_HOT;
  l->opacity = 0.6;
  l->lower = 0.37;
  l->upper = 0.93;
}

static void
labels_own_grid (OracleScene *s)
{
  place_along (add (s, TESS_DTYPE_I16, 44, 40, 30, 0, 1000), LPS, THICK, AWAY);
  place_along (add_labels (s, TESS_DTYPE_U8, 44, 40, 30, 4, NULL), LPS, THICK, AWAY);
}

/* Voxel centres of the image lie exactly between those of the labels, on every axis. */
static void
labels_half_as_large (OracleScene *s)
{
  OracleLayer *l;

  place_along (add (s, TESS_DTYPE_U8, 25, 27, 23, 0, 255), LAS, (double[]){2.0, 2.0, 2.0}, ORIGIN);
  l = add_labels (s, TESS_DTYPE_I16, 50, 54, 46, 5, NULL);
  place_along (l, RAS, ISO, ORIGIN);
  l->hidden[2] = TRUE;
}

static void
labels_turned_outline (OracleScene *s)
{
  OracleLayer *l;

  place_along (add (s, TESS_DTYPE_I16, 44, 44, 44, 0, 1000), RAS, ISO, AWAY);
  l = add_labels (s, TESS_DTYPE_U16, 14, 15, 16, 3, NULL);
  place_turned (l, (double[]){2.7, 2.5, 2.3}, TURNED, 0.15, AWAY);
  l->no_fill = TRUE;
}

static void
labels_fill_only (OracleScene *s)
{
  OracleLayer *l;

  place_along (add (s, TESS_DTYPE_U8, 44, 44, 44, 0, 255), RAS, ISO, ORIGIN);
  l = add_labels (s, TESS_DTYPE_F32, 30, 30, 30, 6, NULL);
  place_along (l, PIR, (double[]){1.3, 1.2, 1.1}, (double[]){3.0, 2.0, 1.0});
  l->no_outline = TRUE;
  l->opacity = 1.0;
}

static void
labels_large_values (OracleScene *s)
{
  static const int values[] = {1, 255, 1023, 1024, 14175, 65535, 70000};

  place_along (add (s, TESS_DTYPE_U8, 44, 44, 44, 0, 255), RAS, ISO, ORIGIN);
  place_along (add_labels (s, TESS_DTYPE_I32, 40, 40, 40, 7, values), LAS, ISO, ORIGIN);
}

static void
two_label_layers (OracleScene *s)
{
  OracleLayer *l;

  place_along (add (s, TESS_DTYPE_U8, 44, 44, 44, 0, 255), RAS, ISO, ORIGIN);
  l = add_labels (s, TESS_DTYPE_U16, 40, 40, 40, 7, NULL);
  place_along (l, LPS, ISO, (double[]){3.1, -2.2, 1.3});
  l = add (s, TESS_DTYPE_U8, 10, 10, 10, 0, 255); /* not shown */
  place_along (l, RAS, ISO, ORIGIN);
  l->hidden_layer = TRUE;
  l = add_labels (s, TESS_DTYPE_U8, 25, 26, 27, 3, NULL);
  place_turned (l, (double[]){1.5, 1.4, 1.3}, LITTLE, 0.0, (double[]){-4.0, 3.0, 2.0});
  l->opacity = 0.8;
}

static void
neurological (OracleScene *s)
{
  place_along (add (s, TESS_DTYPE_I16, 44, 40, 30, 0, 1000), PIR, THICK, AWAY);
  place_along (add_labels (s, TESS_DTYPE_U8, 44, 40, 30, 4, NULL), LPS, THICK, AWAY);
  s->neurological = s->nose_right = TRUE;
}

static void
nearest_close_up (OracleScene *s)
{
  OracleLayer *l = add (s, TESS_DTYPE_U8, 40, 44, 36, 0, 255);

  place_turned (l, ISO, LITTLE, 0.0, ORIGIN);
  l->nearest = TRUE;
  place_turned (add_labels (s, TESS_DTYPE_U8, 60, 66, 54, 3, NULL), (double[]){0.7, 0.7, 0.7}, LITTLE, 0.0, ORIGIN);
}

static const Case cases[] = {
    {"u8", u8_ras},
    {"i8-slope-intercept", i8_scaled},
    {"u16-permuted-narrow-window", u16_permuted},
    {"i16-ct-mirrored", ct_window},
    {"i32-large-values", i32_large},
    {"f32-nan", f32_with_nan},
    {"f64-far-from-zero", f64_far_from_zero},
    {"u32-i64-u64", wide_types},
    {"oblique", i16_oblique},
    {"sheared", u8_sheared},
    {"oblique-sheared-mirrored-nearest", f32_oblique_sheared_mirrored_nearest},
    {"hot", u8_hot},
    {"hot-over-grey-other-grid", hot_over_grey},
    {"labels-own-grid", labels_own_grid},
    {"labels-half-as-large-hidden", labels_half_as_large},
    {"labels-turned-outline", labels_turned_outline},
    {"labels-fill-only", labels_fill_only},
    {"labels-large-values", labels_large_values},
    {"two-label-layers", two_label_layers},
    {"neurological", neurological},
    {"close-up-nearest", nearest_close_up, 11.3, {3.7, -4.2}},
    {"close-up-linear", i16_oblique, 17.9, {-6.1, 2.3}},
    {"far-off-centre", labels_own_grid, 0.73, {60.0, -35.0}},
    {"ties", labels_half_as_large, 4.0}, /* pixels exactly between voxels, and where volumes end */
    {"ties-off-centre", labels_half_as_large, 2.0, {0.25, 0.5}},
    {"second-channel", ct_window, 0.0, {0.0, 0.0}, 2},
};

/* --- comparing ------------------------------------------------------------------------------------------------ */

/* Looks a third off the middle, on no voxel's centre and between none. */
static void
look (OracleScene *scene)
{
  const OracleLayer *l = &scene->layers[0];

  for (int a = 0; a < 3; a++) {
    scene->cursor[a] = l->m[a][3];
    for (int k = 0; k < 3; k++)
      scene->cursor[a] += l->m[a][k] * floor (l->dim[k] * (0.4 + 0.07 * k));
  }
}

/* Every pixel within one step, but for those that lie closer than `noise_voxels` to a place where a label ends: there
 * rounding decides. At most `allowed` of all may be such. */
static void
compare (const OracleScene *oracle, const TessPane *panes, guint n_panes, const guint8 *rgba, double noise_voxels,
         double allowed)
{
  g_autofree guint8 *covered = g_malloc0 (WIDTH * HEIGHT);
  gsize n = 0, excused = 0;
  double worst = 0.0;

  for (guint p = 0; p < n_panes; p++) {
    OraclePane pane = {panes[p].plane,
                       panes[p].x,
                       panes[p].y,
                       panes[p].width,
                       panes[p].height,
                       panes[p].zoom,
                       {panes[p].pan[0], panes[p].pan[1]}};

    for (int j = 0; j < pane.height; j++)
      for (int i = 0; i < pane.width; i++) {
        gsize at = (gsize)(pane.y + j) * WIDTH + (gsize)(pane.x + i);
        double expected[3], margin = oracle_pixel (oracle, &pane, i, j, expected), error = 0.0;

        covered[at] = 1;
        n++;
        g_assert_cmpint (rgba[4 * at + 3], ==, 255);
        for (int c = 0; c < 3; c++)
          error = fmax (error, fabs (rgba[4 * at + c] - expected[c]));
        if (error > 1.0 && margin < noise_voxels) {
          excused++;
          continue;
        }
        worst = fmax (worst, error);
        if (error > 1.0)
          g_test_message ("plane %d, pixel %d %d: %d %d %d, but the oracle says %.2f %.2f %.2f (margin %g)", pane.plane,
                          i, j, rgba[4 * at], rgba[4 * at + 1], rgba[4 * at + 2], expected[0], expected[1], expected[2],
                          margin);
        g_assert_cmpfloat (error, <=, 1.0);
      }
  }
  for (gsize at = 0; at < WIDTH * HEIGHT; at++) /* between the panes */
    g_assert_true (covered[at] || (rgba[4 * at] == 0 && rgba[4 * at + 1] == 0 && rgba[4 * at + 2] == 0));
  g_test_message ("largest error %.3f of 255; %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " pixels on an edge", worst,
                  excused, n);
  g_assert_cmpfloat ((double)excused, <=, allowed * (double)n);
}

static void
draw_and_compare (const Case *c, gboolean volumes)
{
  OracleScene oracle = {0};
  g_autoptr (TessScene) scene = NULL;
  g_autofree guint8 *rgba = NULL;
  TessPane panes[TESS_N_PLANES];
  guint n_panes = tess_pane_layout (WIDTH, HEIGHT, -1, panes);

  c->make (&oracle);
  look (&oracle);
  scene = picture_scene (&oracle, MAX (c->channels, 1));
  for (guint i = 0; i < n_panes; i++) {
    tess_pane_fit (&panes[i], scene);
    if (c->zoom > 0.0) {
      panes[i].zoom = c->zoom;
      memcpy (panes[i].pan, c->pan, sizeof c->pan);
    }
  }
  rgba = picture_draw (scene, panes, n_panes, WIDTH, HEIGHT, volumes);
  if (rgba)
    compare (&oracle, panes, n_panes, rgba, volumes ? 1e-3 : 1e-9, volumes ? 1e-3 : 1e-4);
  for (int i = 0; i < oracle.n_layers; i++)
    g_free (oracle.layers[i].stored);
}

static void
test_planes (gconstpointer data)
{
  draw_and_compare (data, FALSE);
}

static void
test_volumes (gconstpointer data)
{
  draw_and_compare (data, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *planes = g_strdup_printf ("/render/oracle/planes/%s", cases[i].name);
    g_autofree char *volumes = g_strdup_printf ("/render/oracle/volumes/%s", cases[i].name);

    g_test_add_data_func (planes, &cases[i], test_planes);
    g_test_add_data_func (volumes, &cases[i], test_volumes);
  }
  return g_test_run ();
}
