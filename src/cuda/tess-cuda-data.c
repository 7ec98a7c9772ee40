#include "tess-cuda-private.h"

#include "tess-available-memory.h"

/* Bands of sums and patches (tess-device-data.h): checks, and the launches. Nothing here waits for the device. */

/**
 * tess_cuda_buffer_new_near:
 * @bytes: may be 0
 *
 * Page-locked memory of the host's: with one address space for both (compute capability 2.0 on, 64 bits) kernels read
 * and write it over the bus at the address the host has (CUDA C++ Programming Guide, "Mapped Memory").
 *
 * Returns: (transfer full): zeroed; free it as any buffer
 */
TessBuffer *
tess_cuda_buffer_new_near (TessDevice *device, gsize bytes, GError **error)
{
  guint64 left = tess_available_memory ("");
  TessBuffer *buffer;
  void *data = NULL;
  cudaError_t status = cudaSuccess;

  if (!tess_cuda_enter (device, error))
    return NULL;
  if (bytes > 0)
    status = left > 0 && bytes > left ? cudaErrorMemoryAllocation : cudaMallocHost (&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    g_autofree char *wanted = g_format_size (bytes), *there = g_format_size (left);

    (void)cudaGetLastError ();
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("CUDA: %s do not fit into the computer's memory (%s free); close other programs"), wanted, there);
    return NULL;
  }
  if (!tess_cuda_check (status, _ ("taking memory"), error))
    return NULL;
  if (data != NULL)
    memset (data, 0, bytes);
  buffer = g_new0 (TessBuffer, 1);
  *buffer = (TessBuffer){.device = device, .data = data, .bytes = bytes, .near = TRUE};
  return buffer;
}

/* n elements of size bytes at offset lie in the buffer: kernels read and write by these numbers. */
static gboolean
holds (const TessBuffer *buffer, gsize offset, gint64 n, gsize size)
{
  return buffer != NULL && offset % size == 0 && offset <= buffer->bytes && n >= 0 &&
         (gsize)n <= (buffer->bytes - offset) / size;
}

static gboolean
wrong (gboolean ok, GError **error)
{
  if (!ok)
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: a buffer is smaller than what it should hold"));
  return !ok;
}

/* The band as kernels have it; z0 .. z1: the slices in question. */
static gboolean
take_band (const TessBand *band, gint64 z0, gint64 z1, TessCudaBand *b, GError **error)
{
  gint64 n = band->n_slots * band->dim[1] * band->dim[0];

  if (wrong (z0 >= 0 && z1 <= band->dim[2] && band->n_slots > 0 && band->channels > 0 &&
                 holds (band->weight, 0, n, sizeof (float)) && holds (band->sum, 0, n * band->channels, sizeof (float)),
             error))
    return FALSE;
  *b = (TessCudaBand){.dim = {band->dim[0], band->dim[1], band->dim[2]},
                      .n_slots = band->n_slots,
                      .channels = band->channels,
                      .sum = band->sum->data,
                      .weight = band->weight->data};
  return TRUE;
}

gboolean
tess_cuda_band_clear (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error)
{
  gint64 plane = band->dim[0] * band->dim[1];
  TessCudaBand b;
  gboolean ok = tess_cuda_enter (device, error) && take_band (band, z0, z1, &b, error);

  for (gint64 z = z0; ok && z < z1; z++) {
    gint64 at = z % b.n_slots * plane;

    ok = tess_cuda_check (
             cudaMemsetAsync (b.sum + at * b.channels, 0, (gsize)(plane * b.channels) * sizeof (float), device->stream),
             _ ("clearing device memory"), error) &&
         tess_cuda_check (cudaMemsetAsync (b.weight + at, 0, (gsize)plane * sizeof (float), device->stream),
                          _ ("clearing device memory"), error);
  }
  return ok;
}

gboolean
tess_cuda_band_add (TessDevice *device, const TessBand *band, const TessBandTile *tile, GError **error)
{
  TessCudaBandTile t = {.mirrored = (int)tile->mirrored};
  TessCudaBand b;
  gint64 n = 1;

  for (guint a = 0; a < 3; a++) {
    t.origin[a] = tile->lo[a];
    t.size[a] = tile->hi[a] - tile->lo[a];
    t.lo[a] = MAX (tile->lo[a], 0);
    t.n[a] = MIN (tile->hi[a], band->dim[a]) - t.lo[a];
    n *= MAX (t.size[a], 0);
    if (t.n[a] <= 0)
      return TRUE;
  }
  if (!tess_cuda_enter (device, error) || !take_band (band, t.lo[2], t.lo[2] + t.n[2], &b, error) ||
      wrong (holds (tile->logits, tile->offset, n * b.channels, sizeof (float)) &&
                 (tile->weights == NULL || holds (tile->weights, 0, n, sizeof (float))),
             error))
    return FALSE;
  t.logits = (const float *)(gconstpointer)((const char *)tile->logits->data + tile->offset);
  t.weights = tile->weights != NULL ? tile->weights->data : NULL;
  return tess_cuda_check (tess_cuda_band_sum (&b, &t, device->stream), _ ("summing the tiles"), error);
}

gboolean
tess_cuda_band_mean (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error)
{
  TessCudaBand b;

  return tess_cuda_enter (device, error) && take_band (band, z0, z1, &b, error) &&
         tess_cuda_check (tess_cuda_band_divide (&b, z0, z1, device->stream), _ ("summing the tiles"), error);
}

