#include "sampler-fixture.h"

#include "tess-parallel.h"
#include "tess-philox.h"
#include "tess-sampler-private.h"
#include "tess-thread.h"

#include <math.h>

static void
assert_same_bits (const Patch *a, const Patch *b)
{
  g_assert_cmpmem (a->out.image, a->n * a->n_channels * sizeof (float), b->out.image,
                   b->n * b->n_channels * sizeof (float));
  g_assert_cmpmem (a->out.label, a->n, b->out.label, b->n);
}

static const double unit_spacing[3] = {1, 1, 1};
static const gint64 dim_default[3] = {23, 19, 14}, patch_default[3] = {10, 9, 7};

static void
set_augmentation (TessPlan *plan, double rotation, double scale, double mirror)
{
  plan->augmentation.rotation_probability = rotation;
  plan->augmentation.scale_probability = scale;
  for (int a = 0; a < 3; a++)
    plan->augmentation.mirror_probability[a] = mirror;
}

/* ---- exactness ---- */

static float
native_value (const TessPlan *plan, const TessCase *c, guint channel, const gint64 v[3])
{
  const gint64 *dim = tess_volume_dim (c->images[0]);
  TessNormaliser n;

  for (int a = 0; a < 3; a++)
    if (v[a] < 0 || v[a] >= dim[a])
      return 0.0f;
  tess_normaliser_init (&n, &plan->channels[channel], &c->statistics[channel]);
  return tess_normaliser_apply (&n, (float)channel_value (channel, v[0], v[1], v[2]));
}

static guint8
native_label (const TessCase *c, const gint64 v[3])
{
  const gint64 *dim = tess_volume_dim (c->images[0]);

  for (int a = 0; a < 3; a++)
    if (v[a] < 0 || v[a] >= dim[a])
      return 0;
  return label_value (v[0], v[1], v[2]);
}

static void
test_identity (void)
{
  static const gint64 origins[][3] = {{0, 0, 0}, {3, 5, 2}, {-4, -3, -6}, {18, 15, 12}, {100, 0, 0}, {-50, 0, 3}};
  /* A spacing that differs in the last digits of a float counts as the scan's own. */
  static const double native[3] = {0.7f, 0.7f, 2.5}, spacing[3] = {0.7, 0.7 * (1 + 5e-7), 2.5};
  g_autoptr (TessPlan) plan = make_plan (spacing, patch_default, 2);
  g_autoptr (TessCase) c = make_case (dim_default, native, 2);
  TessGrid target = tess_sampler_target_grid (plan, c), own = tess_volume_grid (c->images[0]);

  g_assert_true (tess_grid_equal (&target, &own, 0.0));
  for (guint o = 0; o < G_N_ELEMENTS (origins); o++) {
    TessSampleKey key = {.origin = {origins[o][0], origins[o][1], origins[o][2]}};
    Patch p, slow;
    TessAffine mapping;
    GError *error = NULL;
    gsize at = 0;

    g_assert_true (tess_sampler_mapping (plan, c, &key, &mapping, &error));
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 4; j++)
        g_assert_true (mapping.m[i][j] == (j == 3 ? (double)origins[o][i] : i == j ? 1.0 : 0.0));
    patch_draw (&p, plan, c, &key, NULL);
    for (gint64 z = 0; z < 7; z++)
      for (gint64 y = 0; y < 9; y++)
        for (gint64 x = 0; x < 10; x++, at++) {
          const gint64 v[3] = {x + origins[o][0], y + origins[o][1], z + origins[o][2]};

          for (guint ch = 0; ch < 2; ch++)
            g_assert_true (p.out.image[2 * at + ch] == native_value (plan, c, ch, v));
          g_assert_cmpint (p.out.label[at], ==, native_label (c, v));
        }
    /* Copying and interpolating agree to the bit. */
    patch_alloc (&slow, plan, NULL);
    g_assert_true (tess_sampler_voxels (plan, c, &mapping, FALSE, &slow.out, &error));
    assert_same_bits (&p, &slow);
    patch_clear (&p);
    patch_clear (&slow);
  }
}

