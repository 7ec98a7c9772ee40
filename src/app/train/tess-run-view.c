#include "tess-run-view-private.h"

#include "tess-format.h"
#include "tess-settings.h"

#include <adwaita.h>
#include <math.h>
#include <string.h>

enum { PROP_0, PROP_PLANE, N_PROPS };
enum { RESUME, USE_MODEL, CLOSE, NOTE, N_SIGNALS };

#define PROGRESS_STEPS 1000.0

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessRunView, tess_run_view, GTK_TYPE_WIDGET)

/* ---- the progress line ---- */

static const char *
state_words (TessRunModel *model)
{
  gboolean ours = tess_run_model_is_ours (model);

  if (tess_run_model_is_stopping (model))
    return _ ("Stopping");
  switch (tess_run_model_get_phase (model)) {
  case TESS_RUN_OPENING:
    return _ ("Opening");
  case TESS_RUN_PREPARING:
    return ours ? _ ("Preparing") : _ ("Preparing elsewhere");
  case TESS_RUN_RUNNING:
    return ours ? _ ("Training") : _ ("Training elsewhere");
  case TESS_RUN_PAUSED:
    return ours ? _ ("Paused") : _ ("Paused elsewhere");
  case TESS_RUN_STOPPED:
    return _ ("Stopped");
  case TESS_RUN_DONE:
    return _ ("Finished");
  case TESS_RUN_FAILED:
    return _ ("Failed");
  case TESS_RUN_QUIET:
    return _ ("Interrupted");
  }
  return "";
}

/* "   first model in 1:40": a model is written when an epoch is over, or the time. */
static void
append_first_model (GString *t, const TessTrainStatus *s)
{
  double seconds = (double)(s->n_iterations - s->iteration) / s->iterations_per_second;
  g_autofree char *wait = NULL;

  if (isfinite (s->remaining))
    seconds = MIN (seconds, s->remaining);
  wait = tess_format_duration (seconds);
  g_string_append_printf (t, _ ("   first model in %s"), wait);
}

/* "epoch 37/200   iteration 142/250   1.8 it/s   0:41 left   loader 2 %   memory 3.1 GB" */
static char *
numbers_text (TessRunModel *model, const TessTrainStatus *s)
{
  g_autoptr (GString) t = g_string_new (NULL);
  gboolean alive = tess_run_model_is_alive (model), moving = alive && s->state != TESS_TRAIN_PAUSED;
  guint n = tess_run_model_n_rows (model);

  if (s->state == TESS_TRAIN_PREPARING)
    return g_strdup_printf (_ ("reading and measuring the cases: %.0f %%"), 100.0 * s->preparing);
  if (s->epoch <= 0 && n == 0)
    return g_strdup ("");
  if (s->state == TESS_TRAIN_DONE) /* of a time budget the last one was not finished */
    g_string_append_printf (t, ngettext ("%u epoch", "%u epochs", n), n);
  else
    g_string_append_printf (t, _ ("epoch %d"), (int)s->epoch);
  if (s->n_epochs > 0 && s->state != TESS_TRAIN_DONE)
    g_string_append_printf (t, "/%d", (int)s->n_epochs);
  if (alive && s->validating)
    g_string_append (t, _ ("   validating"));
  else if (alive)
    g_string_append_printf (t, _ ("   iteration %d/%d"), (int)s->iteration, (int)s->n_iterations);
  if (moving && s->iterations_per_second > 0.0)
    g_string_append_printf (t, s->iterations_per_second < 10.0 ? _ ("   %.1f it/s") : _ ("   %.0f it/s"),
                            s->iterations_per_second);
  if (alive && isfinite (s->remaining)) {
    g_autofree char *left = tess_format_duration (s->remaining);

    g_string_append_printf (t, _ ("   %s left"), left);
  } else if (!alive && s->elapsed > 0.0) {
    g_autofree char *took = tess_format_duration (s->elapsed);

    g_string_append_printf (t, _ ("   trained %s"), took);
  }
  if (moving && n == 0 && !s->validating && s->iterations_per_second > 0.0)
    append_first_model (t, s);
  else if (!alive && n == 0)
    g_string_append (t, _ ("   no model yet"));
  if (moving)
    g_string_append_printf (t, _ ("   loader %.0f %%"), 100.0 * s->loader_share);
  if (alive && s->memory_bytes > 0) {
    g_autofree char *memory = tess_format_bytes (s->memory_bytes + s->cache_bytes);

    g_string_append_printf (t, _ ("   memory %s"), memory);
  }
  if (isfinite (s->dice[0]))
    g_string_append_printf (t, _ ("   Dice %.3f"), s->dice[0]);
  return g_string_free (g_steal_pointer (&t), FALSE);
}

