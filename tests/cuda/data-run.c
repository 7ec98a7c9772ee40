#include "data-run.h"

#include "tess-patch-grid.h"
#include "tess-philox.h"

#include <math.h>

/* ---- bands ---- */

typedef struct {
  const char *name;
  gint64 dim[3]; /* of the scan */
  double spacing[3], target[3];
  gint64 tile[3];
  double step;
  guint n_classes;
  gboolean gaussian, paints;
} BandCase;

static const BandCase bands[] = {
    {"one-grid", {19, 14, 23}, {1, 1, 1}, {1, 1, 1}, {8, 8, 8}, 0.5, 3, TRUE, FALSE},
    {"uniform", {17, 9, 12}, {1, 1, 1}, {1, 1, 1}, {8, 6, 5}, 0.75, 2, FALSE, FALSE},
    {"smaller-than-tile", {5, 7, 3}, {1, 1, 1}, {1, 1, 1}, {8, 8, 8}, 0.5, 4, TRUE, FALSE},
    {"finer-scan", {31, 25, 22}, {0.6, 0.7, 0.8}, {1.1, 1, 1.9}, {8, 8, 4}, 0.5, 5, TRUE, FALSE},
    {"coarser-scan", {9, 8, 11}, {2, 1.7, 3}, {1, 1, 1}, {8, 8, 8}, 0.5, 3, TRUE, FALSE},
    {"one-axis", {16, 15, 9}, {1, 1, 5}, {1, 1, 1.5}, {8, 8, 8}, 0.5, 2, TRUE, FALSE},
    {"slices", {21, 18, 6}, {0.8, 0.8, 6}, {1, 1, 6}, {16, 16, 1}, 0.5, 3, TRUE, FALSE},
    {"regions", {15, 13, 11}, {1, 1, 1}, {1, 1, 1}, {8, 8, 8}, 0.5, 3, TRUE, TRUE},
    {"regions-resampled", {15, 13, 11}, {1, 1.3, 2}, {1.2, 1, 1}, {8, 8, 8}, 0.5, 6, TRUE, TRUE},
    {"many-classes", {7, 6, 5}, {1, 1, 1}, {1, 1, 1.5}, {4, 4, 4}, 0.5, 254, TRUE, FALSE},
};

guint
band_run_n (void)
{
  return G_N_ELEMENTS (bands);
}

const char *
band_run_name (guint i)
{
  return bands[i].name;
}

/* Coarse steps, so that ties occur. */
static void
fill_logits (float *logits, gsize n, guint tile)
{
  for (gsize i = 0; i < n; i++)
    logits[i] = (float)tess_philox_below (tess_philox (7, 0, tile, 0, (guint32)i).v[0], 2001) / 250.0f - 4.0f;
}

static gboolean
add_tiles (const TessBackendIface *backend, const TessPatchGrid *grid, guint n_classes, TessLogitBand *band,
           TessBuffer *buffer, gsize offset, GError **error)
{
  gsize n = (gsize)(grid->size[0] * grid->size[1] * grid->size[2]) * n_classes;
  g_autofree float *logits = g_new (float, n);
  guint64 n_row = tess_patch_grid_n (grid) / grid->n[2], i = 0;

  for (guint z = 0; z < grid->n[2]; z++) {
    if (!tess_logit_band_open (band, grid->start[2][z] + grid->size[2], error))
      return FALSE;
    for (guint64 end = i + n_row; i < end; i++) {
      TessBox box = tess_patch_grid_box (grid, i);

      fill_logits (logits, n, (guint)i);
      if (!backend->upload (buffer, offset, logits, n * sizeof *logits, error) ||
          !tess_logit_band_add (band, &box, buffer, offset, (guint)i % 8, error))
        return FALSE;
    }
    if (!tess_logit_band_finish (band, z + 1 < grid->n[2] ? grid->start[2][z + 1] : grid->dim[2], error))
      return FALSE;
  }
  return TRUE;
}