static void
test_mirror (void)
{
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, patch_default, 2);
  g_autoptr (TessCase) c = make_case (dim_default, unit_spacing, 2);
  TessSampleKey plain = {.random = TRUE, .seed = 3, .sample = 11}, mirrored = plain;
  TessAffine mapping, twice;
  GError *error = NULL;
  Patch a, b, slow;

  mirrored.augment = TRUE;
  patch_draw (&a, plan, c, &plain, NULL);
  set_augmentation (plan, 0, 0, 1);
  patch_draw (&b, plan, c, &mirrored, NULL);
  /* All three axes flipped: the voxels in reverse order; and so twice is the identity. */
  for (gsize i = 0; i < a.n; i++) {
    g_assert_cmpint (a.out.label[i], ==, b.out.label[a.n - 1 - i]);
    for (gsize ch = 0; ch < 2; ch++)
      g_assert_true (a.out.image[2 * i + ch] == b.out.image[2 * (a.n - 1 - i) + ch]);
  }
  g_assert_true (tess_sampler_mapping (plan, c, &mirrored, &mapping, &error));
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++)
      g_assert_true (mapping.m[i][j] == (i == j ? -1.0 : 0.0));
  twice = tess_affine_compose (&mapping, &mapping);
  g_assert_true (tess_affine_equal (&twice, &(TessAffine){{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}, 0.0));
  patch_alloc (&slow, plan, NULL);
  g_assert_true (tess_sampler_voxels (plan, c, &mapping, FALSE, &slow.out, &error));
  assert_same_bits (&b, &slow);
  patch_clear (&a);
  patch_clear (&b);
  patch_clear (&slow);
}

static void
test_region (void)
{
  static const double native[3] = {0.8, 1.1, 3.0}, spacing[3] = {1.0, 0.9, 2.2};
  g_autoptr (TessPlan) plan = make_plan (spacing, patch_default, 2);
  g_autoptr (TessCase) c = make_case (dim_default, native, 2);

  set_augmentation (plan, 1, 1, 0.5);
  for (guint32 s = 0; s < 60; s++) {
    TessSampleKey key = {.random = s % 3 > 0, .augment = s % 2, .seed = 5, .sample = s, .origin = {-3, 2, 1}};
    TessPhilox4 lo = tess_philox (99, 0, s, 0, 0), size = tess_philox (99, 0, s, 0, 1);
    TessBox region;
    Patch whole, part;
    gsize at = 0;

    for (int a = 0; a < 3; a++) {
      region.lo[a] = tess_philox_below (lo.v[a], (guint32)plan->patch[a]);
      region.hi[a] = region.lo[a] + 1 + tess_philox_below (size.v[a], (guint32)(plan->patch[a] - region.lo[a]));
    }
    patch_draw (&whole, plan, c, &key, NULL);
    patch_draw (&part, plan, c, &key, &region);
    for (gint64 z = region.lo[2]; z < region.hi[2]; z++)
      for (gint64 y = region.lo[1]; y < region.hi[1]; y++)
        for (gint64 x = region.lo[0]; x < region.hi[0]; x++, at++) {
          gsize i = (gsize)((z * plan->patch[1] + y) * plan->patch[0] + x);

          g_assert_cmpmem (part.out.image + 2 * at, 8, whole.out.image + 2 * i, 8);
          g_assert_cmpint (part.out.label[at], ==, whole.out.label[i]);
        }
    patch_clear (&whole);
    patch_clear (&part);
  }
}

/* ---- determinism ---- */

typedef struct {
  const TessPlan *plan;
  const TessCase *c;
  Patch patches[16];
  guint n_threads;
} Drawer;

static void
drawer_run (gpointer data)
{
  Drawer *d = data;

  tess_parallel_set_threads (d->n_threads);
  for (guint32 s = 0; s < G_N_ELEMENTS (d->patches); s++) {
    TessSampleKey key = {.random = TRUE, .foreground = s & 1, .augment = TRUE, .seed = 21, .epoch = 4, .sample = s};

    patch_draw (&d->patches[s], d->plan, d->c, &key, NULL);
  }
}

