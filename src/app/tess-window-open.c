#include "tess-window-private.h"

#include "tess-file-kind.h"
#include "tess-format-registry.h"
#include "tess-segment.h"
#include "tess-thumbnail.h"
#include "tess-train-page.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* --- scans and labels ------------------------------------------------------------------------------------------- */

typedef struct {
  TessWindow *window;
  TessJob *job;
  char *path;
  TessOpenAs as;
  gboolean offer_scan; /* we guessed that it is labels: say so, and how to have it otherwise */
} Opening;

static void
opening_free (Opening *o)
{
  g_object_unref (o->window);
  g_object_unref (o->job);
  g_free (o->path);
  g_free (o);
}

/* A window that was closed meanwhile has no study any more. */
static gboolean
is_closed (TessWindow *self)
{
  return self->study == NULL;
}

static gboolean
is_cancelled (const GError *error)
{
  return g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED) ||
         g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
toast_open (TessWindow *self, const char *text, const char *button, const char *path)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);
  AdwToast *toast = adw_toast_new (escaped);

  adw_toast_set_button_label (toast, button);
  adw_toast_set_detailed_action_name (toast, "win.open-path");
  adw_toast_set_action_target (toast, "s", path);
  adw_toast_set_timeout (toast, 8);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

static void
offer_scan (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_basename (path);
  g_autofree char *text = g_strdup_printf (_ ("%s was opened as labels"), name);

  toast_open (self, text, _ ("Open as _Scan"), path);
}

/* A scanner writes a file a slice; who opens one of them wants the others too. */
static void
offer_folder (TessWindow *self, const char *path, const TessLayer *layer)
{
  const TessFormat *format = tess_format_for_path (path, NULL);
  g_autofree char *folder = g_path_get_dirname (path), *name = g_filename_display_basename (path);
  g_autofree char *text = g_strdup_printf (_ ("%s is one slice of a folder"), name);
  g_autoptr (GDir) dir = NULL;

  if (!format || strcmp (format->id, "dicom") != 0 || tess_volume_dim (layer->volume)[2] > 1 ||
      g_file_test (path, G_FILE_TEST_IS_DIR))
    return;
  dir = g_dir_open (folder, 0, NULL);
  if (dir && g_dir_read_name (dir) && g_dir_read_name (dir))
    toast_open (self, text, _ ("Open the _Folder"), folder);
}

static void
opened (TessWindow *self, Opening *o)
{
  TessLayer *layer;

  if (o->as != TESS_OPEN_SCAN) {
    if (o->offer_scan)
      offer_scan (self, o->path);
    return;
  }
  tess_recent_add (o->path);
  layer = tess_scene_main (tess_study_get_scene (self->study));
  if (layer) {
    tess_thumbnail_keep (o->path, layer->volume);
    offer_folder (self, o->path, layer);
  }
  gtk_widget_grab_focus (self->canvas);
}

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Opening *o = data;
  TessWindow *self = o->window;
  g_autoptr (GError) error = NULL;
  gboolean ok = tess_study_open_finish (TESS_STUDY (source), result, &error);

  tess_job_finish (o->job);
  self->n_opening--;
  if (!is_closed (self)) {
    if (ok) {
      opened (self, o);
    } else if (!is_cancelled (error)) {
      self->open_failed = TRUE;
      tess_window_show_error (self, error->message, _ ("Open Another…"),
                              o->as == TESS_OPEN_LABELS ? "win.open-labels" : "win.open");
    }
    tess_window_update (self);
    tess_window_check_started (self);
  }
  opening_free (o);
}