TessVolume *
band_run (const TessBackendIface *backend, guint i, gboolean *near, GError **error)
{
  static const guint8 paint[] = {3, 1, 2, 7, 5, 4};
  const BandCase *c = &bands[i];
  TessAffine affine = tess_affine_scale (c->spacing[0], c->spacing[1], c->spacing[2]);
  g_autoptr (TessVolume) out = tess_volume_new (TESS_DTYPE_U8, c->dim, 1, &affine, NULL);
  TessGrid scan = tess_volume_grid (out), target = tess_grid_respace (&scan, c->target);
  g_autoptr (TessPatchGrid) grid = tess_patch_grid_new_spread (target.dim, c->tile, c->step, NULL);
  g_autofree float *weights = c->gaussian ? tess_patch_weights_gaussian (c->tile) : NULL;
  gsize bytes = (gsize)(c->tile[0] * c->tile[1] * c->tile[2]) * c->n_classes * sizeof (float), offset = 256;
  TessDevice *device = backend->open (0, 2, error);
  TessBuffer *logits = device ? backend->buffer_new (device, offset + bytes, error) : NULL;
  TessLogitBand *band =
      logits ? tess_logit_band_new (backend, device, &target, out, c->n_classes, c->tile, weights, G_MAXUINT64, error)
             : NULL;
  gboolean ok = band != NULL;

  if (ok && c->paints)
    tess_logit_band_set_regions (band, paint);
  ok = ok && add_tiles (backend, grid, c->n_classes, band, logits, offset, error);
  *near = ok && tess_logit_band_is_near (band);
  tess_logit_band_free (band);
  backend->buffer_free (logits);
  backend->close (device);
  return ok ? g_steal_pointer (&out) : NULL;
}

static gboolean
sum_tiles (const TessBackendIface *backend, TessDevice *device, const TessBand *band, TessBuffer *logits,
           TessBuffer *weights, GError **error)
{
  static const gint64 places[3][3] = {{-2, -1, 0}, {2, 1, 0}, {1, 3, 1}};
  g_autofree float *values = g_new (float, 4 * 5 * 3 * 3);
  gboolean ok = backend->band_clear (device, band, 0, 4, error);

  for (guint i = 0; ok && i < 3; i++) {
    TessBandTile tile = {.logits = logits, .offset = 16, .weights = i < 2 ? weights : NULL, .mirrored = 3 * i};

    for (guint a = 0; a < 3; a++) {
      tile.lo[a] = places[i][a];
      tile.hi[a] = places[i][a] + (const gint64[3]){4, 5, 3}[a];
    }
    fill_logits (values, 4 * 5 * 3 * 3, i);
    ok = backend->upload (logits, 16, values, 4 * 5 * 3 * 3 * sizeof (float), error) &&
         backend->band_add (device, band, &tile, error);
  }
  return ok && backend->band_mean (device, band, 1, 3, error);
}

GBytes *
band_sums (const TessBackendIface *backend, GError **error)
{
  const gsize n = 5 * 6 * 4, tile_bytes = 4 * 5 * 3 * sizeof (float);
  g_autofree float *gaussian = tess_patch_weights_gaussian ((const gint64[3]){4, 5, 3}), *out = g_new (float, 4 * n);
  TessDevice *device = backend->open (0, 2, error);
  TessBuffer *logits = device ? backend->buffer_new (device, 16 + 3 * tile_bytes, error) : NULL;
  TessBuffer *weights = logits ? backend->buffer_new (device, tile_bytes, error) : NULL;
  TessBand band = {.dim = {5, 6, 9}, .n_slots = 4, .channels = 3};
  gboolean ok;

  if (weights)
    band.sum = backend->buffer_new (device, 3 * n * sizeof (float), error);
  if (band.sum)
    band.weight = backend->buffer_new (device, n * sizeof (float), error);
  ok = band.weight && backend->upload (weights, 0, gaussian, tile_bytes, error) &&
       sum_tiles (backend, device, &band, logits, weights, error) &&
       backend->download (band.sum, 0, out, 3 * n * sizeof (float), error) &&
       backend->download (band.weight, 0, out + 3 * n, n * sizeof (float), error);
  backend->buffer_free (logits);
  backend->buffer_free (weights);
  backend->buffer_free (band.sum);
  backend->buffer_free (band.weight);
  backend->close (device);
  return ok ? g_bytes_new (out, 4 * n * sizeof (float)) : NULL;
}

/* ---- patches ---- */

typedef struct {
  const char *name;
  TessDType dtype;
  gint64 dim[3];
  double native[3], spacing[3]; /* native: negative where an axis is flipped */
  gint64 patch[3];
  guint n_channels;
  double slope, intercept, turn; /* radians by which the scan stands oblique */
} SampleCase;