static void
test_threads (void)
{
  static const gint64 dim[3] = {60, 52, 40}, size[3] = {48, 40, 36};
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, size, 2);
  g_autoptr (TessCase) c = make_case (dim, unit_spacing, 2);
  Drawer drawers[4];
  TessThread *threads[4];

  set_augmentation (plan, 0.7, 0.7, 0.5);
  for (guint i = 0; i < 4; i++) {
    drawers[i] = (Drawer){.plan = plan, .c = c, .n_threads = i + 1};
    threads[i] = tess_thread_new ("drawer", 0, drawer_run, &drawers[i]);
  }
  for (guint i = 0; i < 4; i++)
    tess_thread_join (threads[i]);
  for (guint s = 0; s < G_N_ELEMENTS (drawers[0].patches); s++) {
    for (guint i = 1; i < 4; i++)
      assert_same_bits (&drawers[0].patches[s], &drawers[i].patches[s]);
    if (s > 0) /* another key, another patch */
      g_assert_cmpint (memcmp (drawers[0].patches[s].out.image, drawers[0].patches[s - 1].out.image,
                               drawers[0].patches[s].n * 2 * sizeof (float)),
                       !=, 0);
  }
  for (guint i = 0; i < 4; i++)
    for (guint s = 0; s < G_N_ELEMENTS (drawers[i].patches); s++)
      patch_clear (&drawers[i].patches[s]);
}

/* ---- what is drawn ---- */

static void
test_distribution (void)
{
  enum { N = 6000 };
  static const double spacing[3] = {0.8, 1.1, 3.0};
  g_autoptr (TessPlan) plan = make_plan (spacing, patch_default, 1);
  g_autoptr (TessCase) c = make_case (dim_default, spacing, 1);
  guint rotated = 0, scaled = 0, mirrored = 0;
  double scale_sum = 0.0, scale_low = 9.0, scale_high = 0.0, angle_high = 0.0;

  set_augmentation (plan, 0.2, 0.3, 0.5);
  for (guint32 s = 0; s < N; s++) {
    TessSampleKey key = {.augment = TRUE, .seed = 1, .epoch = s % 10, .sample = s / 10};
    TessAffine m;
    double mm[3][3], scale, det, centre[3] = {4.5, 4, 3}, at[3];

    g_assert_true (tess_sampler_mapping (plan, c, &key, &m, NULL));
    tess_affine_apply (&m, centre, at);
    for (int a = 0; a < 3; a++)
      g_assert_cmpfloat_with_epsilon (at[a], centre[a], 1e-9); /* everything turns about the centre */
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++)
        mm[i][j] = m.m[i][j] * spacing[i] / spacing[j];
    det = tess_affine_determinant (&m);
    scale = cbrt (fabs (det));
    for (int i = 0; i < 3; i++) /* rigid in millimetres: columns of one length, at right angles */
      for (int j = 0; j < 3; j++) {
        double dot = mm[0][i] * mm[0][j] + mm[1][i] * mm[1][j] + mm[2][i] * mm[2][j];

        g_assert_cmpfloat_with_epsilon (dot, i == j ? scale * scale : 0.0, 1e-9);
      }
    if (fabs (scale - 1.0) > 1e-12) {
      scaled++;
      scale_sum += scale;
      scale_low = MIN (scale_low, scale);
      scale_high = MAX (scale_high, scale);
    }
    mirrored += det < 0.0;
    if (fabs (mm[0][1]) > 1e-12) {
      double angle = asin (CLAMP (fabs (mm[2][0]) / scale, 0.0, 1.0)) * 180.0 / G_PI; /* about y, sign apart */

      rotated++;
      angle_high = MAX (angle_high, angle);
    }
  }
  /* Five standard deviations of a binomial share of N are below 0.033. */
  g_assert_cmpfloat_with_epsilon ((double)rotated / N, 0.2, 0.033);
  g_assert_cmpfloat_with_epsilon ((double)scaled / N, 0.3, 0.033);
  g_assert_cmpfloat_with_epsilon ((double)mirrored / N, 0.5, 0.033);
  g_assert_cmpfloat_with_epsilon (scale_sum / scaled, 1.05, 0.03);
  g_assert_cmpfloat (scale_low, >=, 0.7);
  g_assert_cmpfloat (scale_high, <, 1.4);
  g_assert_cmpfloat (scale_low, <, 0.71);
  g_assert_cmpfloat (scale_high, >, 1.39);
  g_assert_cmpfloat (angle_high, <=, 30.0);
  g_assert_cmpfloat (angle_high, >, 29.0);
}

