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
                         .label_offset = in->label_offset + i * in->label_bytes,
                         .scratch = t->augment_scratch};
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

static Inputs
find_inputs (TessTraining *t, int program, const TessBatch *batch)
{
  const TessNetwork *network = tess_session_network (t->session, program);
  Inputs in = {.image_bytes = batch->image_bytes / batch->n_samples,
               .label_bytes = batch->label_bytes / batch->n_samples};

  in.image = tess_session_tensor (t->session, program, network->image, &in.image_offset);
  in.label = tess_session_tensor (t->session, program, network->labels, &in.label_offset);
  return in;
}

/* whole: what the host drew is in place already. */
static gboolean
put (TessTraining *t, int program, const TessBatch *batch, gboolean whole, GError **error)
{
  const TessNetwork *network = tess_session_network (t->session, program);
  Inputs in = find_inputs (t, program, batch);
  guint n_drawn = 0;

  for (guint i = 0; i < batch->n_samples; i++)
    n_drawn += batch->samples[i].c == NULL;
  if (n_drawn == batch->n_samples && !whole)
    return tess_session_write (t->session, program, network->image, batch->image, batch->image_bytes, error) &&
           tess_session_write (t->session, program, network->labels, batch->label, batch->label_bytes, error);
  for (guint i = 0; i < batch->n_samples; i++)
    if (batch->samples[i].c ? !draw_sample (t, &in, batch, i, error) : !whole && !copy_sample (t, &in, batch, i, error))
      return FALSE;
  return TRUE;
}

/* What was begun is in place, and its sources are free. */
static gboolean
end_ahead (TessTraining *t, GError **error)
{
  const TessBackendIface *backend = tess_session_backend (t->session);

  return !t->ahead || !backend->upload_end || backend->upload_end (tess_session_device (t->session), error);
}

/* The next batch of the loader, which must be one for this program, into its inputs. Waits for it. */
gboolean
tess_training_feed (TessTraining *t, int program, double *waited, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  gboolean whole = t->ahead && t->ahead_whole, ok;
  const TessBatch *batch = t->ahead ? t->ahead : tess_loader_next (t->loader, error);

  *waited = (double)(g_get_monotonic_time () - start) / 1e6;
  if (!batch)
    return FALSE;
  ok = end_ahead (t, error) && put (t, program, batch, whole, error);
  t->ahead = NULL;
  tess_loader_release (t->loader);
  return ok;
}

/**
 * tess_training_look_ahead:
 *
 * What the host has drawn of the next batch goes to the device beside the step that comes, if it is there already and
 * the device copies so. Nothing depends on it: what is not begun here is copied when its turn comes.
 */
void
tess_training_look_ahead (TessTraining *t)
{
  const TessBackendIface *backend = tess_session_backend (t->session);
  Inputs in;

  if (!backend->upload_begin || t->ahead || !(t->ahead = tess_loader_try_next (t->loader)))
    return;
  in = find_inputs (t, t->ahead->position.validation ? t->evaluate : t->train, t->ahead);
  t->ahead_whole = TRUE;
  for (guint i = 0; i < t->ahead->n_samples && t->ahead_whole; i++)
    if (!t->ahead->samples[i].c)
      t->ahead_whole =
          backend->upload_begin (in.image, in.image_offset + i * in.image_bytes,
                                 t->ahead->image + i * in.image_bytes / sizeof (float), in.image_bytes, NULL) &&
          backend->upload_begin (in.label, in.label_offset + i * in.label_bytes, t->ahead->label + i * in.label_bytes,
                                 in.label_bytes, NULL);
}

void
tess_training_drop_ahead (TessTraining *t)
{
  if (!t->ahead)
    return;
  end_ahead (t, NULL);
  t->ahead = NULL;
  tess_loader_release (t->loader);
}
