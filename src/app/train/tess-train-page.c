#include "tess-train-page.h"

#include "tess-run-view.h"
#include "tess-segment.h"
#include "tess-train-setup.h"

/* Of the sample. Left alone the planner takes the whole scan as one patch: better with hours to train, not minutes. */
#define SAMPLE_MINUTES 3.0
#define SAMPLE_PATCH 32

#define TESS_TYPE_TRAIN_PAGE (tess_train_page_get_type ())
G_DECLARE_FINAL_TYPE (TessTrainPage, tess_train_page, TESS, TRAIN_PAGE, GtkWidget)

enum { PROP_0, PROP_TITLE, N_PROPS };

static GParamSpec *properties[N_PROPS];

struct _TessTrainPage {
  GtkWidget parent_instance;

  TessWindow *window; /* not owned: it holds us */
  GtkStack *stack;    /* "empty", "busy", "setup", "run" */
  GtkSpinner *spinner;
  GtkLabel *busy_label;
  TessTrainSetup *setup;
  TessRunView *view;
  gboolean resuming;   /* the run was there before */
  gboolean from_setup; /* the run was started there, so that Back leads there */

  GPtrArray *devices; /* TessTrainDevice; NULL until they are known */
  char *waiting_dir;  /* a dataset that waits for them */
  gboolean sample;    /* what is being opened is the sample */
  guint generation;   /* of what is being opened */
  TessJob *job;       /* of looking at a dataset or making the sample */
  TessRunModel *model;
  GtkFileChooserNative *chooser;
};

G_DEFINE_FINAL_TYPE (TessTrainPage, tess_train_page, GTK_TYPE_WIDGET)

/* What one looks at: the run, the dataset, or nothing. */
static char *
dup_title (TessTrainPage *self)
{
  const char *name = self->stack ? gtk_stack_get_visible_child_name (self->stack) : NULL;

  if (g_strcmp0 (name, "run") == 0 && self->model) {
    g_autofree char *base = g_path_get_basename (tess_run_model_get_run_dir (self->model));

    return g_filename_display_name (base);
  }
  return g_strdup (g_strcmp0 (name, "setup") == 0 ? tess_train_setup_get_name (self->setup) : "");
}

static void
show (TessTrainPage *self, const char *name)
{
  gtk_stack_set_visible_child_name (self->stack, name);
  gtk_spinner_set_spinning (self->spinner, g_str_equal (name, "busy"));
  if (g_str_equal (name, "run") && gtk_widget_get_mapped (GTK_WIDGET (self->stack)))
    gtk_widget_grab_focus (GTK_WIDGET (self->view));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TITLE]);
}

static void
show_busy (TessTrainPage *self, const char *words)
{
  gtk_label_set_text (self->busy_label, words);
  show (self, "busy");
}

/* Whatever is being opened is not wanted any more. */
static void
forget_opening (TessTrainPage *self)
{
  self->generation++;
  g_clear_pointer (&self->waiting_dir, g_free);
  if (self->job)
    tess_job_cancel (self->job);
  g_clear_object (&self->job);
}

static TessJob *
new_job (TessTrainPage *self, const char *name)
{
  self->job = tess_job_new (name);
  tess_window_add_job (self->window, self->job);
  return g_object_ref (self->job);
}

/* A training of ours leaves only by its own commands. */
static gboolean
refuse_while_training (TessTrainPage *self)
{
  if (!tess_train_page_is_running (GTK_WIDGET (self)))
    return FALSE;
  show (self, "run");
  tess_window_toast (self->window, _ ("A training is at work; stop it before opening another one"));
  return TRUE;
}

/* ---- a dataset ---- */

typedef struct {
  TessJob *job;
  guint generation;
} Request;

static Request *
request_new (TessTrainPage *self, const char *name)
{
  Request *request = g_new (Request, 1);

  request->job = new_job (self, name);
  request->generation = self->generation;
  return request;
}

/* TRUE when the answer is still wanted. */
static gboolean
request_end (TessTrainPage *self, Request *request)
{
  gboolean wanted = request->generation == self->generation;

  tess_job_finish (request->job);
  if (wanted)
    g_clear_object (&self->job);
  g_object_unref (request->job);
  g_free (request);
  return wanted;
}

static void
fail (TessTrainPage *self, const GError *error, const char *button, const char *action)
{
  show (self, "empty");
  if (!g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED))
    tess_window_show_error (self->window, error->message, button, action);
}

