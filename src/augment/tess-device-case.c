#include "tess-device-case.h"

#include "tess-recipe.h"
#include "tess-sampler-private.h"

#include <string.h>

struct _TessDeviceCase {
  const TessBackendIface *backend;
  TessDevice *device;
  TessBuffer *image[TESS_MAX_CHANNELS], *label;
};

G_STATIC_ASSERT (TESS_MAX_CHANNELS <= TESS_SAMPLE_MAX_CHANNELS);

/* The rest is left to whoever else uses the card, its screen and its driver. */
guint64
tess_device_case_room (const TessBackendIface *backend, guint index)
{
  TessDeviceInfo info;

  if ((backend->flags & TESS_BACKEND_SAMPLES) == 0 || !backend->device_info (index, &info, NULL))
    return 0;
  return info.memory_free / 4 * 3;
}

guint64
tess_device_case_bytes (const TessCase *c)
{
  guint64 bytes = c->label ? tess_volume_n_bytes (c->label) : 0;

  for (guint i = 0; i < c->n_channels; i++)
    bytes += tess_volume_n_bytes (c->images[i]);
  return bytes;
}

static TessBuffer *
upload (TessDeviceCase *resident, const TessVolume *volume, GError **error)
{
  return tess_backend_upload_new (resident->backend, resident->device, tess_volume_data (volume),
                                  tess_volume_n_bytes (volume), error);
}

/**
 * tess_device_case_new:
 * @device: outlives what is returned
 * @c: needed only during this call
 *
 * Copies the voxels as they are stored; what makes values of them goes along with every patch.
 *
 * Returns: (transfer full): or %NULL with NO_MEMORY or the backend's error.
 */
TessDeviceCase *
tess_device_case_new (const TessBackendIface *backend, TessDevice *device, const TessCase *c, GError **error)
{
  g_autoptr (TessDeviceCase) resident = g_new0 (TessDeviceCase, 1);

  g_return_val_if_fail ((backend->flags & TESS_BACKEND_SAMPLES) != 0, NULL);

  resident->backend = backend;
  resident->device = device;
  for (guint i = 0; i < c->n_channels; i++)
    if (!(resident->image[i] = upload (resident, c->images[i], error)))
      return NULL;
  if (c->label && !(resident->label = upload (resident, c->label, error)))
    return NULL;
  return g_steal_pointer (&resident);
}

void
tess_device_case_free (TessDeviceCase *resident)
{
  if (!resident)
    return;
  for (guint i = 0; i < TESS_MAX_CHANNELS; i++)
    g_clear_pointer (&resident->image[i], resident->backend->buffer_free);
  g_clear_pointer (&resident->label, resident->backend->buffer_free);
  g_free (resident);
}

/* Errors: MISMATCH as tess_sampler_draw(), or the backend's. */
gboolean
tess_device_case_draw (const TessDeviceCase *resident, const TessPlan *plan, const TessCase *c,
                       const TessSampleKey *key, const TessDevicePatch *out, GError **error)
{
  TessSample sample = {.n_channels = c->n_channels,
                       .labels = resident->label,
                       .image = out->image,
                       .label = out->label,
                       .image_offset = out->image_offset,
                       .label_offset = out->label_offset,
                       .scratch = out->scratch};
  TessIntensity intensity;
  TessAffine mapping;

  tess_recipe_intensity (plan, key, &intensity);
  sample.intensity = &intensity;
  if (!tess_sampler_check (plan, c, out->label != NULL, error) || !tess_sampler_mapping (plan, c, key, &mapping, error))
    return FALSE;
  G_STATIC_ASSERT (sizeof sample.map <= sizeof mapping.m);
  memcpy (sample.map, mapping.m, sizeof sample.map);
  for (int a = 0; a < 3; a++) {
    sample.dim[a] = tess_volume_dim (c->images[0])[a];
    sample.size[a] = plan->patch[a];
  }
  for (guint i = 0; i < c->n_channels; i++) {
    TessNormaliser n;

    tess_normaliser_init (&n, &plan->channels[i], &c->statistics[i]);
    sample.channel[i] = (TessSampleChannel){.voxels = resident->image[i],
                                            .dtype = tess_volume_dtype (c->images[i]),
                                            .slope = tess_volume_slope (c->images[i]),
                                            .intercept = tess_volume_intercept (c->images[i]),
                                            .lower = n.lower,
                                            .upper = n.upper,
                                            .shift = n.shift,
                                            .scale = n.scale};
  }
  return resident->backend->sample (resident->device, &sample, error);
}
