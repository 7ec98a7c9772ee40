#include "data-run.h"
#include "host-cuda.h"
#include "infer-fixture.h"
#include "tess-cpu-backend.h"
#include "tess-cuda-private.h"

#include <math.h>

/* What the plugin keeps in the card's memory beside programs, its own sources on the processor (host-cuda.h): bands of
 * logits and patches are the processor's to the bit, whatever room the card has. */

static void
assert_same (const TessVolume *a, const TessVolume *b)
{
  g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), tess_volume_data (b), tess_volume_n_bytes (b));
}

static void
test_band (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  gsize whole = host_cuda.memory;
  gboolean near;
  g_autoptr (TessVolume) theirs = band_run (tess_cpu_backend (), i, &near, &error);
  guint n_near = 0, n_refused = 0, n_on_card = 0;
  guint seen[256] = {0}, n_labels = 0;

  g_assert_no_error (error);
  for (gint64 v = 0; v < tess_volume_n_voxels (theirs); v++)
    n_labels += seen[((const guint8 *)tess_volume_data (theirs))[v]]++ == 0;
  g_assert_cmpuint (n_labels, >, 1);
  for (guint pass = 0; pass < 2; pass++) {
    g_autoptr (TessVolume) ours = NULL;

    host_cuda.backwards = pass;
    ours = band_run (&tess_cuda_iface, i, &near, &error);
    host_cuda.backwards = false;
    g_assert_no_error (error);
    g_assert_false (near);
    assert_same (ours, theirs);
  }
  /* Cards from too small for anything to large enough: the band may lie in the host's memory, the labels stay. */
  for (gsize memory = 600; memory < 1 << 22; memory += memory / 8) {
    g_autoptr (TessVolume) ours = NULL;

    host_cuda.memory = memory;
    ours = band_run (&tess_cuda_iface, i, &near, &error);
    host_cuda.memory = whole;
    g_assert_cmpuint (host_cuda.taken, ==, 0);
    g_assert_true ((ours == NULL) == (error != NULL));
    if (ours) {
      assert_same (ours, theirs);
      n_near += near;
      n_on_card += !near;
    } else {
      g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
      n_refused++;
    }
    g_clear_error (&error);
  }
  g_test_message ("%u cards refused, %u left the band with the host, %u held it", n_refused, n_near, n_on_card);
  g_assert_cmpuint (n_near, >, 0);
  g_assert_cmpuint (n_on_card, >, 0);
}

static void
test_sums (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) theirs = band_sums (tess_cpu_backend (), &error);

  for (guint pass = 0; pass < 2; pass++) {
    g_autoptr (GBytes) ours = NULL;

    host_cuda.backwards = pass;
    ours = band_sums (&tess_cuda_iface, &error);
    host_cuda.backwards = false;
    g_assert_no_error (error);
    g_assert_true (g_bytes_equal (ours, theirs));
  }
}

static void
test_sample (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  SampleRun run;

  for (guint pass = 0; pass < 2; pass++) {
    host_cuda.backwards = pass;
    g_assert_true (sample_run (&tess_cuda_iface, GPOINTER_TO_UINT (data), &run, &error));
    host_cuda.backwards = false;
    g_assert_no_error (error);
    g_test_message ("%zu voxels, %zu of other labels than the first; largest difference %.3g, %zu labels differ",
                    run.n_voxels, run.n_mixed, run.largest, run.n_labels_differ);
    g_assert_cmpuint (run.n_mixed, >, run.n_voxels / 30);
    g_assert_true (run.same_bits);
    g_assert_cmpuint (host_cuda.taken, ==, 0);
  }
}

/* Whichever call fails while a band is used or patches are drawn: an error, and nothing left behind. */
static void
test_faults (void)
{
  guint n_failed = 0;

  for (glong at = 1;; at++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) out = NULL;
    gboolean near, ok;
    SampleRun run;

    host_cuda.n_calls = 0;
    host_cuda.fails_at = at;
    out = band_run (&tess_cuda_iface, 3, &near, &error);
    ok = out != NULL && sample_run (&tess_cuda_iface, 0, &run, &error);
    host_cuda.fails_at = 0;
    g_assert_true (ok == (error == NULL));
    g_assert_cmpuint (host_cuda.taken, ==, 0);
    if (host_cuda.n_calls < at)
      break;
    n_failed += !ok;
  }
  g_test_message ("%u failures were reported", n_failed);
  g_assert_cmpuint (n_failed, >, 100);
}

