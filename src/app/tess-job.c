#include "tess-job.h"

#include <glib/gi18n-lib.h>
#include <math.h>

struct _TessJob {
  GObject parent_instance;

  char *name;
  TessProgress *progress;
  double fraction; /* as last notified */
  gint64 started;  /* monotonic, microseconds */
  guint timer;
  gboolean finished;
};

enum { PROP_0, PROP_NAME, PROP_FRACTION, PROP_FINISHED, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (TessJob, tess_job, G_TYPE_OBJECT)

/* Ten looks a second at the worker's latest value: nothing crosses threads but that one atomic number. */
#define LOOK_INTERVAL_MS 100

static gboolean
look_cb (gpointer data)
{
  TessJob *self = data;
  double fraction = tess_progress_get (self->progress);

  /* Also while it stands still: the time left goes on. */
  self->fraction = fraction;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
  return G_SOURCE_CONTINUE;
}

static void
tess_job_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TessJob *self = TESS_JOB (object);

  switch (id) {
  case PROP_NAME:
    g_value_set_string (value, self->name);
    break;
  case PROP_FRACTION:
    g_value_set_double (value, self->fraction);
    break;
  case PROP_FINISHED:
    g_value_set_boolean (value, self->finished);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_job_dispose (GObject *object)
{
  TessJob *self = TESS_JOB (object);

  g_clear_handle_id (&self->timer, g_source_remove);
  G_OBJECT_CLASS (tess_job_parent_class)->dispose (object);
}

static void
tess_job_finalize (GObject *object)
{
  TessJob *self = TESS_JOB (object);

  g_free (self->name);
  tess_progress_unref (self->progress);
  G_OBJECT_CLASS (tess_job_parent_class)->finalize (object);
}

static void
tess_job_class_init (TessJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = tess_job_get_property;
  object_class->dispose = tess_job_dispose;
  object_class->finalize = tess_job_finalize;

  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  properties[PROP_FRACTION] =
      g_param_spec_double ("fraction", NULL, NULL, 0.0, 1.0, 0.0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  properties[PROP_FINISHED] =
      g_param_spec_boolean ("finished", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
tess_job_init (TessJob *self)
{
  self->progress = tess_progress_new ();
  self->started = g_get_monotonic_time ();
  self->timer = g_timeout_add (LOOK_INTERVAL_MS, look_cb, self);
}

/* @name: what is being done, translated, e.g. "Opening t1.nii.gz". */
TessJob *
tess_job_new (const char *name)
{
  TessJob *self = g_object_new (TESS_TYPE_JOB, NULL);

  self->name = g_strdup (name);
  return self;
}

TessJob *
tess_job_new_opening (const char *file)
{
  g_autofree char *name = g_strdup_printf (_ ("Opening %s"), file);

  return tess_job_new (name);
}

const char *
tess_job_get_name (TessJob *self)
{
  g_return_val_if_fail (TESS_IS_JOB (self), NULL);
  return self->name;
}

TessProgress *
tess_job_get_progress (TessJob *self)
{
  g_return_val_if_fail (TESS_IS_JOB (self), NULL);
  return self->progress;
}

double
tess_job_get_fraction (TessJob *self)
{
  g_return_val_if_fail (TESS_IS_JOB (self), 0.0);
  return self->finished ? 1.0 : tess_progress_get (self->progress);
}

/* Seconds left if it goes on as it went so far; NaN in the first second and below one percent. */
double
tess_job_get_remaining (TessJob *self)
{
  double elapsed, fraction;

  g_return_val_if_fail (TESS_IS_JOB (self), NAN);
  elapsed = (double)(g_get_monotonic_time () - self->started) / G_USEC_PER_SEC;
  fraction = tess_job_get_fraction (self);
  if (self->finished || elapsed < 1.0 || fraction < 0.01)
    return NAN;
  return elapsed * (1.0 - fraction) / fraction;
}

/* The worker stops at its next look at the progress; the job is finished when its owner says so. */
void
tess_job_cancel (TessJob *self)
{
  g_return_if_fail (TESS_IS_JOB (self));
  tess_progress_cancel (self->progress);
}

void
tess_job_finish (TessJob *self)
{
  g_return_if_fail (TESS_IS_JOB (self));
  if (self->finished)
    return;
  self->finished = TRUE;
  g_clear_handle_id (&self->timer, g_source_remove);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FINISHED]);
}

gboolean
tess_job_is_finished (TessJob *self)
{
  g_return_val_if_fail (TESS_IS_JOB (self), TRUE);
  return self->finished;
}