/* @location: PATH or PATH::ENTRY; @name: NULL for the file's. @guessed: that it is labels is our guess. */
void
tess_window_start_opening (TessWindow *self, const char *location, const char *name, TessOpenAs as, gboolean guessed)
{
  g_autofree char *path = tess_volume_location_file (location), *base = g_filename_display_basename (path);
  Opening *o = g_new0 (Opening, 1);
  gboolean begun;

  o->window = g_object_ref (self);
  if (self->head_start && as == TESS_OPEN_SCAN && !name)
    o->job = tess_head_start_take (self->head_start, location, opened_cb, o);
  begun = o->job != NULL;
  if (!begun)
    o->job = tess_job_new_opening (name ? name : base);
  o->path = g_steal_pointer (&path);
  o->as = as;
  o->offer_scan = guessed;
  self->n_opening++;
  tess_window_clear_error (self); /* not when it is open: what else was said meanwhile stays */
  if (strcmp (self->mode, "train") == 0)
    tess_window_set_mode (self, "view");
  tess_window_add_job (self, o->job);
  if (!begun)
    tess_study_open_async (self->study, location, name, as, o->job, opened_cb, o);
  g_clear_pointer (&self->head_start, tess_head_start_free); /* the study reads one scan at a time */
}

void
tess_window_open_labels (TessWindow *self, const char *path)
{
  g_autofree char *name = NULL, *text = NULL;

  if (self->looking || (self->contents && !self->contents_over)) { /* its scan is not even chosen */
    g_ptr_array_add (self->waiting_labels, g_strdup (path));
    return;
  }
  if (tess_study_get_has_image (self->study) || self->n_opening > 0) {
    tess_window_open_file (self, path, NULL, TESS_HOW_LABELS);
    return;
  }
  name = g_filename_display_basename (path);
  text = g_strdup_printf (_ ("%s: labels are shown over a scan, and none is open; open the scan first"), name);
  self->open_failed = TRUE;
  tess_window_show_error (self, text, _ ("Open a Scan…"), "win.open");
}

/* What is to be opened once nothing is lost by it: the first as the scan, the others over it. */
typedef struct {
  GPtrArray *locations, *names; /* names may hold NULL */
  char *label;
} Wish;

static Wish *
wish_new (const char *label)
{
  Wish *wish = g_new0 (Wish, 1);

  wish->locations = g_ptr_array_new_with_free_func (g_free);
  wish->names = g_ptr_array_new_with_free_func (g_free);
  wish->label = g_strdup (label);
  return wish;
}

static void
wish_add (Wish *wish, const char *location, const char *name)
{
  g_ptr_array_add (wish->locations, g_strdup (location));
  g_ptr_array_add (wish->names, g_strdup (name));
}

static void
wish_free (gpointer data)
{
  Wish *wish = data;

  g_ptr_array_unref (wish->locations);
  g_ptr_array_unref (wish->names);
  g_free (wish->label);
  g_free (wish);
}

static void
open_wished (TessWindow *self, gpointer data)
{
  const Wish *wish = data;
  g_autoptr (GPtrArray) waiting = NULL;

  if (is_closed (self))
    return;
  waiting = g_steal_pointer (&self->waiting_labels);
  self->waiting_labels = g_ptr_array_new_with_free_func (g_free);
  tess_window_close_contents (self);
  for (guint i = 0; i < wish->locations->len; i++)
    tess_window_start_opening (self, g_ptr_array_index (wish->locations, i), g_ptr_array_index (wish->names, i),
                               i == 0 ? TESS_OPEN_SCAN : TESS_OPEN_OVER, FALSE);
  if (wish->label)
    tess_window_open_labels (self, wish->label);
  for (guint i = 0; i < waiting->len; i++)
    tess_window_open_labels (self, g_ptr_array_index (waiting, i));
}

/* --- what a path holds ------------------------------------------------------------------------------------------- */