/* Numbers that do not fit the buffers never reach a kernel. */
static void
test_refused (void)
{
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cuda = &tess_cuda_iface;
  TessDevice *device = cuda->open (0, 0, &error);
  TessBuffer *small = cuda->buffer_new (device, 64, &error), *large = cuda->buffer_new (device, 4096, &error);
  TessBand band = {.dim = {4, 4, 4}, .n_slots = 4, .channels = 2, .sum = large, .weight = large};
  TessBandTile tile = {.hi = {4, 4, 4}, .logits = large};
  TessBandLabels labels = {.dim = {4, 4, 4}, .z1 = 4, .labels = large};
  TessSample sample = {.dim = {4, 4, 4}, .n_channels = 1, .size = {8, 8, 8}, .image = large};

  sample.channel[0] = (TessSampleChannel){.voxels = small, .dtype = TESS_DTYPE_U8};
  g_assert_true (cuda->band_add (device, &band, &tile, &error));
  g_assert_true (cuda->band_labels (device, &band, &labels, &error));
  g_assert_true (cuda->sample (device, &sample, &error));
  for (guint i = 0; i < 12; i++) {
    TessBand b = band;
    TessBandTile t = tile;
    TessBandLabels l = labels;
    TessSample s = sample;

    switch (i) {
    case 0:
      b.sum = small;
      break;
    case 1:
      b.weight = small;
      break;
    case 2:
      t.offset = 4096 - 4;
      break;
    case 3:
      t.weights = small;
      break;
    case 4:
      l.z1 = 5;
      break;
    case 5:
      l.labels = small;
      l.dim[0] = 5;
      break;
    case 6:
      l.position[0] = l.position[1] = small;
      break;
    case 7:
      s.image_offset = 4096 - 2044;
      break;
    case 8:
      s.label = large;
      break;
    case 9:
      s.channel[0].dtype = TESS_DTYPE_I16;
      break;
    case 10:
      s.channel[0].dtype = TESS_N_DTYPES;
      break;
    default:
      s.n_channels = TESS_SAMPLE_MAX_CHANNELS + 1;
    }
    g_assert_false (i < 4   ? cuda->band_add (device, &b, &t, &error)
                    : i < 7 ? cuda->band_labels (device, &b, &l, &error)
                            : cuda->sample (device, &s, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
    g_clear_error (&error);
  }
  cuda->buffer_free (small);
  cuda->buffer_free (large);
  cuda->close (device);
}

typedef struct {
  const char *name;
  gint64 patch[3], dim[3];
  guint n_channels;
  double spacing[3], native[3];
} Scan;

static const Scan scans[] = {
    {"native", {16, 16, 8}, {33, 29, 20}, 1, {1, 1, 1}, {1, 1, 1}},
    {"finer", {16, 12, 8}, {31, 29, 27}, 2, {1, 1, 1}, {0.8, 0.7, 0.6}},
    {"coarser", {8, 8, 8}, {11, 9, 8}, 1, {1, 1, 1}, {1.6, 1.5, 2.2}},
    {"slices", {16, 16, 1}, {29, 25, 4}, 3, {1, 1, 4}, {0.9, 0.9, 4}},
};

static TessVolume *
segment (const Scan *s, const TessBackendIface *backend, TessModel *model, guint mirror)
{
  static const double angle[3] = {0.2, 0.1, 0.4}, offset[3] = {5, -3, 2};
  TessAffine affine = fixture_affine (s->native, angle, offset);
  g_autoptr (TessVolume) scan = fixture_scan (s->dim, s->n_channels, &affine, 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPredictor) predictor = tess_predictor_new (model, backend, 0, 2, TESS_DTYPE_F32, &error);
  TessVolume *out;

  g_assert_no_error (error);
  tess_predictor_set_mirror (predictor, mirror);
  out = tess_predictor_run (predictor, &scan, 1, NULL, &error);
  g_assert_no_error (error);
  return out;
}

/* The whole way of a scan through the card: with room for the scan, for the band alone, and for neither. */
static void
test_predict (gconstpointer data)
{
  const Scan *s = &scans[GPOINTER_TO_UINT (data)];
  g_autoptr (TessPlan) plan = fixture_plan (s->n_channels, 3, s->spacing, s->patch);
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "m.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessModel) model = NULL;
  g_autoptr (TessVolume) theirs = NULL;
  g_autoptr (TessVolume) ours = NULL;
  gsize whole = host_cuda.memory, peak;
  guint n = 0, mirror = s->patch[2] == 1 ? 7 : 0;

  fixture_save_model (path, plan, 7, NULL);
  model = tess_model_load (path, &error);
  g_assert_no_error (error);
  theirs = segment (s, tess_cpu_backend (), model, mirror);
  host_cuda.peak = 0;
  ours = segment (s, &tess_cuda_iface, model, mirror);
  peak = host_cuda.peak;
  for (gint64 i = 0; i < tess_volume_n_voxels (ours); i++)
    n += ((const guint8 *)tess_volume_data (ours))[i] != ((const guint8 *)tess_volume_data (theirs))[i];
  g_test_message ("%u of %" G_GINT64_FORMAT " voxels differ from the CPU backend's", n, tess_volume_n_voxels (ours));
  g_assert_cmpuint (n, <=, (guint)tess_volume_n_voxels (ours) / 1000); /* logits differ in their last digits */
  for (guint left = 0; left < 2; left++) {
    g_autoptr (TessVolume) again = NULL;

    /* The last taken is the scan, before it the band. */
    host_cuda.memory = left ? peak - 1 : peak - (gsize)tess_volume_n_voxels (ours) * 2 * s->n_channels - 1;
    again = segment (s, &tess_cuda_iface, model, mirror);
    host_cuda.memory = whole;
    assert_same (again, ours);
    g_assert_cmpuint (host_cuda.taken, ==, 0);
  }
  fixture_remove (folder);
}

static void
add_each (const char *name, guint n, const char *(*nth) (guint), GTestDataFunc func)
{
  for (guint i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("/cuda/data/%s/%s", name, nth (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), func);
  }
}

static const char *
scan_name (guint i)
{
  return scans[i].name;
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  add_each ("band", band_run_n (), band_run_name, test_band);
  add_each ("sample", sample_run_n (), sample_run_name, test_sample);
  add_each ("predict", G_N_ELEMENTS (scans), scan_name, test_predict);
  g_test_add_func ("/cuda/data/sums", test_sums);
  g_test_add_func ("/cuda/data/faults", test_faults);
  g_test_add_func ("/cuda/data/refused", test_refused);
  return g_test_run ();
}
