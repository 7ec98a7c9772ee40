#include "tess-train-setup-private.h"

#include "tess-columns.h"
#include "tess-splits.h"

#include <math.h>
#include <string.h>

enum { START, CLOSE, JOB, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessTrainSetup, tess_train_setup, GTK_TYPE_WIDGET)

#define UNIT_EPOCHS 0u
#define UNIT_MINUTES 1u

static void start_planning (TessTrainSetup *self);

static const TessTrainDevice *
device (TessTrainSetup *self)
{
  guint i = adw_combo_row_get_selected (self->device);

  return self->devices && i < self->devices->len ? g_ptr_array_index (self->devices, i) : NULL;
}

/* ---- the plan ---- */

static void
fill_from_plan (TessTrainSetup *self)
{
  self->filling = TRUE;
  for (guint a = 0; a < 3; a++)
    gtk_spin_button_set_value (self->patch[a], (double)self->plan->patch[a]);
  gtk_spin_button_set_value (self->batch, (double)self->plan->training.batch_size);
  gtk_spin_button_set_value (self->iterations, (double)self->plan->training.iterations_per_epoch);
  gtk_spin_button_set_value (self->rate, self->plan->training.learning_rate);
  if (gtk_drop_down_get_selected (self->unit) == UNIT_EPOCHS)
    gtk_spin_button_set_value (self->length, (double)self->plan->training.epochs);
  self->filling = FALSE;
}

/* share: of the cases that were in order; the one after them is to blame. */
static void
show_trouble (TessTrainSetup *self, const GError *error, double share)
{
  guint done = (guint)(share * self->look->cases->len + 0.5);
  gboolean cancelled = g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED);

  tess_case_list_set_checked (self->cases, done);
  if (!cancelled)
    tess_case_list_set_failed (self->cases, done);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->trouble_row),
                                 cancelled ? _ ("The cases were not all read, so there is no plan yet.")
                                           : error->message);
  gtk_widget_set_visible (GTK_WIDGET (self->trouble_row), TRUE);
}

static void
planned_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (object);
  g_autoptr (TessJob) job = data;
  g_autoptr (GError) error = NULL;
  TessPlan *plan = tess_train_plan_finish (result, &error);

  tess_job_finish (job);
  if (job != self->job) { /* another dataset was chosen meanwhile */
    g_clear_pointer (&plan, tess_plan_unref);
    return;
  }
  g_clear_object (&self->job);
  if (plan) {
    g_clear_pointer (&self->plan, tess_plan_unref);
    self->plan = plan;
    self->plan_fits_device = TRUE;
    tess_case_list_set_checked (self->cases, self->look->cases->len);
    tess_train_setup_show_plan (self);
    fill_from_plan (self);
  } else {
    show_trouble (self, error, tess_progress_get (tess_job_get_progress (job)));
  }
  tess_train_setup_update (self);
}

static void
fraction_cb (TessTrainSetup *self, GParamSpec *pspec, TessJob *job)
{
  double fraction = tess_job_get_fraction (job);
  guint n = self->look ? self->look->cases->len : 0, done = (guint)(fraction * n + 0.5);
  g_autofree char *words = g_strdup_printf (_ ("%u of %u"), done, n);

  if (job != self->job)
    return;
  gtk_progress_bar_set_fraction (self->planning, fraction);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->planning_row), words);
  tess_case_list_set_checked (self->cases, done);
}

/* Patch and batch as asked for, where they differ from the plan that is there; else decided anew. */
static void
read_wish (TessTrainSetup *self, TessPlanWish *wish)
{
  gboolean patch = FALSE;

  *wish = (TessPlanWish){{self->edge, self->edge, self->edge}, 0};
  if (!self->plan)
    return;
  for (guint a = 0; a < 3; a++) {
    wish->patch[a] = gtk_spin_button_get_value_as_int (self->patch[a]);
    patch |= wish->patch[a] != self->plan->patch[a];
  }
  if (!patch && !self->edge)
    memset (wish->patch, 0, sizeof wish->patch);
  wish->batch = gtk_spin_button_get_value_as_int (self->batch);
  if (wish->batch == self->plan->training.batch_size)
    wish->batch = 0;
}

static void
start_planning (TessTrainSetup *self)
{
  const TessTrainDevice *on = device (self);
  g_autofree char *name = NULL;
  TessPlanWish wish;

  if (!on || !self->look)
    return;
  tess_train_setup_cancel (self);
  read_wish (self, &wish);
  name = g_strdup_printf (_ ("Planning %s"), self->look->dataset->name);
  self->job = tess_job_new (name);
  g_signal_connect_object (self->job, "notify::fraction", G_CALLBACK (fraction_cb), self, G_CONNECT_SWAPPED);
  gtk_widget_set_visible (GTK_WIDGET (self->trouble_row), FALSE);
  tess_train_setup_hide_plan (self);
  tess_case_list_set_checked (self->cases, 0);
  tess_train_plan_async (G_OBJECT (self), self->look->dataset, on, &wish, tess_job_get_progress (self->job), planned_cb,
                         g_object_ref (self->job));
  tess_train_setup_update (self);
  g_signal_emit (self, signals[JOB], 0, self->job);
}

