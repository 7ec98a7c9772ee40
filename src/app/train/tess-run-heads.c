#include "tess-run-view-private.h"

#include <math.h>
#include <string.h>

/* ---- names and colours ---- */

static void
chip_toggled_cb (TessRunView *self, GtkToggleButton *chip)
{
  guint klass = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (chip), "class"));

  tess_heads_view_set_class_shown (self->heads, klass, gtk_toggle_button_get_active (chip));
}

static GtkWidget *
coloured_label (const guint8 rgb[3], const char *words)
{
  GtkWidget *label = gtk_label_new (NULL);
  g_autofree char *markup = g_markup_printf_escaped ("<span foreground=\"#%02x%02x%02x\">\342\227\217</span> %s",
                                                     rgb[0], rgb[1], rgb[2], words);

  gtk_label_set_markup (GTK_LABEL (label), markup);
  gtk_widget_add_css_class (label, "caption");
  return label;
}

static void
empty_box (GtkBox *box)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (box))))
    gtk_box_remove (box, child);
}

static void
make_chips (TessRunView *self, GPtrArray *names, const guint8 (*rgb)[3])
{
  empty_box (self->chips);
  for (guint c = 1; c < names->len; c++) {
    const char *name = g_ptr_array_index (names, c);
    GtkWidget *chip = gtk_toggle_button_new ();
    g_autofree char *tip = g_strdup_printf (_ ("Show the probability of %s"), name);

    gtk_button_set_child (GTK_BUTTON (chip), coloured_label (rgb[c], name));
    gtk_widget_add_css_class (chip, "flat");
    gtk_widget_set_tooltip_text (chip, tip);
    gtk_accessible_update_property (GTK_ACCESSIBLE (chip), GTK_ACCESSIBLE_PROPERTY_LABEL, tip, -1);
    gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (chip), tess_heads_view_get_class_shown (self->heads, c));
    g_object_set_data (G_OBJECT (chip), "class", GUINT_TO_POINTER (c));
    g_signal_connect_swapped (chip, "toggled", G_CALLBACK (chip_toggled_cb), self);
    gtk_box_append (self->chips, chip);
  }
}

static void
make_legend (TessRunView *self)
{
  const char *const words[3] = {_ ("found"), _ ("wrong"), _ ("missed")};

  empty_box (self->legend);
  for (guint i = 0; i < 3; i++)
    gtk_box_append (self->legend, coloured_label (tess_heads_error_colours[i], words[i]));
}

static void
tell_weights (TessRunView *self)
{
  const TessPlan *plan = tess_run_model_get_plan (self->model);
  double weights[TESS_MAX_HEADS + 1] = {0.0};

  if (!plan || tess_plan_n_heads (plan) > TESS_MAX_HEADS)
    return;
  tess_plan_head_weights (plan, weights);
  tess_heads_view_set_weights (self->heads, tess_plan_n_heads (plan), weights);
}

void
tess_run_view_classes_changed (TessRunView *self)
{
  GPtrArray *names = tess_run_model_label_names (self->model);
  guint8 rgb[256][3] = {{0}};

  tell_weights (self);
  if (names->len == self->n_classes)
    return;
  self->n_classes = names->len;
  tess_run_view_class_colours (self, rgb);
  tess_heads_view_set_classes (self->heads, names->len, (char *const *)names->pdata, (const guint8 (*)[3])rgb);
  make_chips (self, names, (const guint8 (*)[3])rgb);
  make_legend (self);
}

/* ---- making pictures of a snapshot, on a worker ---- */

typedef struct {
  TessSnapshot *snapshot;
  char codes[4];
  double spacing[3];
  guint generation;
} Build;

static void
build_free (gpointer data)
{
  Build *build = data;

  tess_snapshot_unref (build->snapshot);
  g_free (build);
}

static void
build_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Build *build = task_data;

  g_task_return_pointer (task, tess_heads_data_new (build->snapshot, build->codes, build->spacing),
                         (GDestroyNotify)tess_heads_data_unref);
}