static void
test_places (void)
{
  enum { N = 4000 };
  static const gint64 size[3] = {18, 25, 7}; /* room 5, -6, 7 */
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, size, 1);
  g_autoptr (TessCase) c = make_case (dim_default, unit_spacing, 1);
  guint seen[2][16] = {{0}};

  for (guint32 s = 0; s < N; s++) {
    TessSampleKey key = {.random = TRUE, .seed = 8, .sample = s};
    TessAffine m;

    g_assert_true (tess_sampler_mapping (plan, c, &key, &m, NULL));
    g_assert_true (m.m[1][3] == -3.0); /* (25 - 19) / 2 before */
    g_assert_true (m.m[0][3] >= 0 && m.m[0][3] <= 5 && m.m[2][3] >= 0 && m.m[2][3] <= 7);
    seen[0][(int)m.m[0][3]]++;
    seen[1][(int)m.m[2][3]]++;
  }
  for (int i = 0; i <= 5; i++)
    g_assert_cmpfloat_with_epsilon (seen[0][i] / (double)N, 1.0 / 6.0, 0.03);
  for (int i = 0; i <= 7; i++)
    g_assert_cmpfloat_with_epsilon (seen[1][i] / (double)N, 1.0 / 8.0, 0.03);
}

static void
test_foreground (void)
{
  enum { N = 1500 };
  static const gint64 dim[3] = {40, 36, 30};
  static const double native[3] = {1, 1, 2}, spacing[3] = {1, 1.25, 1.5};
  TessAffine affine = tess_affine_scale (1, 1, 2);
  g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  guint8 *labels = tess_volume_data_mut (label);
  g_autoptr (TessPlan) plan = make_plan (spacing, patch_default, 1);
  g_autoptr (TessCase) c = NULL;
  guint with_small = 0;

  /* A large class 1, a single voxel of class 3 in a corner, no class 2. */
  for (gint64 z = 10; z < 20; z++)
    for (gint64 y = 10; y < 20; y++)
      memset (labels + (z * dim[1] + y) * dim[0] + 15, 1, 20);
  labels[(29 * dim[1] + 35) * dim[0] + 39] = 3;
  c = tess_case_new ("case", &image, 1, label, N_LABELS, NULL);
  g_assert_cmpuint (c->class_count[1], ==, 2000);
  g_assert_cmpuint (c->class_count[2], ==, 0);
  g_assert_cmpuint (c->class_count[3], ==, 1);
  for (guint32 s = 0; s < N; s++) {
    TessSampleKey key = {.random = TRUE, .foreground = TRUE, .seed = 2, .sample = s};
    TessAffine m;
    gboolean small, any = FALSE;
    Patch p;

    g_assert_true (tess_sampler_mapping (plan, c, &key, &m, NULL));
    small = m.m[0][3] == 30.0 && m.m[1][3] > 20.0; /* clamped to the far corner */
    with_small += small;
    if (s < 200) {
      patch_draw (&p, plan, c, &key, NULL);
      for (gsize i = 0; i < p.n; i++)
        any |= p.out.label[i] == (small ? 3 : 1);
      g_assert_true (any);
      patch_clear (&p);
    }
    for (int a = 0; a < 3; a++) { /* never beyond the scan */
      double first = m.m[a][3], last = first + m.m[a][a] * (double)(plan->patch[a] - 1);

      g_assert_true (first >= -0.51 && last <= (double)dim[a] - 0.49 + native[a] * 0);
    }
  }
  g_assert_cmpfloat_with_epsilon ((double)with_small / N, 0.5, 0.065); /* classes, not voxels, are equally likely */
}