void
tess_train_setup_cancel (TessTrainSetup *self)
{
  if (!self->job)
    return;
  tess_job_cancel (self->job);
  g_clear_object (&self->job);
}

/* ---- the dataset ---- */

/* "2 cases (part 1 of 5)" */
static char *
fold_name (const TessDataset *dataset, guint fold, guint folds)
{
  g_autofree char *part = g_strdup_printf (_ ("part %u of %u"), fold + 1, folds), *cases = NULL;
  TessSplit split = {0};

  if (!tess_split_fold (dataset, (int)fold, &split, NULL)) /* training says why */
    return g_steal_pointer (&part);
  cases = g_strdup_printf (ngettext ("%u case", "%u cases", split.n_val), split.n_val);
  tess_split_clear (&split);
  return g_strdup_printf ("%s (%s)", cases, part);
}

static void
fill_folds (TessTrainSetup *self)
{
  guint n = self->look->dataset->cases->len, folds = CLAMP (n, 2u, 5u);
  g_autoptr (GtkStringList) model = gtk_string_list_new (NULL);

  for (guint f = 0; f < folds && n >= 2; f++) {
    g_autofree char *name = fold_name (self->look->dataset, f, folds);

    gtk_string_list_append (model, name);
  }
  gtk_string_list_append (model, _ ("none kept out: train on all"));
  adw_combo_row_set_model (self->fold, G_LIST_MODEL (model));
}

static void
show_run_dir (TessTrainSetup *self)
{
  g_autofree char *shown = g_filename_display_name (self->run_dir);
  g_autofree char *tip = g_strdup_printf (_ ("Where model, curves and kept heads are written:\n%s"), shown);

  adw_action_row_set_subtitle (self->run_row, shown);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->run_row), tip);
}

void
tess_train_setup_renew_run_dir (TessTrainSetup *self)
{
  if (!self->look)
    return;
  g_free (self->run_dir);
  self->run_dir = tess_train_new_run_dir (NULL, self->look->dataset->name);
  show_run_dir (self);
}

/* "6 cases, 1 channel, 3 labels   /data/torso" */
static char *
contents (const TessDataset *dataset, const char *folder)
{
  guint n_labels = dataset->n_labels - 1;
  g_autofree char *cases = g_strdup_printf (ngettext ("%u case", "%u cases", dataset->cases->len), dataset->cases->len);
  g_autofree char *channels =
      g_strdup_printf (ngettext ("%u channel", "%u channels", dataset->n_channels), dataset->n_channels);
  g_autofree char *labels = g_strdup_printf (ngettext ("%u label", "%u labels", n_labels), n_labels);

  return g_strdup_printf ("%s, %s, %s   %s", cases, channels, labels, folder);
}

void
tess_train_setup_set_dataset (TessTrainSetup *self, TessDatasetLook *look, double minutes, int edge)
{
  g_autofree char *words = NULL, *shown = NULL;

  tess_train_setup_cancel (self);
  g_clear_pointer (&self->look, tess_dataset_look_free);
  g_clear_pointer (&self->plan, tess_plan_unref);
  self->look = look;
  self->minutes = minutes;
  self->edge = edge;
  shown = g_filename_display_name (look->dataset->directory);
  words = contents (look->dataset, shown);
  gtk_label_set_text (self->title, look->dataset->name);
  gtk_label_set_text (self->subtitle, words);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->subtitle), shown);
  tess_case_list_set_cases (self->cases, look->cases);
  tess_train_setup_show_labels (self);
  fill_folds (self);
  tess_train_setup_renew_run_dir (self);
  gtk_drop_down_set_selected (self->unit, minutes > 0.0 ? UNIT_MINUTES : UNIT_EPOCHS);
  if (minutes > 0.0)
    gtk_spin_button_set_value (self->length, minutes);
  start_planning (self);
}

const char *
tess_train_setup_get_name (TessTrainSetup *self)
{
  return self->look ? self->look->dataset->name : "";
}

void
tess_train_setup_set_devices (TessTrainSetup *self, GPtrArray *devices)
{
  g_autoptr (GtkStringList) model = gtk_string_list_new (NULL);

  for (guint i = 0; i < devices->len; i++)
    gtk_string_list_append (model, ((TessTrainDevice *)g_ptr_array_index (devices, i))->name);
  self->filling = TRUE;
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  self->devices = g_ptr_array_ref (devices);
  adw_combo_row_set_model (self->device, G_LIST_MODEL (model));
  self->filling = FALSE;
}