static void
looked_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (object);
  g_autoptr (GError) error = NULL;
  TessDatasetLook *look = tess_dataset_look_finish (result, &error);

  if (!request_end (self, data)) {
    tess_dataset_look_free (look);
    return;
  }
  if (!look) {
    fail (self, error, _ ("Choose Another Folder…"), "win.open-dataset");
    return;
  }
  tess_window_clear_error (self->window);
  tess_train_setup_set_dataset (self->setup, look, self->sample ? SAMPLE_MINUTES : 0.0,
                                self->sample ? SAMPLE_PATCH : 0);
  show (self, "setup");
}

static void
open_dataset (TessTrainPage *self, const char *dir)
{
  g_autofree char *base = g_path_get_basename (dir), *shown = g_filename_display_name (base);
  g_autofree char *words = g_strdup_printf (_ ("Opening %s"), shown);
  Request *request;

  forget_opening (self);
  show_busy (self, words);
  if (!self->devices) { /* devices_cb goes on */
    self->waiting_dir = g_strdup (dir);
    return;
  }
  request = request_new (self, words);
  tess_dataset_look_async (G_OBJECT (self), dir, tess_job_get_progress (request->job), looked_cb, request);
}

void
tess_train_page_open_dataset (GtkWidget *page, const char *dir)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (page);

  if (refuse_while_training (self))
    return;
  self->sample = FALSE;
  open_dataset (self, dir);
}

static void
devices_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (object);
  g_autofree char *dir = NULL;

  g_autoptr (GPtrArray) devices = tess_train_devices_finish (result);

  if (!self->setup) /* the window has gone */
    return;
  self->devices = g_steal_pointer (&devices);
  tess_train_setup_set_devices (self->setup, self->devices);
  dir = g_steal_pointer (&self->waiting_dir);
  if (dir)
    open_dataset (self, dir);
}

static void
sample_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (object);
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = tess_train_sample_finish (result, &error);

  if (!request_end (self, data))
    return;
  if (!dir) {
    fail (self, error, NULL, NULL);
    return;
  }
  self->sample = TRUE;
  open_dataset (self, dir);
}

/* ---- a run ---- */

static void
toast_clicked_cb (TessTrainPage *self)
{
  gtk_widget_activate_action (GTK_WIDGET (self->view), "run.use-model", NULL);
}

/* The toast with a button that the window's own function has not. */
static void
toast_model (TessTrainPage *self, const char *words)
{
  GtkWidget *overlay = gtk_widget_get_ancestor (GTK_WIDGET (self), ADW_TYPE_TOAST_OVERLAY);
  AdwToast *toast;

  if (!overlay) {
    tess_window_toast (self->window, words);
    return;
  }
  toast = adw_toast_new (words);
  adw_toast_set_timeout (toast, 10);
  adw_toast_set_button_label (toast, _ ("Use This Model"));
  g_signal_connect_object (toast, "button-clicked", G_CALLBACK (toast_clicked_cb), self, G_CONNECT_SWAPPED);
  adw_toast_overlay_add_toast (ADW_TOAST_OVERLAY (overlay), toast);
}

static void
use_model_cb (TessTrainPage *self, const char *path)
{
  const char *dataset = tess_run_model_get_dataset_dir (self->model);

  if (!tess_segment_use_model (self->window, path))
    return;
  if (dataset) {
    g_autofree char *held_out = g_build_filename (dataset, "imagesTs", NULL);

    tess_window_propose_scans (self->window, held_out);
  }
  tess_window_set_mode (self->window, "view");
}

static void set_model (TessTrainPage *self, TessRunModel *model);

/* What could not be resumed is still there to be looked at. */
static void
watch_again (TessTrainPage *self)
{
  g_autoptr (TessRunModel) watch = tess_run_model_new_watch (tess_run_model_get_run_dir (self->model), NULL);

  if (watch)
    set_model (self, watch);
}

static void
ended_cb (TessTrainPage *self, const GError *error)
{
  TessTrainStatus status;
  g_autofree char *words = NULL;

  if (error) {
    tess_window_show_error (self->window, error->message, NULL, NULL);
    if (self->resuming && tess_run_model_n_rows (self->model) == 0)
      watch_again (self);
    return;
  }
  if (!tess_run_model_is_ours (self->model)) {
    if (tess_run_model_get_phase (self->model) != TESS_RUN_QUIET) /* that says so itself, and it may go on */
      tess_window_toast (self->window, _ ("The training has ended"));
    return;
  }
  tess_run_model_get_status (self->model, &status);
  if (status.total_iterations == 0)
    words = g_strdup (_ ("Stopped before training began"));
  else if (status.state == TESS_TRAIN_STOPPED && tess_run_model_n_rows (self->model) == 0)
    words = g_strdup (_ ("Stopped before the first epoch was over: resume the training to get a model"));
  else if (status.state == TESS_TRAIN_STOPPED)
    words = g_strdup_printf (_ ("Stopped in epoch %d; a checkpoint is kept"), (int)status.epoch);
  else
    words = g_strdup_printf (_ ("Training finished after %d epochs"), (int)tess_run_model_n_rows (self->model));
  if (tess_run_model_n_rows (self->model) > 0)
    toast_model (self, words);
  else
    tess_window_toast (self->window, words);
}

