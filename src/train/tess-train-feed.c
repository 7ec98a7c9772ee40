#include "tess-trainer-private.h"

/* A batch on its way into a program's inputs: what the loader has drawn is copied there, the rest is drawn there. */

typedef struct {
  TessBuffer *image, *label; /* of the program's inputs, and where in them */
  gsize image_offset, label_offset;
  gsize image_bytes, label_bytes; /* of one sample */
} Inputs;

static gboolean
copy_sample (TessTraining *t, const Inputs *in, const TessBatch *batch, gsize i, GError **error)
{
  const TessBackendIface *backend = tess_session_backend (t->session);

  return backend->upload (in->image, in->image_offset + i * in->image_bytes,
                          batch->image + i * in->image_bytes / sizeof (float), in->image_bytes, error) &&
         backend->upload (in->label, in->label_offset + i * in->label_bytes, batch->label + i * in->label_bytes,
                          in->label_bytes, error);
}

/* The device had no room for the case after all. */
static gboolean
draw_here (TessTraining *t, const Inputs *in, const TessBatch *batch, gsize i, GError **error)
{
  const TessBatchSample *sample = &batch->samples[i];
  const gint64 *patch = t->plan->patch;
  TessPatchOut out = {.region = {{0, 0, 0}, {patch[0], patch[1], patch[2]}},
                      .image = batch->image + i * in->image_bytes / sizeof (float),
                      .label = batch->label + i * in->label_bytes};

  return tess_sampler_draw (t->plan, sample->c, &sample->key, &out, error) && copy_sample (t, in, batch, i, error);
}

static gboolean
draw_sample (TessTraining *t, const Inputs *in, const TessBatch *batch, gsize i, GError **error)
{
  const TessBatchSample *sample = &batch->samples[i];
  TessDevicePatch out = {.image = in->image,
                         .label = in->label,
                         .image_offset = in->image_offset + i * in->image_bytes,
                         .label_offset = in->label_offset + i * in->label_bytes};
  GError *local = NULL;
  const TessDeviceCase *resident = tess_residents_get (t->residents, sample->case_index, sample->c, &local);

  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  if (!resident)
    return draw_here (t, in, batch, i, error);
  return tess_device_case_draw (resident, t->plan, sample->c, &sample->key, &out, error);
}

gboolean
tess_training_put (TessTraining *t, int program, const TessBatch *batch, GError **error)
{
  const TessNetwork *network = tess_session_network (t->session, program);
  Inputs in = {.image_bytes = batch->image_bytes / batch->n_samples,
               .label_bytes = batch->label_bytes / batch->n_samples};
  guint n_drawn = 0;

  for (guint i = 0; i < batch->n_samples; i++)
    n_drawn += batch->samples[i].c == NULL;
  if (n_drawn == batch->n_samples)
    return tess_session_write (t->session, program, network->image, batch->image, batch->image_bytes, error) &&
           tess_session_write (t->session, program, network->labels, batch->label, batch->label_bytes, error);
  in.image = tess_session_tensor (t->session, program, network->image, &in.image_offset);
  in.label = tess_session_tensor (t->session, program, network->labels, &in.label_offset);
  for (guint i = 0; i < batch->n_samples; i++)
    if (!(batch->samples[i].c ? draw_sample (t, &in, batch, i, error) : copy_sample (t, &in, batch, i, error)))
      return FALSE;
  return TRUE;
}