void
tess_train_setup_get_options (TessTrainSetup *self, TessTrainOptions *options)
{
  const TessTrainDevice *on = device (self);
  guint fold = adw_combo_row_get_selected (self->fold);
  guint n_folds = g_list_model_get_n_items (adw_combo_row_get_model (self->fold)) - 1;
  double length = gtk_spin_button_get_value (self->length);

  g_clear_pointer (&self->chosen, tess_plan_unref);
  self->chosen = tess_plan_dup (self->plan);
  self->chosen->training.iterations_per_epoch = gtk_spin_button_get_value_as_int (self->iterations);
  if (tess_train_setup_rate_changed (self))
    self->chosen->training.learning_rate = gtk_spin_button_get_value (self->rate);
  tess_plan_restrict_augmentation (self->chosen, (TessPlanAugmentation)adw_combo_row_get_selected (self->augmentation));
  *options = (TessTrainOptions){
      .dataset_dir = self->look->dataset->directory,
      .run_dir = self->run_dir,
      .plan = self->chosen,
      .fold = fold < n_folds ? (int)fold : -1,
      .seed = -1,
      .backend = on->backend,
      .device = on->index,
      .act_dtype = on->bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32,
  };
  if (gtk_drop_down_get_selected (self->unit) == UNIT_MINUTES)
    options->minutes = length;
  else
    options->epochs = (gint64)length;
}

/* ---- hands ---- */

static void
start_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_signal_emit (widget, signals[START], 0);
}

static void
close_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  tess_train_setup_cancel (TESS_TRAIN_SETUP (widget));
  g_signal_emit (widget, signals[CLOSE], 0);
}

static void
plan_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  start_planning (TESS_TRAIN_SETUP (widget));
}

/* The worker answers with CANCELLED, and planned_cb says what that means. */
static void
cancel_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (widget);

  if (self->job)
    tess_job_cancel (self->job);
}

static void
reset_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (widget);

  if (!self->plan)
    return;
  for (guint a = 0; a < 3 && g_str_has_suffix (name, "patch"); a++)
    gtk_spin_button_set_value (self->patch[a], (double)self->plan->patch[a]);
  if (g_str_has_suffix (name, "batch"))
    gtk_spin_button_set_value (self->batch, (double)self->plan->training.batch_size);
  if (g_str_has_suffix (name, "rate"))
    gtk_spin_button_set_value (self->rate, self->plan->training.learning_rate);
  if (g_str_has_suffix (name, "iterations"))
    gtk_spin_button_set_value (self->iterations, (double)self->plan->training.iterations_per_epoch);
}

static void
chosen_cb (TessTrainSetup *self, int response, GtkFileChooser *chooser)
{
  g_autoptr (GFile) file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file (chooser) : NULL;
  g_autofree char *path = file ? g_file_get_path (file) : NULL;

  if (path) {
    g_free (self->run_dir);
    self->run_dir = tess_train_new_run_dir (path, self->look->dataset->name);
    show_run_dir (self);
  }
  g_clear_object (&self->chooser);
}

static void
choose_run_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (widget);

  g_clear_object (&self->chooser);
  self->chooser = gtk_file_chooser_native_new (_ ("Folder for the Run"), GTK_WINDOW (gtk_widget_get_root (widget)),
                                               GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Choose"), _ ("_Cancel"));
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (self->chooser), TRUE);
  g_signal_connect_swapped (self->chooser, "response", G_CALLBACK (chosen_cb), self);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (self->chooser));
}

static void
changed_cb (TessTrainSetup *self)
{
  if (!self->filling)
    tess_train_setup_update (self);
}

static void
device_cb (TessTrainSetup *self)
{
  if (self->filling || !self->plan)
    return;
  self->plan_fits_device = FALSE;
  start_planning (self); /* memory and width are the device's */
}

static void
unit_cb (TessTrainSetup *self)
{
  gboolean minutes = gtk_drop_down_get_selected (self->unit) == UNIT_MINUTES;

  if (minutes)
    gtk_spin_button_set_value (self->length, self->minutes > 0.0 ? self->minutes : 60.0);
  else if (self->plan)
    gtk_spin_button_set_value (self->length, (double)self->plan->training.epochs);
}

/* ---- object ---- */

static void
tess_train_setup_dispose (GObject *object)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (object);

  tess_train_setup_cancel (self);
  g_clear_object (&self->chooser);
  g_clear_pointer (&self->content, gtk_widget_unparent);
  G_OBJECT_CLASS (tess_train_setup_parent_class)->dispose (object);
}