gboolean
tess_cuda_band_labels (TessDevice *device, const TessBand *band, const TessBandLabels *labels, GError **error)
{
  TessCudaBandLabels l = {.z0 = labels->z0, .n = labels->z1 - labels->z0, .paints = labels->paints};
  gboolean direct = labels->position[0] == NULL, ok;
  TessCudaBand b;

  G_STATIC_ASSERT (sizeof (TessCudaPosition) == sizeof (TessBandPosition));
  G_STATIC_ASSERT (sizeof l.paint == sizeof labels->paint);
  memcpy (l.dim, labels->dim, sizeof l.dim);
  memcpy (l.paint, labels->paint, sizeof l.paint);
  ok = l.z0 >= 0 && labels->z1 <= l.dim[2] && holds (labels->labels, 0, l.n * l.dim[1] * l.dim[0], 1) &&
       band->channels <= (gint64)sizeof l.paint;
  for (guint a = 0; a < 3 && ok; a++) {
    ok = direct ? l.dim[a] == band->dim[a] : holds (labels->position[a], 0, l.dim[a], sizeof (TessCudaPosition));
    l.position[a] = ok && !direct ? labels->position[a]->data : NULL;
  }
  if (wrong (ok, error) || !tess_cuda_enter (device, error) || !take_band (band, 0, 0, &b, error))
    return FALSE;
  l.labels = labels->labels->data;
  return tess_cuda_check (tess_cuda_band_label (&b, &l, device->stream), _ ("labelling voxels"), error);
}

/* FALSE: a number that a kernel must not be given. */
static gboolean
take_channels (const TessSample *sample, TessCudaSample *s)
{
  gint64 n = sample->dim[0] * sample->dim[1] * sample->dim[2];

  G_STATIC_ASSERT ((int)TESS_CUDA_BF16 == (int)TESS_DTYPE_BF16 && (int)TESS_CUDA_U8 == (int)TESS_DTYPE_U8);
  G_STATIC_ASSERT (G_N_ELEMENTS (s->channel) == TESS_SAMPLE_MAX_CHANNELS);
  if (sample->n_channels > TESS_SAMPLE_MAX_CHANNELS)
    return FALSE;
  s->n_channels = (int)sample->n_channels;
  for (guint c = 0; c < sample->n_channels; c++) {
    const TessSampleChannel *from = &sample->channel[c];

    if (from->dtype >= TESS_N_DTYPES || !holds (from->voxels, 0, n, tess_dtype_size (from->dtype)))
      return FALSE;
    s->channel[c] = (TessCudaSampleChannel){.voxels = from->voxels->data,
                                            .kind = (int)from->dtype,
                                            .slope = from->slope,
                                            .intercept = from->intercept,
                                            .lower = from->lower,
                                            .upper = from->upper,
                                            .shift = from->shift,
                                            .scale = from->scale};
  }
  return sample->label == NULL || holds (sample->labels, 0, n, 1);
}

/* FALSE: an index that a kernel must not be given. */
static gboolean
intensity_fits (const TessSample *sample, gint64 n)
{
  const TessIntensity *intensity = sample->intensity;

  if (intensity == NULL || !intensity->any)
    return TRUE;
  if (!holds (sample->scratch, 0, (gint64)tess_intensity_scratch (n), 1))
    return FALSE;
  for (guint c = 0; c < sample->n_channels; c++)
    for (guint a = 0; a < 3; a++) {
      const TessIntensityChannel *channel = &intensity->channel[c];

      if (channel->blur_radius[a] < 0 || channel->blur_radius[a] > TESS_BLUR_MAX_RADIUS ||
          channel->coarse[a] > sample->size[a] || (channel->coarse[0] > 0 && channel->coarse[a] < 1))
        return FALSE;
    }
  return TRUE;
}

gboolean
tess_cuda_sample (TessDevice *device, const TessSample *sample, GError **error)
{
  gint64 n = sample->size[0] * sample->size[1] * sample->size[2];
  TessCudaSample s = {0};

  memcpy (s.dim, sample->dim, sizeof s.dim);
  memcpy (s.size, sample->size, sizeof s.size);
  memcpy (s.map, sample->map, sizeof s.map);
  if (wrong (take_channels (sample, &s) &&
                 holds (sample->image, sample->image_offset, n * s.n_channels, sizeof (float)) &&
                 (sample->label == NULL || holds (sample->label, sample->label_offset, n, 1)) &&
                 intensity_fits (sample, n),
             error) ||
      !tess_cuda_enter (device, error))
    return FALSE;
  s.image = (float *)(gpointer)((char *)sample->image->data + sample->image_offset);
  if (sample->label != NULL) {
    s.labels = sample->labels->data;
    s.label = (guint8 *)sample->label->data + sample->label_offset;
  }
  if (!tess_cuda_check (tess_cuda_sample_patch (&s, device->stream), _ ("drawing a patch"), error))
    return FALSE;
  return sample->intensity == NULL || !sample->intensity->any ||
         tess_cuda_check (tess_cuda_intensity (sample->intensity, s.size, s.n_channels, s.image, sample->scratch->data,
                                               device->stream),
                          _ ("drawing a patch"), error);
}