static double
share_done (const TessTrainStatus *s)
{
  double total = s->elapsed + s->remaining;

  if (s->state == TESS_TRAIN_DONE)
    return 1.0;
  if (s->state == TESS_TRAIN_PREPARING)
    return s->preparing;
  if (s->n_epochs > 0 && s->n_iterations > 0)
    return CLAMP ((MAX (s->epoch - 1, 0) + (double)s->iteration / (double)s->n_iterations) / (double)s->n_epochs, 0.0,
                  1.0);
  return isfinite (total) && total > 0.0 ? s->elapsed / total : 0.0;
}

static void
update_buttons (TessRunView *self, const TessTrainStatus *s)
{
  TessRunModel *model = self->model;
  GtkWidget *widget = GTK_WIDGET (self);
  gboolean ours = tess_run_model_is_ours (model), alive = tess_run_model_is_alive (model);
  gboolean stopping = tess_run_model_is_stopping (model), paused = s->state == TESS_TRAIN_PAUSED;
  const char *stop =
      tess_run_model_n_rows (model) > 0
          ? _ ("Stop after this iteration; the best model so far and a checkpoint to resume from are kept")
          : _ ("Stop after this iteration; there is no model yet, but a checkpoint to resume from is kept");
  gboolean work = ours && alive, resume = tess_run_model_can_resume (model),
           use = !alive && tess_run_model_has_model (model);

  gtk_widget_set_visible (self->pause_button, work && !paused);
  gtk_widget_set_visible (self->continue_button, work && paused);
  gtk_widget_set_visible (self->stop_button, work);
  if (g_strcmp0 (gtk_widget_get_tooltip_text (self->stop_button), stop) != 0)
    gtk_widget_set_tooltip_text (self->stop_button, stop);
  gtk_widget_set_visible (self->resume_button, resume);
  gtk_widget_set_visible (self->use_button, use);
  gtk_widget_action_set_enabled (widget, "run.pause", work && !paused && !stopping && s->state == TESS_TRAIN_RUNNING);
  gtk_widget_action_set_enabled (widget, "run.continue", work && paused && !stopping);
  gtk_widget_action_set_enabled (widget, "run.stop", work && !stopping);
  gtk_widget_action_set_enabled (widget, "run.resume", resume);
  gtk_widget_action_set_enabled (widget, "run.use-model", use);
  gtk_widget_action_set_enabled (widget, "run.close", !work);
}

static void
heads_message (TessRunView *self)
{
  switch (tess_run_model_get_phase (self->model)) {
  case TESS_RUN_OPENING:
    tess_heads_view_set_message (self->heads, _ ("Reading the run folder..."));
    break;
  case TESS_RUN_PREPARING:
  case TESS_RUN_RUNNING:
    tess_heads_view_set_message (self->heads, _ ("What the network sees appears here as soon as it starts to learn."));
    break;
  default:
    tess_heads_view_set_message (self->heads, _ ("No heads were kept in this run folder."));
  }
}

static void
tell_notes (TessRunView *self)
{
  char *note;

  while ((note = tess_run_model_next_note (self->model))) {
    g_signal_emit (self, signals[NOTE], 0, note);
    g_free (note);
  }
}

/* Comes while a training takes all cores: what has not changed is left alone, and nothing is done where nobody looks.
 */
static void
status_cb (TessRunView *self)
{
  g_autofree char *numbers = NULL;
  TessTrainStatus s;
  double share;

  tess_run_model_get_status (self->model, &s);
  tell_notes (self);
  update_buttons (self, &s);
  if (!gtk_widget_get_mapped (GTK_WIDGET (self)))
    return;
  numbers = numbers_text (self->model, &s);
  share = floor (share_done (&s) * PROGRESS_STEPS) / PROGRESS_STEPS;
  gtk_label_set_text (self->state, state_words (self->model));
  gtk_label_set_text (self->numbers, numbers);
  if (gtk_progress_bar_get_fraction (self->progress) != share)
    gtk_progress_bar_set_fraction (self->progress, share);
  heads_message (self);
}