/* Takes the snapshot. */
static void
build (TessRunView *self, TessSnapshot *snapshot, GAsyncReadyCallback callback)
{
  const TessPlan *plan = tess_run_model_get_plan (self->model);
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, NULL);
  Build *request = g_new0 (Build, 1);

  request->snapshot = snapshot;
  request->generation = self->generation;
  g_strlcpy (request->codes, tess_run_model_get_codes (self->model), sizeof request->codes);
  for (guint a = 0; a < 3; a++)
    request->spacing[a] = plan ? plan->spacing[a] : 1.0;
  g_task_set_task_data (task, request, build_free);
  g_task_run_in_thread (task, build_thread);
}

static gboolean
is_late (TessRunView *self, GAsyncResult *result)
{
  return ((Build *)g_task_get_task_data (G_TASK (result)))->generation != self->generation;
}

static void
show (TessRunView *self)
{
  TessHeadsData *then = self->wanted >= 0 ? self->earlier : NULL;
  g_autofree char *words = NULL;

  TessChart *const charts[] = {self->loss, self->dice, self->rate, self->speed};

  tess_heads_view_set_data (self->heads, self->newest, then);
  for (guint i = 0; i < G_N_ELEMENTS (charts); i++)
    tess_chart_set_cursor (charts[i], then ? (double)then->epoch : NAN);
  if (!self->newest)
    words = g_strdup ("");
  else if (self->newest->epoch == 0 && !then)
    words = g_strdup (_ ("before training"));
  else if (self->wanted >= 0 && then)
    words = g_strdup_printf (_ ("epoch %d beside %d"), (int)then->epoch, (int)self->newest->epoch);
  else if (tess_run_model_is_alive (self->model))
    words =
        g_strdup_printf (_ ("live: epoch %d, iteration %d"), (int)self->newest->epoch, (int)self->newest->iteration);
  else
    words = g_strdup_printf (_ ("newest: epoch %d"), (int)self->newest->epoch);
  gtk_label_set_text (self->place, words);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->scrub), GTK_ACCESSIBLE_PROPERTY_VALUE_TEXT, words, -1);
}

static void
newest_built_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessRunView *self = TESS_RUN_VIEW (object);
  g_autoptr (TessHeadsData) heads = g_task_propagate_pointer (G_TASK (result), NULL);

  if (is_late (self, result) || !self->model)
    return;
  self->building = FALSE;
  g_clear_pointer (&self->newest, tess_heads_data_unref);
  self->newest = g_steal_pointer (&heads);
  show (self);
  if (self->build_again)
    tess_run_view_build_newest (self);
}

void
tess_run_view_build_newest (TessRunView *self)
{
  TessSnapshot *newest;

  self->heads_stale = !gtk_widget_get_mapped (GTK_WIDGET (self)); /* else when it is looked at */
  if (self->heads_stale)
    return;
  newest = tess_run_model_dup_newest (self->model);
  self->build_again = self->building && newest;
  if (self->building || !newest) {
    tess_snapshot_unref (newest);
    return;
  }
  self->building = TRUE;
  g_strlcpy (self->built_codes, tess_run_model_get_codes (self->model), sizeof self->built_codes);
  self->built_plan = tess_run_model_get_plan (self->model) != NULL;
  build (self, newest, newest_built_cb);
}

/* ---- the scrub line ---- */

static void fetch (TessRunView *self);

static void
fetched (TessRunView *self, TessHeadsData *heads)
{
  self->fetching = FALSE;
  if (heads && heads->epoch == self->wanted) {
    g_clear_pointer (&self->earlier, tess_heads_data_unref);
    self->earlier = tess_heads_data_ref (heads);
    show (self);
  } else if (heads) {
    fetch (self); /* the hand has moved on meanwhile */
  } else {
    tess_run_view_show_epoch (self, -1); /* thinned out under our hands */
  }
}

static void
earlier_built_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessRunView *self = TESS_RUN_VIEW (object);
  g_autoptr (TessHeadsData) heads = g_task_propagate_pointer (G_TASK (result), NULL);

  if (!is_late (self, result) && self->model)
    fetched (self, heads);
}