static const SampleCase samples[] = {
    {"u8", TESS_DTYPE_U8, {23, 19, 14}, {1, 1, 1}, {1, 1, 1}, {10, 9, 7}, 1, 1, 0, 0},
    {"i8", TESS_DTYPE_I8, {23, 19, 14}, {1, 1, 1}, {0.9, 1, 1.3}, {10, 9, 7}, 1, 1, 0, 0},
    {"u16", TESS_DTYPE_U16, {13, 29, 14}, {0.7, 0.7, 2.5}, {1, 1, 1}, {12, 8, 8}, 2, 1, 0, 0.3},
    {"i16", TESS_DTYPE_I16, {23, 19, 14}, {0.8, -1.1, 3}, {1, 0.9, 2.2}, {10, 9, 7}, 3, 1, 0, 0.7},
    {"i16-scaled", TESS_DTYPE_I16, {23, 19, 14}, {1, 1, 1}, {1, 1, 1}, {16, 16, 8}, 1, 0.37, -1024, 0},
    {"u32", TESS_DTYPE_U32, {9, 8, 7}, {1, 2, 3}, {1, 2, 3}, {10, 9, 7}, 1, 1, 0, 0},
    {"i32-scaled", TESS_DTYPE_I32, {17, 16, 15}, {1, 1, 1}, {1.7, 1.1, 0.4}, {8, 8, 8}, 1, -2.5, 7, 1.1},
    {"u64", TESS_DTYPE_U64, {17, 16, 15}, {1, 1, 1}, {1, 1, 1}, {8, 8, 8}, 1, 1, 0, 0},
    {"i64", TESS_DTYPE_I64, {17, 16, 15}, {1, 1, 1}, {1, 1, 1}, {8, 8, 8}, 1, 1, 0, 0},
    {"f32", TESS_DTYPE_F32, {25, 22, 18}, {0.5, 0.5, 0.5}, {0.8, 0.8, 0.8}, {16, 16, 16}, 2, 1, 0, 0.2},
    {"f64", TESS_DTYPE_F64, {25, 22, 18}, {-1, -1, 1}, {1.2, 1.2, 1.2}, {12, 12, 12}, 1, 1e-3, 5, 0.9},
    {"f16", TESS_DTYPE_F16, {20, 20, 20}, {1, 1, 1}, {1.5, 1.5, 1.5}, {8, 12, 8}, 1, 1, 0, 0},
    {"bf16", TESS_DTYPE_BF16, {20, 20, 20}, {1, 1, 1}, {1, 1.5, 1}, {8, 12, 8}, 4, 1, 0, 0},
    {"slices", TESS_DTYPE_I16, {40, 36, 9}, {0.8, 0.8, 6}, {0.9, 0.9, 6}, {32, 28, 1}, 2, 1, 0, 0.4},
    {"one-slice", TESS_DTYPE_U8, {30, 26, 1}, {1, 1, 1}, {1, 1, 1}, {16, 16, 1}, 1, 1, 0, 0},
    {"smaller-than-patch", TESS_DTYPE_F32, {5, 31, 3}, {1, 1, 1}, {1, 1, 1}, {12, 12, 12}, 16, 1, 0, 0},
};

guint
sample_run_n (void)
{
  return G_N_ELEMENTS (samples);
}

const char *
sample_run_name (guint i)
{
  return samples[i].name;
}

static void
store (void *data, TessDType dtype, gsize i, double v)
{
  switch (dtype) {
  case TESS_DTYPE_U8:
    ((guint8 *)data)[i] = (guint8)(gint)v;
    break;
  case TESS_DTYPE_I8:
    ((gint8 *)data)[i] = (gint8)(v / 4.0);
    break;
  case TESS_DTYPE_U16:
    ((guint16 *)data)[i] = (guint16)(gint)(v * 65.0);
    break;
  case TESS_DTYPE_I16:
    ((gint16 *)data)[i] = (gint16)(v - 300.0);
    break;
  case TESS_DTYPE_U32:
    ((guint32 *)data)[i] = (guint32)(v * 1e6);
    break;
  case TESS_DTYPE_I32:
    ((gint32 *)data)[i] = (gint32)(v * -1e5);
    break;
  case TESS_DTYPE_U64:
    ((guint64 *)data)[i] = (guint64)(v * 1e12);
    break;
  case TESS_DTYPE_I64:
    ((gint64 *)data)[i] = (gint64)(v * -1e9);
    break;
  case TESS_DTYPE_F64:
    ((double *)data)[i] = v * 1.0123456789;
    break;
  case TESS_DTYPE_F16:
    ((guint16 *)data)[i] = tess_float_to_f16 ((float)(i % 5 ? v / 300.0 : v * 1e-7)); /* subnormal, too */
    break;
  case TESS_DTYPE_BF16:
    ((guint16 *)data)[i] = tess_float_to_bf16 ((float)v);
    break;
  default:
    ((float *)data)[i] = (float)v * 0.77f;
  }
}