static void
map_cb (TessRunView *self)
{
  if (!self->model)
    return;
  status_cb (self);
  if (self->heads_stale)
    tess_run_view_build_newest (self);
}

static void
kept_cb (TessRunView *self)
{
  tess_run_view_classes_changed (self);
  tess_run_view_kept_changed (self);
  status_cb (self); /* a checkpoint may have come */
}

static void
ended_cb (TessRunView *self)
{
  status_cb (self);
  tess_run_view_update_curves (self);
  tess_run_view_show_epoch (self, self->wanted); /* "live" is over */
}

/* ---- commands ---- */

static void
pause_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  tess_run_model_pause (TESS_RUN_VIEW (widget)->model);
}

static void
continue_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  tess_run_model_resume (TESS_RUN_VIEW (widget)->model);
}

static void
stop_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  tess_run_model_stop (TESS_RUN_VIEW (widget)->model);
}

static void
resume_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_signal_emit (widget, signals[RESUME], 0);
}

static void
use_model_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_autofree char *path = tess_run_model_dup_model (TESS_RUN_VIEW (widget)->model);

  g_signal_emit (widget, signals[USE_MODEL], 0, path);
}

static void
live_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  tess_run_view_show_epoch (TESS_RUN_VIEW (widget), -1);
}

static void
close_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_signal_emit (widget, signals[CLOSE], 0);
}

/* ---- object ---- */

static void
set_plane (TessRunView *self, const char *plane)
{
  static const char *const names[] = {"axial", "coronal", "sagittal"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (plane, names[i]) == 0 && g_strcmp0 (plane, self->plane) != 0) {
      g_free (self->plane);
      self->plane = g_strdup (plane);
      tess_heads_view_set_plane (self->heads, (TessHeadsPlane)i);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PLANE]);
      return;
    }
}