static void
tess_train_setup_finalize (GObject *object)
{
  TessTrainSetup *self = TESS_TRAIN_SETUP (object);

  g_clear_pointer (&self->devices, g_ptr_array_unref);
  g_clear_pointer (&self->look, tess_dataset_look_free);
  g_clear_pointer (&self->plan, tess_plan_unref);
  g_clear_pointer (&self->chosen, tess_plan_unref);
  g_ptr_array_unref (self->plan_rows);
  g_free (self->run_dir);
  G_OBJECT_CLASS (tess_train_setup_parent_class)->finalize (object);
}

static void
bind_children (GtkWidgetClass *klass)
{
#define BIND(name) gtk_widget_class_bind_template_child (klass, TessTrainSetup, name)
  BIND (content);
  BIND (title);
  BIND (subtitle);
  BIND (length);
  BIND (unit);
  BIND (fold);
  BIND (device);
  BIND (augmentation);
  BIND (run_row);
  BIND (labels);
  BIND (news_group);
  BIND (plan_group);
  BIND (planning_row);
  BIND (trouble_row);
  BIND (again_row);
  BIND (spinner);
  BIND (planning);
  BIND (patch_slot);
  BIND (patch_reset);
  BIND (batch);
  BIND (batch_reset);
  BIND (iterations);
  BIND (iterations_reset);
  BIND (rate);
  BIND (rate_reset);
  BIND (cases_group);
#undef BIND
}

static void
tess_train_setup_class_init (TessTrainSetupClass *klass)
{
  static const char *const resets[] = {"setup.reset-patch", "setup.reset-batch", "setup.reset-iterations",
                                       "setup.reset-rate"};
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_train_setup_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_train_setup_finalize;
  signals[START] =
      g_signal_new ("start", TESS_TYPE_TRAIN_SETUP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[CLOSE] =
      g_signal_new ("close", TESS_TYPE_TRAIN_SETUP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[JOB] = g_signal_new ("job", TESS_TYPE_TRAIN_SETUP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                               TESS_TYPE_JOB);
  g_type_ensure (TESS_TYPE_COLUMNS);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/train/train-setup.ui");
  bind_children (widget_class);
  gtk_widget_class_install_action (widget_class, "setup.start", NULL, start_action);
  gtk_widget_class_install_action (widget_class, "setup.close", NULL, close_action);
  gtk_widget_class_install_action (widget_class, "setup.plan", NULL, plan_action);
  gtk_widget_class_install_action (widget_class, "setup.cancel-plan", NULL, cancel_action);
  gtk_widget_class_install_action (widget_class, "setup.choose-run", NULL, choose_run_action);
  for (guint i = 0; i < G_N_ELEMENTS (resets); i++)
    gtk_widget_class_install_action (widget_class, resets[i], NULL, reset_action);
}

static void
add_patch_spins (TessTrainSetup *self)
{
  const char *const names[3] = {_ ("Patch, voxels along x"), _ ("Patch, voxels along y"), _ ("Patch, voxels along z")};

  for (guint a = 0; a < 3; a++) {
    GtkWidget *spin = gtk_spin_button_new_with_range (4.0, 512.0, 4.0);

    gtk_editable_set_width_chars (GTK_EDITABLE (spin), 3);
    gtk_widget_set_tooltip_text (spin, names[a]);
    gtk_accessible_update_property (GTK_ACCESSIBLE (spin), GTK_ACCESSIBLE_PROPERTY_LABEL, names[a], -1);
    g_signal_connect_swapped (spin, "value-changed", G_CALLBACK (changed_cb), self);
    gtk_box_append (self->patch_slot, spin);
    self->patch[a] = GTK_SPIN_BUTTON (spin);
  }
}

/* The button that a drop down is made of is what a screen reader meets. */
static void
name_button (GtkDropDown *drop, const char *name)
{
  GtkWidget *button = gtk_widget_get_first_child (GTK_WIDGET (drop));

  if (button)
    gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
tess_train_setup_init (TessTrainSetup *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  self->plan_rows = g_ptr_array_new ();
  self->cases = TESS_CASE_LIST (tess_case_list_new ());
  adw_preferences_group_add (self->cases_group, GTK_WIDGET (self->cases));
  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (self->trouble_row), FALSE);
  add_patch_spins (self);
  g_signal_connect_swapped (self->batch, "value-changed", G_CALLBACK (changed_cb), self);
  g_signal_connect_swapped (self->iterations, "value-changed", G_CALLBACK (changed_cb), self);
  g_signal_connect_swapped (self->rate, "value-changed", G_CALLBACK (changed_cb), self);
  g_signal_connect_swapped (self->device, "notify::selected", G_CALLBACK (device_cb), self);
  g_signal_connect_swapped (self->unit, "notify::selected", G_CALLBACK (unit_cb), self);
  name_button (self->unit, _ ("What the length is counted in"));
  tess_train_setup_update (self);
}

GtkWidget *
tess_train_setup_new (void)
{
  return g_object_new (TESS_TYPE_TRAIN_SETUP, NULL);
}