static TessVolume *
sample_volume (const SampleCase *c, const TessAffine *affine, guint channel)
{
  TessVolume *volume = tess_volume_new (c->dtype, c->dim, 1, affine, NULL);
  gsize n = (gsize)tess_volume_n_voxels (volume);
  void *data = tess_volume_data_mut (volume);

  for (gsize i = 0; i < n; i++)
    store (data, c->dtype, i, 500.0 * tess_philox_unit (tess_philox (3, 0, channel, 0, (guint32)i).v[0]));
  if (c->dtype == TESS_DTYPE_F32) { /* what is no number counts as 0 */
    ((float *)data)[n / 2] = NAN;
    ((float *)data)[n / 3] = INFINITY;
    ((float *)data)[n / 5] = -INFINITY;
    ((float *)data)[n / 7] = -0.0f;
  }
  tess_volume_set_scaling (volume, c->slope, c->intercept);
  return volume;
}

static TessCase *
sample_case (const SampleCase *c, GError **error)
{
  TessAffine affine = tess_affine_scale (c->native[0], c->native[1], c->native[2]), turned = affine;
  g_autoptr (TessVolume) label = NULL;
  TessVolume *images[TESS_MAX_CHANNELS];
  TessCase *made;
  guint8 *labels;

  for (int j = 0; j < 3; j++) {
    turned.m[0][j] = cos (c->turn) * affine.m[0][j] - sin (c->turn) * affine.m[2][j];
    turned.m[2][j] = sin (c->turn) * affine.m[0][j] + cos (c->turn) * affine.m[2][j];
  }
  label = tess_volume_new (TESS_DTYPE_U8, c->dim, 1, &turned, NULL);
  labels = tess_volume_data_mut (label);
  for (gint64 i = 0; i < tess_volume_n_voxels (label); i++)
    labels[i] = (guint8)((i / 3 + i / (3 * c->dim[0])) % 4);
  for (guint i = 0; i < c->n_channels; i++)
    images[i] = sample_volume (c, &turned, i);
  made = tess_case_new (c->name, images, c->n_channels, label, 4, error);
  for (guint i = 0; i < c->n_channels; i++)
    tess_volume_unref (images[i]);
  return made;
}

/* Every kind of normalisation in turn. */
static TessPlan *
sample_plan (const SampleCase *c)
{
  static const int norms[] = {TESS_NORM_ZSCORE, TESS_NORM_CT, TESS_NORM_MINMAX, TESS_NORM_NONE};
  TessPlan *plan = tess_plan_new ();

  for (guint i = 0; i < c->n_channels; i++) {
    tess_plan_add_channel (plan, "channel", norms[i % 4]);
    plan->channels[i].lower = -100.0;
    plan->channels[i].upper = 250.0;
    plan->channels[i].mean = 80.0;
    plan->channels[i].std = 33.0;
  }
  for (guint l = 0; l < 4; l++)
    tess_plan_add_label (plan, l ? "structure" : "background", l);
  for (int a = 0; a < 3; a++) {
    plan->spacing[a] = c->spacing[a];
    plan->patch[a] = c->patch[a];
    plan->augmentation.mirror_probability[a] = 0.5;
    plan->augmentation.rotation_degrees[a] = c->patch[2] == 1 && a < 2 ? 0.0 : 30.0;
  }
  plan->augmentation.rotation_probability = plan->augmentation.scale_probability = 0.6;
  plan->augmentation.noise_probability = plan->augmentation.blur_probability = 0.6;
  plan->augmentation.brightness_probability = plan->augmentation.contrast_probability = 0.6;
  plan->augmentation.low_resolution_probability = 0.6;
  plan->augmentation.gamma_inverted_probability = plan->augmentation.gamma_probability = 0.6;
  return plan;
}