static void
set_model (TessTrainPage *self, TessRunModel *model)
{
  if (self->model)
    g_signal_handlers_disconnect_by_data (self->model, self);
  g_set_object (&self->model, model);
  tess_run_view_set_model (self->view, model);
  if (model)
    g_signal_connect_object (model, "ended", G_CALLBACK (ended_cb), self, G_CONNECT_SWAPPED);
}

static void
start (TessTrainPage *self, const TessTrainOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessRunModel) model = tess_run_model_new_train (options, &error);

  if (!model || !tess_run_model_start (model, &error)) {
    tess_window_show_error (self->window, error->message, NULL, NULL);
    return;
  }
  tess_window_clear_error (self->window);
  self->resuming = options->resume;
  set_model (self, model);
  show (self, "run");
}

static void
start_cb (TessTrainPage *self)
{
  TessTrainOptions options;

  tess_train_setup_get_options (self->setup, &options);
  self->from_setup = TRUE;
  start (self, &options);
}

/* With the run's own plan, split and length; on the best device there is. */
static void
resume_cb (TessTrainPage *self)
{
  const TessTrainDevice *device = self->devices && self->devices->len ? g_ptr_array_index (self->devices, 0) : NULL;
  const char *dataset = tess_run_model_get_dataset_dir (self->model);
  g_autofree char *run_dir = g_strdup (tess_run_model_get_run_dir (self->model)), *dir = g_strdup (dataset);
  TessTrainOptions options = {
      .run_dir = run_dir, .dataset_dir = dir, .fold = TESS_FOLD_DEFAULT, .resume = TRUE, .seed = -1};

  if (!device || !dir) {
    tess_window_show_error (self->window,
                            !dir ? _ ("This run does not say which dataset it is of; train again from the dataset")
                                 : _ ("Nothing that can train was found yet; try again in a moment"),
                            NULL, NULL);
    return;
  }
  options.backend = device->backend;
  options.device = device->index;
  options.act_dtype = device->bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
  start (self, &options);
}

static void
close_run_cb (TessTrainPage *self)
{
  set_model (self, NULL);
  tess_window_clear_error (self->window);
  if (self->from_setup)
    tess_train_setup_renew_run_dir (self->setup);
  show (self, self->from_setup ? "setup" : "empty");
}

static void
close_setup_cb (TessTrainPage *self)
{
  tess_window_clear_error (self->window);
  show (self, "empty");
}

void
tess_train_page_open_run (GtkWidget *page, const char *run_dir)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (page);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GError) error = NULL;

  if (refuse_while_training (self))
    return;
  forget_opening (self);
  model = tess_run_model_new_watch (run_dir, &error);
  if (!model) {
    fail (self, error, _ ("Choose Another Folder…"), "win.open-run");
    return;
  }
  tess_window_clear_error (self->window);
  self->from_setup = FALSE;
  set_model (self, model);
  show (self, "run");
}

gboolean
tess_train_page_is_running (GtkWidget *page)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (page);

  return self->model && tess_run_model_is_ours (self->model) && tess_run_model_is_alive (self->model);
}

void
tess_train_page_stop (GtkWidget *page)
{
  if (tess_train_page_is_running (page))
    tess_run_model_stop (TESS_TRAIN_PAGE (page)->model);
}

/* ---- commands ---- */

static void
chosen_cb (TessTrainPage *self, int response, GtkFileChooser *chooser)
{
  gboolean run = GPOINTER_TO_INT (g_object_get_data (G_OBJECT (chooser), "run"));
  g_autoptr (GFile) file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file (chooser) : NULL;
  g_autofree char *path = file ? g_file_get_path (file) : NULL;

  g_clear_object (&self->chooser);
  if (path && run)
    tess_train_page_open_run (GTK_WIDGET (self), path);
  else if (path)
    tess_train_page_open_dataset (GTK_WIDGET (self), path);
}

