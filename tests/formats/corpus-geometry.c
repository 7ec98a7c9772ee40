#include "corpus-geometry.h"
#include "tess-format-registry.h"

#include <math.h>
#include <string.h>

const gint64 corpus_dim[3] = {5, 6, 7};
const gint64 corpus_planted[CORPUS_N_PLANTED][3] = {{3, 1, 2}, {0, 4, 1}, {4, 5, 3}, {2, 0, 0}};

/* rows a and b of m turned, as by rotation (axis, degrees) from the left */
static void
turn (double m[3][3], int axis, double degrees)
{
  int a = axis == 0 ? 1 : 0, b = axis == 2 ? 1 : 2;
  double angle = degrees * G_PI / 180, c = cos (angle), s = sin (angle);

  for (int k = 0; k < 3; k++) {
    double x = m[a][k], y = m[b][k];

    m[a][k] = c * x - s * y;
    m[b][k] = s * x + c * y;
  }
}

/* The matrices of tests/reference/corpus.py. */
static void
tilt_matrix (guint tilt, double m[3][3])
{
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++)
      m[i][k] = i == k;
  if (tilt == 2) {
    m[0][2] = 0.1;
    m[1][2] = 0.2;
  }
  if (tilt == 1 || tilt == 2) {
    turn (m, 2, 21);
    turn (m, 1, -7);
    turn (m, 0, 13);
  } else if (tilt == 3) {
    turn (m, 2, 45);
    m[0][0] = m[1][0] = m[1][1] = M_SQRT1_2;
    m[0][1] = -M_SQRT1_2;
  } else if (tilt == 4) {
    turn (m, 0, 44.99);
  } else if (tilt == 5) {
    turn (m, 1, 45.01);
  }
}

CorpusGeometry
corpus_geometry (guint number)
{
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  CorpusGeometry g = {
      .number = number, .tilt = number / 48, .spacing = {0.75, 1.5, 3.25}, .origin = {-91.5, 126.25, -72}};
  guint order = number % 48 / 8, signs = number % 8;
  double m[3][3];

  tilt_matrix (g.tilt, m);
  for (int k = 0; k < 3; k++) {
    int from = orders[order][k];
    double sign = (signs >> (2 - k) & 1) ? -1 : 1, length = 0;

    for (int r = 0; r < 3; r++)
      length += m[r][from] * m[r][from];
    for (int r = 0; r < 3; r++)
      g.direction[k][r] = sign * m[r][from] / sqrt (length);
  }
  return g;
}

gboolean
corpus_is_left_handed (const CorpusGeometry *g)
{
  const double *a = g->direction[0], *b = g->direction[1], *c = g->direction[2];

  return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]) <
         0;
}

void
corpus_world (const CorpusGeometry *g, const double index[3], double world[3])
{
  for (int r = 0; r < 3; r++) {
    world[r] = g->origin[r];
    for (int k = 0; k < 3; k++)
      world[r] += g->direction[k][r] * g->spacing[k] * index[k];
  }
}

double *
corpus_values (const gint64 dim[3])
{
  gsize n = (gsize)(dim[0] * dim[1] * dim[2]);
  double *values = g_new (double, n);

  for (gsize i = 0; i < n; i++)
    values[i] = -1;
  for (int p = 0; p < CORPUS_N_PLANTED; p++) {
    const gint64 *at = corpus_planted[p];

    g_assert_true (at[0] < dim[0] && at[1] < dim[1] && at[2] < dim[2]);
    values[at[0] + dim[0] * (at[1] + dim[1] * at[2])] = 101 + p;
  }
  return values;
}

char *
corpus_letters (JsonObject *reference, const CorpusGeometry *g, gboolean flip)
{
  static const char *const names[CORPUS_N_TILTS + 1] = {"straight", "oblique", "shear", "tie",
                                                        "below",    "above",   "tilted"};
  static const char pairs[] = "RLAPSI";
  g_auto (GStrv) all = g_strsplit (json_object_get_string_member (reference, names[g->tilt]), " ", -1);
  char *letters;

  g_assert_cmpuint (g_strv_length (all), ==, 48);
  letters = g_strdup (all[g->number % 48]);
  for (char *c = letters + 2; flip; c += 4) { /* the third of each answer */
    *c = pairs[(strchr (pairs, *c) - pairs) ^ 1];
    if (!c[1])
      break;
  }
  return letters;
}

static void
check_place (TessVolume *volume, const CorpusGeometry *g, const gint64 found[3], int p, const char *what)
{
  const TessAffine *a = tess_volume_affine (volume);
  double index[3], wanted[3], off = 0;

  for (int k = 0; k < 3; k++)
    index[k] = (double)corpus_planted[p][k];
  corpus_world (g, index, wanted);
  for (int r = 0; r < 3; r++) {
    double world = a->m[r][3] - wanted[r];

    for (int k = 0; k < 3; k++)
      world += a->m[r][k] * (double)found[k];
    off += world * world;
  }
  if (!(sqrt (off) <= 1e-4))
    g_error ("%s, geometry %u: voxel %d is %g mm off its place", what, g->number, p, sqrt (off));
}

void
corpus_check (const char *path, const CorpusGeometry *g, const gint64 dim[3], const char *letters, const char *what)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);
  gint64 at[3];
  guint n_found[CORPUS_N_PLANTED] = {0};
  char codes[4];

  if (error)
    g_error ("%s, geometry %u: %s", what, g->number, error->message);
  g_assert_cmpmem (tess_volume_dim (volume), 3 * sizeof *dim, dim, 3 * sizeof *dim);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, 1);
  for (at[2] = 0; at[2] < dim[2]; at[2]++)
    for (at[1] = 0; at[1] < dim[1]; at[1]++)
      for (at[0] = 0; at[0] < dim[0]; at[0]++) {
        double value = tess_volume_value (volume, at[0], at[1], at[2], 0);
        int p = (int)value - 101;

        if (value == -1)
          continue;
        if (!(value == 101 + p && p >= 0 && p < CORPUS_N_PLANTED))
          g_error ("%s, geometry %u: a voxel is %g", what, g->number, value);
        check_place (volume, g, at, p, what);
        n_found[p]++;
      }
  for (int p = 0; p < CORPUS_N_PLANTED; p++)
    g_assert_cmpuint (n_found[p], ==, 1);
  tess_affine_orientation (tess_volume_affine (volume), codes);
  if (letters && !strstr (letters, codes))
    g_error ("%s, geometry %u: the letters are %s, nibabel says %s", what, g->number, codes, letters);
}