/* The host's patch against the device's, read back from where a batch has it. */
static void
compare (const float *image, const guint8 *label, const float *theirs, const guint8 *their_label, gsize n,
         guint n_channels, SampleRun *out)
{
  for (gsize i = 0; i < n * n_channels; i++)
    out->largest = MAX (out->largest, fabs ((double)image[i] - (double)theirs[i]));
  for (gsize i = 0; i < n; i++) {
    out->n_labels_differ += label[i] != their_label[i];
    out->n_mixed += label[i] != label[0];
  }
  out->n_voxels += n;
  out->same_bits = out->same_bits && memcmp (image, theirs, n * n_channels * sizeof (float)) == 0 &&
                   memcmp (label, their_label, n) == 0;
}

static gboolean
draw_batches (const TessBackendIface *backend, const TessPlan *plan, const TessCase *c, const TessDeviceCase *resident,
              const TessDevicePatch *batch, guint n_batch, SampleRun *out, GError **error)
{
  gsize n = (gsize)(plan->patch[0] * plan->patch[1] * plan->patch[2]), bytes = n * plan->n_channels * sizeof (float);
  g_autofree float *image = g_malloc (bytes), *theirs = g_malloc (bytes);
  g_autofree guint8 *label = g_malloc (n), *their_label = g_malloc (n);
  TessPatchOut host = {{{0, 0, 0}, {plan->patch[0], plan->patch[1], plan->patch[2]}}, image, label};

  for (guint32 s = 0; s < 12; s += n_batch) {
    for (guint b = 0; b < 2 * n_batch; b++) { /* the whole batch first, then what came of it */
      guint i = b % n_batch;
      TessDevicePatch out_patch = *batch;
      TessSampleKey key = {
          .random = s > 3, .mirrored = s % 8, .foreground = s & 1, .augment = s % 3 > 0, .seed = 11, .sample = s + i};

      for (int a = 0; a < 3; a++) /* some of it beyond the scan */
        key.origin[a] = (gint64)((s + i) * 3 % 7) - 3;
      out_patch.image_offset += i * bytes;
      out_patch.label_offset += i * n;
      if (b < n_batch) {
        if (!tess_device_case_draw (resident, plan, c, &key, &out_patch, error))
          return FALSE;
        continue;
      }
      if (!tess_sampler_draw (plan, c, &key, &host, error) ||
          !backend->download (out_patch.image, out_patch.image_offset, theirs, bytes, error) ||
          !backend->download (out_patch.label, out_patch.label_offset, their_label, n, error))
        return FALSE;
      compare (image, label, theirs, their_label, n, plan->n_channels, out);
    }
  }
  return TRUE;
}

gboolean
sample_run (const TessBackendIface *backend, guint i, SampleRun *out, GError **error)
{
  g_autoptr (TessPlan) plan = sample_plan (&samples[i]);
  g_autoptr (TessCase) c = sample_case (&samples[i], error);
  gsize n = (gsize)(plan->patch[0] * plan->patch[1] * plan->patch[2]);
  TessDevice *device = c ? backend->open (0, 0, error) : NULL;
  TessDeviceCase *resident = device ? tess_device_case_new (backend, device, c, error) : NULL;
  TessDevicePatch batch = {.image_offset = 64, .label_offset = 3};
  gboolean ok;

  if (resident)
    batch.scratch = backend->buffer_new (device, tess_intensity_scratch ((gint64)n), error);
  ok = batch.scratch != NULL;
  *out = (SampleRun){.same_bits = TRUE};
  for (guint n_batch = 1; ok && n_batch <= 4; n_batch *= 2) {
    batch.image = backend->buffer_new (device, 64 + n_batch * n * plan->n_channels * sizeof (float), error);
    batch.label = batch.image ? backend->buffer_new (device, 3 + n_batch * n, error) : NULL;
    ok = batch.label && draw_batches (backend, plan, c, resident, &batch, n_batch, out, error);
    g_clear_pointer (&batch.image, backend->buffer_free);
    g_clear_pointer (&batch.label, backend->buffer_free);
  }
  backend->buffer_free (batch.scratch);
  tess_device_case_free (resident);
  backend->close (device);
  return ok;
}