/* In the place of the scan that is open; asks first when labels made over that one are not saved. */
static void
open_one (TessWindow *self, const char *location, const char *label, TessOpenHow how)
{
  Wish *wish;

  if (how == TESS_HOW_LABELS || how == TESS_HOW_GUESSED_LABELS) {
    tess_window_start_opening (self, location, NULL, TESS_OPEN_LABELS, how == TESS_HOW_GUESSED_LABELS);
  } else if (how == TESS_HOW_ASK && !g_file_test (location, G_FILE_TEST_IS_DIR)) {
    tess_window_ask_what_it_is (self, location);
  } else {
    wish = wish_new (label);
    wish_add (wish, location, NULL);
    tess_segment_ask_unsaved (self, open_wished, wish, wish_free);
  }
}

void
tess_window_close_contents (TessWindow *self)
{
  if (!self->contents)
    return;
  g_clear_object (&self->contents);
  g_clear_pointer (&self->contents_label, g_free);
  g_ptr_array_set_size (self->waiting_labels, 0);
  tess_contents_page_show (self->contents_page, NULL, FALSE, FALSE);
  tess_window_update (self);
  if (tess_study_get_has_image (self->study))
    gtk_widget_grab_focus (self->canvas);
}

void
tess_window_contents_chosen (TessWindow *self, GPtrArray *items, gboolean over)
{
  gboolean labels = self->contents_over;
  Wish *wish = wish_new (self->contents_label);

  for (guint i = 0; i < items->len; i++) {
    TessContentsItem *item = g_ptr_array_index (items, i);

    /* A file is called as it always is; one of several volumes by what the list calls it. */
    wish_add (wish, item->location, g_file_test (item->location, G_FILE_TEST_EXISTS) ? NULL : item->name);
  }
  if (!over) {
    tess_segment_ask_unsaved (self, open_wished, wish, wish_free);
    return;
  }
  tess_window_close_contents (self);
  for (guint i = 0; i < wish->locations->len; i++)
    tess_window_start_opening (self, g_ptr_array_index (wish->locations, i), g_ptr_array_index (wish->names, i),
                               labels ? TESS_OPEN_LABELS : TESS_OPEN_OVER, FALSE);
  wish_free (wish);
}

typedef struct {
  TessWindow *window;
  TessJob *job;
  char *path, *label;
  TessOpenHow how;
} Look;

static void
look_free (Look *look)
{
  g_object_unref (look->window);
  g_object_unref (look->job);
  g_free (look->path);
  g_free (look->label);
  g_free (look);
}

static void
show_contents (TessWindow *self, TessContents *contents, const Look *look)
{
  gboolean over = look->how == TESS_HOW_LABELS || look->how == TESS_HOW_GUESSED_LABELS;

  g_set_object (&self->contents, contents);
  self->contents_over = over;
  g_free (self->contents_label);
  self->contents_label = g_strdup (look->label);
  tess_contents_page_show (self->contents_page, contents, over, tess_study_get_has_image (self->study));
  tess_window_set_mode (self, "view");
  tess_window_update (self);
  tess_contents_page_focus (self->contents_page);
}

static void
looked_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Look *look = data;
  TessWindow *self = look->window;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessContents) contents = tess_contents_look_finish (result, &error);
  gboolean newest = self->looking == look->job;

  tess_job_finish (look->job);
  self->n_opening--;
  if (newest)
    self->looking = NULL;
  if (!is_closed (self) && newest) {
    if (contents && tess_contents_n (contents) > 1) {
      show_contents (self, contents, look);
    } else if (contents) {
      open_one (self, tess_contents_nth (contents, 0)->location, look->label, look->how);
    } else if (is_cancelled (error)) {
      g_ptr_array_set_size (self->waiting_labels, 0);
    } else {
      gboolean folder = g_error_matches (error, TESS_ERROR, TESS_ERROR_USAGE);

      self->open_failed = TRUE;
      g_ptr_array_set_size (self->waiting_labels, 0);
      tess_window_show_error (self, error->message, folder ? _ ("Open a Dataset Folder…") : _ ("Open Another…"),
                              folder ? "win.open-dataset" : "win.open");
    }
    tess_window_update (self);
  }
  if (!is_closed (self))
    tess_window_check_started (self);
  look_free (look);
}