/* No foreground at all: any place. */
static void
test_no_foreground (void)
{
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_F32, dim_default, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim_default, 1, &affine, NULL);
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, patch_default, 1);
  g_autoptr (TessCase) c = tess_case_new ("case", &image, 1, label, N_LABELS, NULL);
  TessSampleKey random = {.random = TRUE, .seed = 4, .sample = 3}, forced = random;
  TessAffine a, b;

  forced.foreground = TRUE;
  g_assert_true (tess_sampler_mapping (plan, c, &random, &a, NULL));
  g_assert_true (tess_sampler_mapping (plan, c, &forced, &b, NULL));
  g_assert_true (tess_affine_equal (&a, &b, 0.0));
}

/* ---- spacing ---- */

/* A linear function of world position is kept by linear interpolation, so a sampled value tells where it was taken: at
 * the target voxel's own place in the world. */
static void
test_spacing (void)
{
  static const gint64 dim[3] = {30, 24, 12}, size[3] = {20, 20, 20};
  static const double spacing[3] = {1.6, 0.7, 2.0};
  TessAffine affine = {{{0.6, -0.8, 0, 10}, {0.8, 0.6, 0, -7}, {0, 0, 3.5, 5}}};
  TessVolume *images[3];
  g_autoptr (TessPlan) plan = tess_plan_new ();
  g_autoptr (TessCase) c = NULL;
  TessSampleKey key = {0};
  TessGrid target;
  gsize at = 0;
  Patch p;

  for (int w = 0; w < 3; w++) {
    float *v;

    images[w] = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
    v = tess_volume_data_mut (images[w]);
    for (gint64 i = 0; i < dim[0] * dim[1] * dim[2]; i++) {
      double index[3] = {(double)(i % dim[0]), (double)(i / dim[0] % dim[1]), (double)(i / dim[0] / dim[1])};
      double world[3];

      tess_affine_apply (&affine, index, world);
      v[i] = (float)world[w];
    }
    tess_plan_add_channel (plan, "position", TESS_NORM_NONE);
  }
  memcpy (plan->spacing, spacing, sizeof spacing);
  memcpy (plan->patch, size, sizeof size);
  c = tess_case_new ("case", images, 3, NULL, N_LABELS, NULL);
  target = tess_sampler_target_grid (plan, c);
  g_assert_cmpint (target.dim[0], ==, 19); /* 30 / 1.6 = 18.75 */
  g_assert_cmpint (target.dim[1], ==, 34);
  g_assert_cmpint (target.dim[2], ==, 21);
  patch_alloc (&p, plan, NULL);
  g_clear_pointer (&p.out.label, g_free);
  g_assert_true (tess_sampler_draw (plan, c, &key, &p.out, NULL));
  for (gint64 z = 0; z < 20; z++)
    for (gint64 y = 0; y < 20; y++)
      for (gint64 x = 0; x < 20; x++, at++) {
        double index[3] = {(double)x, (double)y, (double)z}, world[3];

        if (x < 1 || x > 17 || y < 1 || z < 1) /* the outermost voxels reach beyond the scan's voxel centres */
          continue;
        tess_affine_apply (&target.affine, index, world);
        for (int w = 0; w < 3; w++)
          g_assert_cmpfloat_with_epsilon (p.out.image[3 * at + (gsize)w], world[w], 1e-4);
      }
  patch_clear (&p);
  for (int w = 0; w < 3; w++)
    tess_volume_unref (images[w]);
}