static void
choose (TessTrainPage *self, gboolean run)
{
  g_clear_object (&self->chooser);
  self->chooser = gtk_file_chooser_native_new (run ? _ ("Open a Run Folder") : _ ("Choose a Dataset Folder"),
                                               GTK_WINDOW (self->window), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER,
                                               _ ("_Open"), _ ("_Cancel"));
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (self->chooser), TRUE);
  g_object_set_data (G_OBJECT (self->chooser), "run", GINT_TO_POINTER (run));
  g_signal_connect_swapped (self->chooser, "response", G_CALLBACK (chosen_cb), self);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (self->chooser));
}

static void
choose_dataset_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  choose (TESS_TRAIN_PAGE (widget), FALSE);
}

static void
choose_run_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  choose (TESS_TRAIN_PAGE (widget), TRUE);
}

static void
make_sample_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (widget);
  Request *request;

  if (refuse_while_training (self))
    return;
  forget_opening (self);
  show_busy (self, _ ("Making a sample dataset"));
  request = request_new (self, _ ("Making a sample dataset"));
  tess_train_sample_async (G_OBJECT (self), tess_job_get_progress (request->job), sample_cb, request);
}

static void
cancel_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  forget_opening (TESS_TRAIN_PAGE (widget));
  show (TESS_TRAIN_PAGE (widget), "empty");
}

/* ---- object ---- */

static void
tess_train_page_dispose (GObject *object)
{
  TessTrainPage *self = TESS_TRAIN_PAGE (object);

  forget_opening (self);
  if (self->model)
    g_signal_handlers_disconnect_by_data (self->model, self);
  g_clear_object (&self->chooser);
  self->setup = NULL;
  self->view = NULL;
  if (self->stack)
    gtk_widget_unparent (GTK_WIDGET (self->stack));
  self->stack = NULL;
  g_clear_object (&self->model);
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  G_OBJECT_CLASS (tess_train_page_parent_class)->dispose (object);
}

static void
tess_train_page_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_TITLE)
    g_value_take_string (value, dup_title (TESS_TRAIN_PAGE (object)));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
tess_train_page_class_init (TessTrainPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_train_page_dispose;
  G_OBJECT_CLASS (klass)->get_property = tess_train_page_get_property;
  properties[PROP_TITLE] = g_param_spec_string ("title", NULL, NULL, "", G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (G_OBJECT_CLASS (klass), N_PROPS, properties);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/train/train-page.ui");
  gtk_widget_class_bind_template_child (widget_class, TessTrainPage, stack);
  gtk_widget_class_bind_template_child (widget_class, TessTrainPage, spinner);
  gtk_widget_class_bind_template_child (widget_class, TessTrainPage, busy_label);
  gtk_widget_class_install_action (widget_class, "train.choose-dataset", NULL, choose_dataset_action);
  gtk_widget_class_install_action (widget_class, "train.choose-run", NULL, choose_run_action);
  gtk_widget_class_install_action (widget_class, "train.make-sample", NULL, make_sample_action);
  gtk_widget_class_install_action (widget_class, "train.cancel", NULL, cancel_action);
}

static void
job_cb (TessTrainPage *self, TessJob *job)
{
  tess_window_add_job (self->window, job);
}

static void
note_cb (TessTrainPage *self, const char *sentence)
{
  tess_window_toast (self->window, sentence);
}

static void
tess_train_page_init (TessTrainPage *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  self->setup = TESS_TRAIN_SETUP (tess_train_setup_new ());
  self->view = TESS_RUN_VIEW (tess_run_view_new ());
  gtk_stack_add_named (self->stack, GTK_WIDGET (self->setup), "setup");
  gtk_stack_add_named (self->stack, GTK_WIDGET (self->view), "run");
  g_signal_connect_swapped (self->setup, "start", G_CALLBACK (start_cb), self);
  g_signal_connect_swapped (self->setup, "close", G_CALLBACK (close_setup_cb), self);
  g_signal_connect_swapped (self->setup, "job", G_CALLBACK (job_cb), self);
  g_signal_connect_swapped (self->view, "resume", G_CALLBACK (resume_cb), self);
  g_signal_connect_swapped (self->view, "use-model", G_CALLBACK (use_model_cb), self);
  g_signal_connect_swapped (self->view, "close", G_CALLBACK (close_run_cb), self);
  g_signal_connect_swapped (self->view, "note", G_CALLBACK (note_cb), self);
}

GtkWidget *
tess_train_page_new (TessWindow *window)
{
  TessTrainPage *self = g_object_new (TESS_TYPE_TRAIN_PAGE, NULL);

  self->window = window;
  tess_train_devices_async (G_OBJECT (self), devices_cb, NULL);
  return GTK_WIDGET (self);
}