/* A file, or a folder of scans. Where it may hold several volumes, a worker looks first and the user chooses. */
void
tess_window_open_file (TessWindow *self, const char *path, const char *label, TessOpenHow how)
{
  g_autofree char *name = NULL, *what = NULL;
  Look *look;

  if (self->looking) /* this one takes its place */
    tess_job_cancel (self->looking);
  self->looking = NULL;
  tess_window_clear_error (self);
  if (!tess_contents_needed (path)) {
    open_one (self, path, label, how);
    return;
  }
  name = g_filename_display_basename (path);
  what = g_strdup_printf (_ ("Looking through %s"), name);
  look = g_new0 (Look, 1);
  look->window = g_object_ref (self);
  look->job = self->looking = tess_job_new (what);
  look->path = g_strdup (path);
  look->label = g_strdup (label);
  look->how = how;
  self->n_opening++;
  tess_window_add_job (self, look->job);
  tess_contents_look_async (path, tess_job_get_progress (look->job), looked_cb, look);
}

/* --- folders and models ----------------------------------------------------------------------------------------- */

void
tess_window_open_dataset (TessWindow *self, const char *path)
{
  g_autofree char *folder = NULL;
  TessFileKind kind = tess_file_kind_probe (path, &folder);

  tess_window_clear_error (self);
  tess_window_set_mode (self, "train");
  tess_train_page_open_dataset (self->train_page, kind == TESS_FILE_DATASET ? folder : path);
  if (kind == TESS_FILE_DATASET)
    tess_recent_add (folder);
}

void
tess_window_open_run (TessWindow *self, const char *path)
{
  g_autofree char *folder = NULL;
  TessFileKind kind;

  g_return_if_fail (TESS_IS_WINDOW (self));
  kind = tess_file_kind_probe (path, &folder);
  tess_window_clear_error (self);
  tess_window_set_mode (self, "train");
  tess_train_page_open_run (self->train_page, kind == TESS_FILE_RUN ? folder : path);
  if (kind == TESS_FILE_RUN)
    tess_recent_add (folder);
}

/* Segment uses it from now on. */
void
tess_window_open_model (TessWindow *self, const char *path)
{
  if (!tess_segment_use_model (self, path))
    self->open_failed = TRUE;
}

void
tess_window_propose_scans (TessWindow *self, const char *folder)
{
  g_return_if_fail (TESS_IS_WINDOW (self) && folder);
  g_free (self->scans);
  self->scans = g_file_test (folder, G_FILE_TEST_IS_DIR) ? g_strdup (folder) : NULL;
}

static void
say_missing (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autofree char *text = g_strdup_printf (_ ("%s: there is no such file or folder; check its name and place"), name);

  self->open_failed = TRUE;
  tess_window_show_error (self, text, _ ("Open Another…"), "win.open");
}

/* @label: labels to show over @path when that is a scan, or NULL. What cannot be opened is said in the bar. */
void
tess_window_open (TessWindow *self, const char *path, const char *label)
{
  g_autofree char *folder = NULL;

  g_return_if_fail (TESS_IS_WINDOW (self) && path);
  switch (tess_file_kind_probe (path, &folder)) {
  case TESS_FILE_MISSING:
    say_missing (self, path);
    break;
  case TESS_FILE_SCAN:
  case TESS_FILE_FOLDER:
    tess_window_open_file (self, path, label, TESS_HOW_SCAN);
    break;
  case TESS_FILE_DATASET:
    tess_window_open_dataset (self, folder);
    break;
  case TESS_FILE_RUN:
    tess_window_open_run (self, folder);
    break;
  case TESS_FILE_MODEL:
    tess_window_open_model (self, path);
    break;
  case TESS_FILE_FINDINGS:
    tess_window_start_opening (self, path, NULL, TESS_OPEN_FINDINGS, FALSE);
    break;
  }
}