/* Twice the spacing: every patch voxel lies in the middle of eight, and equal votes go to the lower label. */
static void
test_ties (void)
{
  static const gint64 dim[3] = {4, 4, 4}, size[3] = {2, 2, 2};
  static const double spacing[3] = {2, 2, 2};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  guint8 *v = tess_volume_data_mut (image), *l = tess_volume_data_mut (label);
  g_autoptr (TessPlan) plan = make_plan (spacing, size, 1);
  g_autoptr (TessCase) c = NULL;
  TessSampleKey key = {0};
  Patch p;

  plan->channels[0].norm = TESS_NORM_NONE;
  for (int i = 0; i < 64; i++) {
    int x = i % 4, y = i / 4 % 4;

    v[i] = (guint8)i;
    if (x < 2)
      l[i] = y % 2 ? 1 : 3; /* four votes each */
    else
      l[i] = (guint8[]){2, 3, 3, 1}[(x - 2) + 2 * (y % 2)]; /* 2 3 3 1 twice: 3 wins */
  }
  c = tess_case_new ("case", &image, 1, label, N_LABELS, NULL);
  patch_draw (&p, plan, c, &key, NULL);
  for (int i = 0; i < 8; i++) {
    g_assert_cmpint (p.out.label[i], ==, i % 2 ? 3 : 1);
    /* Mean of the eight voxel numbers: the lowest plus half of 1 + 4 + 16. */
    g_assert_cmpfloat (p.out.image[i], ==, (i % 2) * 2 + (i / 2 % 2) * 8 + (i / 4) * 32 + 10.5f);
  }
  patch_clear (&p);
}

static void
test_not_finite (void)
{
  static const float odd[3] = {NAN, INFINITY, -INFINITY};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_F32, dim_default, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim_default, 1, &affine, NULL);
  float *v = tess_volume_data_mut (image);
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, patch_default, 1);
  g_autoptr (TessCase) c = NULL;

  for (gint64 i = 0; i < tess_volume_n_voxels (image); i++)
    v[i] = i % 17 < 3 ? odd[i % 17] : (float)(i % 31);
  c = tess_case_new ("case", &image, 1, label, N_LABELS, NULL);
  set_augmentation (plan, 1, 1, 0.5);
  for (guint32 s = 0; s < 4; s++) {
    TessSampleKey key = {.random = TRUE, .augment = s & 1, .sample = s};
    Patch p;

    patch_draw (&p, plan, c, &key, NULL);
    for (gsize i = 0; i < p.n; i++)
      g_assert_true (fabsf (p.out.image[i]) < 4.0f);
    patch_clear (&p);
  }
}

static void
test_errors (void)
{
  g_autoptr (TessPlan) plan = make_plan (unit_spacing, patch_default, 2);
  g_autoptr (TessCase) one = make_case (dim_default, unit_spacing, 1), two = make_case (dim_default, unit_spacing, 2);
  g_autoptr (TessCase) bare = tess_case_new ("bare", two->images, 2, NULL, N_LABELS, NULL);
  TessSampleKey key = {0};
  GError *error = NULL;
  Patch p;

  patch_alloc (&p, plan, NULL);
  g_assert_false (tess_sampler_draw (plan, one, &key, &p.out, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  g_assert_false (tess_sampler_draw (plan, bare, &key, &p.out, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  p.out.region.hi[1]++;
  g_assert_false (tess_sampler_draw (plan, two, &key, &p.out, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  patch_clear (&p);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augment/sampler/identity", test_identity);
  g_test_add_func ("/augment/sampler/mirror", test_mirror);
  g_test_add_func ("/augment/sampler/region", test_region);
  g_test_add_func ("/augment/sampler/threads", test_threads);
  g_test_add_func ("/augment/sampler/distribution", test_distribution);
  g_test_add_func ("/augment/sampler/places", test_places);
  g_test_add_func ("/augment/sampler/foreground", test_foreground);
  g_test_add_func ("/augment/sampler/no-foreground", test_no_foreground);
  g_test_add_func ("/augment/sampler/spacing", test_spacing);
  g_test_add_func ("/augment/sampler/ties", test_ties);
  g_test_add_func ("/augment/sampler/not-finite", test_not_finite);
  g_test_add_func ("/augment/sampler/errors", test_errors);
  return g_test_run ();
}