static void
tess_run_view_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_PLANE)
    set_plane (TESS_RUN_VIEW (object), g_value_get_string (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
tess_run_view_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_PLANE)
    g_value_set_string (value, TESS_RUN_VIEW (object)->plane);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
explain_numbers (TessRunView *self)
{
  g_autofree char *folder = g_filename_display_name (tess_run_model_get_run_dir (self->model));
  g_autofree char *words =
      g_strdup_printf (_ ("it/s: iterations a second\nloader: share of the time spent waiting for cases\nDice: of the "
                          "validation cases, 1 is perfect\nrun folder: %s"),
                       folder);

  gtk_widget_set_tooltip_text (GTK_WIDGET (self->numbers), words);
}

void
tess_run_view_set_model (TessRunView *self, TessRunModel *model)
{
  if (self->model)
    g_signal_handlers_disconnect_by_data (self->model, self);
  tess_run_view_clear_heads (self);
  tess_heads_view_set_data (self->heads, NULL, NULL);
  g_set_object (&self->model, model);
  if (!model)
    return;
  g_signal_connect_object (model, "status", G_CALLBACK (status_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (model, "rows", G_CALLBACK (tess_run_view_update_curves), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (model, "snapshot", G_CALLBACK (tess_run_view_build_newest), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (model, "kept", G_CALLBACK (kept_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (model, "ended", G_CALLBACK (ended_cb), self, G_CONNECT_SWAPPED);
  tess_run_view_classes_changed (self);
  tess_run_view_show_epoch (self, -1);
  tess_run_view_kept_changed (self);
  tess_run_view_update_curves (self);
  explain_numbers (self);
  status_cb (self);
}

TessRunModel *
tess_run_view_get_model (TessRunView *self)
{
  return self->model;
}

static void
tess_run_view_dispose (GObject *object)
{
  TessRunView *self = TESS_RUN_VIEW (object);

  if (self->model)
    g_signal_handlers_disconnect_by_data (self->model, self);
  tess_run_view_clear_heads (self);
  g_clear_object (&self->model);
  g_clear_pointer (&self->content, gtk_widget_unparent);
  g_clear_pointer (&self->plane, g_free);
  G_OBJECT_CLASS (tess_run_view_parent_class)->dispose (object);
}

static void
bind_children (GtkWidgetClass *klass)
{
#define BIND(name) gtk_widget_class_bind_template_child (klass, TessRunView, name)
  BIND (content);
  BIND (state);
  BIND (numbers);
  BIND (place);
  BIND (pause_button);
  BIND (continue_button);
  BIND (stop_button);
  BIND (resume_button);
  BIND (use_button);
  BIND (live_button);
  BIND (progress);
  BIND (alarms);
  BIND (chips);
  BIND (legend);
  BIND (heads_slot);
  BIND (loss_slot);
  BIND (dice_slot);
  BIND (rate_slot);
  BIND (scrub);
#undef BIND
}

/* The pictures, not the first button: a key pressed in passing must not stop a training. */
static gboolean
tess_run_view_grab_focus (GtkWidget *widget)
{
  return gtk_widget_grab_focus (GTK_WIDGET (TESS_RUN_VIEW (widget)->heads));
}

static void
tess_run_view_class_init (TessRunViewClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = tess_run_view_dispose;
  object_class->set_property = tess_run_view_set_property;
  object_class->get_property = tess_run_view_get_property;
  properties[PROP_PLANE] = g_param_spec_string ("plane", NULL, NULL, "axial",
                                                G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  g_object_class_install_properties (object_class, N_PROPS, properties);
  signals[RESUME] = g_signal_new ("resume", TESS_TYPE_RUN_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[CLOSE] = g_signal_new ("close", TESS_TYPE_RUN_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[USE_MODEL] = g_signal_new ("use-model", TESS_TYPE_RUN_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                     G_TYPE_NONE, 1, G_TYPE_STRING);
  signals[NOTE] =
      g_signal_new ("note", TESS_TYPE_RUN_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);

  widget_class->grab_focus = tess_run_view_grab_focus;
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/train/run-view.ui");
  bind_children (widget_class);
  gtk_widget_class_install_property_action (widget_class, "run.plane", "plane");
  gtk_widget_class_install_action (widget_class, "run.pause", NULL, pause_action);
  gtk_widget_class_install_action (widget_class, "run.continue", NULL, continue_action);
  gtk_widget_class_install_action (widget_class, "run.stop", NULL, stop_action);
  gtk_widget_class_install_action (widget_class, "run.resume", NULL, resume_action);
  gtk_widget_class_install_action (widget_class, "run.use-model", NULL, use_model_action);
  gtk_widget_class_install_action (widget_class, "run.live", NULL, live_action);
  gtk_widget_class_install_action (widget_class, "run.close", NULL, close_action);
}

static TessChart *
add_chart (GtkBox *box, const char *title)
{
  GtkWidget *chart = tess_chart_new (title);

  gtk_widget_set_vexpand (chart, TRUE);
  gtk_box_append (box, chart);
  return TESS_CHART (chart);
}

static void
neurological_cb (TessRunView *self)
{
  tess_heads_view_set_mirrored (self->heads, tess_settings_get_neurological (tess_settings_get ()));
}

static void
tess_run_view_init (TessRunView *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  self->plane = g_strdup ("axial");
  self->wanted = -1;
  self->heads = TESS_HEADS_VIEW (tess_heads_view_new ());
  adw_bin_set_child (ADW_BIN (self->heads_slot), GTK_WIDGET (self->heads));
  self->loss = add_chart (self->loss_slot, _ ("Loss"));
  self->dice = add_chart (self->dice_slot, _ ("Validation Dice"));
  self->rate = add_chart (self->rate_slot, _ ("Learning rate"));
  self->speed = add_chart (self->rate_slot, _ ("Time per iteration"));
  g_signal_connect_object (tess_settings_get (), "notify::neurological", G_CALLBACK (neurological_cb), self,
                           G_CONNECT_SWAPPED);
  neurological_cb (self);
  g_signal_connect (self, "map", G_CALLBACK (map_cb), NULL);
  g_signal_connect_swapped (self->scrub, "value-changed", G_CALLBACK (tess_run_view_scrub_cb), self);
  g_signal_connect_swapped (self->heads, "scrub", G_CALLBACK (tess_run_view_step_cb), self);
}

GtkWidget *
tess_run_view_new (void)
{
  return g_object_new (TESS_TYPE_RUN_VIEW, NULL);
}