typedef struct {
  TessRunView *view;
  guint generation;
} Fetch;

static void
loaded_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  Fetch *request = data;
  g_autoptr (TessRunView) self = request->view;
  guint generation = request->generation;
  g_autoptr (GError) error = NULL;
  TessSnapshot *snapshot = tess_run_model_load_kept_finish (TESS_RUN_MODEL (object), result, &error);

  g_free (request);
  if (generation != self->generation || !self->model) {
    tess_snapshot_unref (snapshot);
    return;
  }
  if (snapshot)
    build (self, snapshot, earlier_built_cb);
  else
    fetched (self, NULL);
}

/* The index of a kept epoch, -1 when it is not kept any more. */
static int
index_of (TessRunView *self, gint64 epoch)
{
  for (guint i = 0; i < tess_run_model_n_kept (self->model); i++)
    if (tess_run_model_kept_epoch (self->model, i) == epoch)
      return (int)i;
  return -1;
}

static void
fetch (TessRunView *self)
{
  int index = index_of (self, self->wanted);
  Fetch *request;

  if (self->fetching || self->wanted < 0 || index < 0)
    return;
  if (self->earlier && self->earlier->epoch == self->wanted) {
    show (self);
    return;
  }
  self->fetching = TRUE;
  request = g_new (Fetch, 1);
  *request = (Fetch){g_object_ref (self), self->generation};
  tess_run_model_load_kept_async (self->model, (guint)index, loaded_cb, request);
}

void
tess_run_view_kept_changed (TessRunView *self)
{
  guint n = tess_run_model_n_kept (self->model);
  int index = self->wanted >= 0 ? index_of (self, self->wanted) : -1;

  self->updating_scrub = TRUE;
  gtk_range_set_range (GTK_RANGE (self->scrub), 0.0, MAX (n, 1u));
  gtk_range_set_value (GTK_RANGE (self->scrub), index >= 0 ? (double)index : (double)MAX (n, 1u));
  self->updating_scrub = FALSE;
  gtk_widget_set_sensitive (GTK_WIDGET (self->scrub), n > 0);
  if (self->wanted >= 0 && index < 0)
    tess_run_view_show_epoch (self, -1);
  if (strcmp (self->built_codes, tess_run_model_get_codes (self->model)) != 0 ||
      self->built_plan != (tess_run_model_get_plan (self->model) != NULL))
    tess_run_view_build_newest (self);
}

void
tess_run_view_show_epoch (TessRunView *self, gint64 epoch)
{
  self->wanted = epoch;
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "run.live", epoch >= 0);
  if (epoch < 0) {
    self->updating_scrub = TRUE;
    gtk_range_set_value (GTK_RANGE (self->scrub), MAX (tess_run_model_n_kept (self->model), 1u));
    self->updating_scrub = FALSE;
    show (self);
  } else {
    fetch (self);
  }
}

void
tess_run_view_scrub_cb (TessRunView *self)
{
  guint n, at;

  if (self->updating_scrub || !self->model)
    return;
  n = tess_run_model_n_kept (self->model);
  at = (guint)(gtk_range_get_value (GTK_RANGE (self->scrub)) + 0.5);
  tess_run_view_show_epoch (self, at < n ? tess_run_model_kept_epoch (self->model, at) : -1);
}

void
tess_run_view_step_cb (TessRunView *self, int steps)
{
  gtk_range_set_value (GTK_RANGE (self->scrub), floor (gtk_range_get_value (GTK_RANGE (self->scrub)) + 0.5) + steps);
}

void
tess_run_view_clear_heads (TessRunView *self)
{
  self->generation++;
  self->building = self->build_again = self->fetching = FALSE;
  self->built_codes[0] = '\0';
  self->built_plan = FALSE;
  self->wanted = -1;
  self->n_classes = 0;
  g_clear_pointer (&self->newest, tess_heads_data_unref);
  g_clear_pointer (&self->earlier, tess_heads_data_unref);
}
