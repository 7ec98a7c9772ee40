#include "tess-window.h"
#include "tess-window-private.h"

#include "tess-results-page.h"
#include "tess-segment.h"
#include "tess-settings.h"
#include "tess-shortcuts.h"
#include "tess-train-page.h"
#include "tess-view-inspector.h"
#include "tess-view-sidebar.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { PROP_0, PROP_MODE, PROP_MODEL, PROP_SHOW_SIDEBAR, PROP_SHOW_INSPECTOR, PROP_STUDY, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (TessWindow, tess_window, ADW_TYPE_APPLICATION_WINDOW)

/* --- the study on the frame ------------------------------------------------------------------------------------- */

static gboolean
is_picture_mode (TessWindow *self)
{
  return strcmp (self->mode, "train") != 0;
}

/* In View: what a study holds takes the canvas's place until something of it is chosen. */
static gboolean
is_choosing (TessWindow *self)
{
  return self->contents && strcmp (self->mode, "view") == 0;
}

/* What one looks at: the scan, or in Train the run or dataset. */
static void
update_title (TessWindow *self)
{
  gboolean pictures = is_picture_mode (self), choosing = is_choosing (self);
  gboolean open = pictures && !choosing && tess_study_get_has_image (self->study);
  const char *subtitle = open ? tess_study_get_subtitle (self->study) : choosing ? _ ("Choose what to open") : NULL;
  g_autofree char *title = NULL, *whole = NULL;

  if (choosing)
    title = g_filename_display_basename (tess_contents_get_path (self->contents));
  else if (open)
    title = g_strdup (tess_study_get_title (self->study));
  else if (!pictures)
    g_object_get (self->train_page, "title", &title, NULL);
  whole = title && *title ? g_strdup_printf ("%s - Tessera", title) : g_strdup ("Tessera");

  gtk_label_set_text (self->title, title && *title ? title : "Tessera");
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->title), open ? tess_study_get_path (self->study) : NULL);
  gtk_label_set_text (self->subtitle, subtitle ? subtitle : "");
  gtk_widget_set_visible (GTK_WIDGET (self->subtitle), subtitle && *subtitle);
  gtk_window_set_title (GTK_WINDOW (self), whole);
}

/* Side bars are there when the user wants them and there is room; folded, they only come when asked for. */
static void
apply_flaps (TessWindow *self)
{
  self->applying_flaps = TRUE;
  adw_flap_set_reveal_flap (self->sidebar_flap, self->show_sidebar && !adw_flap_get_folded (self->sidebar_flap));
  adw_flap_set_reveal_flap (self->inspector_flap, self->show_inspector && !adw_flap_get_folded (self->inspector_flap));
  self->applying_flaps = FALSE;
  tess_window_update_actions (self);
}

static void
show_page (TessWindow *self)
{
  gboolean open = tess_study_get_has_image (self->study), results = strcmp (self->mode, "results") == 0;

  if (!is_picture_mode (self)) {
    gtk_stack_set_visible_child_name (self->pages, "train");
    return;
  }
  if (is_choosing (self)) {
    gtk_stack_set_visible_child_name (self->pages, "contents");
    return;
  }
  gtk_stack_set_visible_child_name (self->sidebars, self->mode);
  gtk_stack_set_visible_child_name (self->inspectors, self->mode);
  gtk_stack_set_visible_child_name (self->centre, open ? "canvas" : "empty");
  gtk_widget_set_visible (GTK_WIDGET (self->status), open);
  gtk_stack_set_visible_child_name (self->pages, open || results ? "pictures" : "welcome");
}

static void
update_notes (TessWindow *self)
{
  g_auto (GStrv) notes = tess_study_dup_notes (self->study);

  tess_notes_bar_set_notes (self->notes, (const char *const *)notes);
}

void
tess_window_update (TessWindow *self)
{
  update_notes (self);
  update_title (self);
  show_page (self);
  tess_window_update_actions (self);
}

static void
status_cb (TessWindow *self)
{
  const char *status = tess_canvas_get_status (TESS_CANVAS (self->canvas));

  gtk_label_set_text (self->status, status ? status : "");
}

/* --- side bars -------------------------------------------------------------------------------------------------- */

static void
fold_cb (TessWindow *self)
{
  if (self->canvas)
    apply_flaps (self);
}

/* Somebody else than apply_flaps: a click beside a side bar that lies over the pictures, or the action. */
static void
reveal_cb (TessWindow *self, GParamSpec *pspec, AdwFlap *flap)
{
  gboolean is_sidebar = flap == self->sidebar_flap;

  if (!self->canvas)
    return;
  if (!self->applying_flaps && !adw_flap_get_folded (flap))
    g_object_set (tess_settings_get (), is_sidebar ? "show-sidebar" : "show-inspector", adw_flap_get_reveal_flap (flap),
                  NULL);
  g_object_notify_by_pspec (G_OBJECT (self), properties[is_sidebar ? PROP_SHOW_SIDEBAR : PROP_SHOW_INSPECTOR]);
}

static void
wishes_cb (TessWindow *self)
{
  g_object_get (tess_settings_get (), "show-sidebar", &self->show_sidebar, "show-inspector", &self->show_inspector,
                NULL);
  apply_flaps (self);
}

/* --- modes ------------------------------------------------------------------------------------------------------ */

void
tess_window_set_mode (TessWindow *self, const char *mode)
{
  g_return_if_fail (TESS_IS_WINDOW (self));
  g_return_if_fail (g_strv_contains ((const char *const[]){"view", "train", "results", NULL}, mode));
  if (g_strcmp0 (self->mode, mode) == 0)
    return;
  g_free (self->mode);
  self->mode = g_strdup (mode);
  tess_results_set_shown (self, strcmp (mode, "results") == 0);
  tess_window_update (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MODE]);
}

/* --- the model -------------------------------------------------------------------------------------------------- */

/* Chosen once, remembered. NULL or "": none. Whether it can segment the scan is looked at when it is used. */
void
tess_window_set_model (TessWindow *self, const char *path)
{
  g_return_if_fail (TESS_IS_WINDOW (self));
  if (path && !*path)
    path = NULL;
  if (g_strcmp0 (self->model, path) == 0)
    return;
  g_free (self->model);
  self->model = g_strdup (path);
  tess_settings_set_last_model (tess_settings_get (), self->model);
  if (self->model)
    tess_recent_add (self->model);
  tess_window_update_actions (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MODEL]);
}

const char *
tess_window_get_model (TessWindow *self)
{
  g_return_val_if_fail (TESS_IS_WINDOW (self), NULL);
  return self->model;
}

/* --- sentences -------------------------------------------------------------------------------------------------- */

void
tess_window_show_error (TessWindow *self, const char *sentence, const char *button, const char *action)
{
  g_return_if_fail (TESS_IS_WINDOW (self) && sentence);
  gtk_label_set_text (self->message_label, sentence);
  gtk_widget_set_visible (GTK_WIDGET (self->message_button), button && action);
  if (button)
    gtk_button_set_label (self->message_button, button);
  g_free (self->message_action);
  self->message_action = g_strdup (action);
  gtk_revealer_set_reveal_child (self->message_revealer, TRUE);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->message_bar), GTK_ACCESSIBLE_PROPERTY_LABEL, sentence, -1);
}

void
tess_window_clear_error (TessWindow *self)
{
  g_return_if_fail (TESS_IS_WINDOW (self));
  gtk_revealer_set_reveal_child (self->message_revealer, FALSE);
}

static void
message_button_cb (TessWindow *self)
{
  g_autofree char *action = g_strdup (self->message_action), *name = NULL;
  g_autoptr (GVariant) target = NULL;

  tess_window_clear_error (self);
  if (action && g_action_parse_detailed_name (action, &name, &target, NULL))
    gtk_widget_activate_action_variant (GTK_WIDGET (self), name, target);
}

void
tess_window_toast (TessWindow *self, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  g_return_if_fail (TESS_IS_WINDOW (self));
  adw_toast_overlay_add_toast (self->toasts, adw_toast_new (escaped));
}

/* @undo: void (*) (gpointer user_data), called when Undo is pressed; @destroy when it cannot be pressed any more. */
void
tess_window_toast_undo (TessWindow *self, const char *text, GCallback undo, gpointer user_data, GDestroyNotify destroy)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);
  AdwToast *toast;

  g_return_if_fail (TESS_IS_WINDOW (self));
  toast = adw_toast_new (escaped);
  adw_toast_set_button_label (toast, _ ("_Undo"));
  adw_toast_set_timeout (toast, 8);
  g_signal_connect_data (toast, "button-clicked", undo, user_data, (GClosureNotify)(void (*) (void))destroy,
                         G_CONNECT_SWAPPED);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

void
tess_window_add_job (TessWindow *self, TessJob *job)
{
  g_return_if_fail (TESS_IS_WINDOW (self));
  tess_job_strip_add (self->jobs, job);
}

/* --- start and end ---------------------------------------------------------------------------------------------- */

static void
painted_cb (GdkFrameClock *clock, TessWindow *self)
{
  void (*func) (TessWindow *, gboolean, gpointer) = self->started;

  if (self->n_opening > 0)
    return;
  g_signal_handlers_disconnect_by_func (clock, painted_cb, self);
  self->started = NULL;
  if (func)
    func (self, !self->open_failed, self->started_data);
}

void
tess_window_check_started (TessWindow *self)
{
  GdkFrameClock *clock = gtk_widget_get_frame_clock (GTK_WIDGET (self));

  if (!self->started || self->n_opening > 0 || !clock)
    return;
  g_signal_handlers_disconnect_by_func (clock, painted_cb, self);
  g_signal_connect_object (clock, "after-paint", G_CALLBACK (painted_cb), self, G_CONNECT_AFTER);
  gtk_widget_queue_draw (GTK_WIDGET (self));
  gdk_frame_clock_request_phase (clock, GDK_FRAME_CLOCK_PHASE_PAINT);
}

void
tess_window_when_started (TessWindow *self, TessWindowStarted func, gpointer data)
{
  self->started = func;
  self->started_data = data;
  tess_window_check_started (self);
}

static gboolean
close_request (GtkWindow *window)
{
  if (tess_window_may_close (TESS_WINDOW (window)))
    return GTK_WINDOW_CLASS (tess_window_parent_class)->close_request (window);
  return GDK_EVENT_STOP;
}

static void
save_size (TessWindow *self)
{
  TessSettings *settings = tess_settings_get ();
  gboolean maximized = gtk_window_is_maximized (GTK_WINDOW (self));
  int width, height;

  gtk_window_get_default_size (GTK_WINDOW (self), &width, &height);
  g_object_set (settings, "window-maximized", maximized, NULL);
  if (!maximized && width > 0 && height > 0)
    g_object_set (settings, "window-width", CLAMP (width, 360, 16384), "window-height", CLAMP (height, 300, 16384),
                  NULL);
}

static void
tess_window_unrealize (GtkWidget *widget)
{
  save_size (TESS_WINDOW (widget));
  GTK_WIDGET_CLASS (tess_window_parent_class)->unrealize (widget);
}

/* --- class ------------------------------------------------------------------------------------------------------ */

static void
tess_window_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TessWindow *self = TESS_WINDOW (object);

  switch (id) {
  case PROP_MODE:
    g_value_set_string (value, self->mode);
    break;
  case PROP_MODEL:
    g_value_set_string (value, self->model ? self->model : "");
    break;
  case PROP_SHOW_SIDEBAR:
    /* The property actions ask before the template is there. */
    g_value_set_boolean (value, self->sidebar_flap && adw_flap_get_reveal_flap (self->sidebar_flap));
    break;
  case PROP_SHOW_INSPECTOR:
    g_value_set_boolean (value, self->inspector_flap && adw_flap_get_reveal_flap (self->inspector_flap));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_window_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TessWindow *self = TESS_WINDOW (object);

  switch (id) {
  case PROP_MODE:
    tess_window_set_mode (self, g_value_get_string (value));
    break;
  case PROP_MODEL:
    tess_window_set_model (self, g_value_get_string (value));
    break;
  case PROP_SHOW_SIDEBAR:
    adw_flap_set_reveal_flap (self->sidebar_flap, g_value_get_boolean (value));
    break;
  case PROP_SHOW_INSPECTOR:
    adw_flap_set_reveal_flap (self->inspector_flap, g_value_get_boolean (value));
    break;
  case PROP_STUDY:
    self->study = g_value_dup_object (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_window_dispose (GObject *object)
{
  TessWindow *self = TESS_WINDOW (object);

  self->canvas = NULL; /* what the template's signals look at */
  if (self->looking)
    tess_job_cancel (self->looking);
  self->looking = NULL;
  g_clear_object (&self->contents);
  g_clear_handle_id (&self->waiting_timer, g_source_remove);
  g_clear_pointer (&self->head_start, tess_head_start_free);
  g_clear_weak_pointer (&self->close_dialog);
  g_clear_pointer (&self->palette, gtk_widget_unparent);
  gtk_widget_dispose_template (GTK_WIDGET (self), TESS_TYPE_WINDOW);
  g_clear_object (&self->study);
  G_OBJECT_CLASS (tess_window_parent_class)->dispose (object);
}

static void
tess_window_finalize (GObject *object)
{
  TessWindow *self = TESS_WINDOW (object);

  g_free (self->mode);
  g_free (self->model);
  g_free (self->scans);
  g_free (self->message_action);
  g_free (self->contents_label);
  g_clear_pointer (&self->waiting_labels, g_ptr_array_unref);
  G_OBJECT_CLASS (tess_window_parent_class)->finalize (object);
}

static void
bind_template (GtkWidgetClass *klass)
{
  gtk_widget_class_set_template_from_resource (klass, "/org/tessera/Tessera/ui/window.ui");
  gtk_widget_class_bind_template_child (klass, TessWindow, toasts);
  gtk_widget_class_bind_template_child (klass, TessWindow, open_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, view_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, train_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, results_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, segment_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, menu_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, title);
  gtk_widget_class_bind_template_child (klass, TessWindow, subtitle);
  gtk_widget_class_bind_template_child (klass, TessWindow, jobs);
  gtk_widget_class_bind_template_child (klass, TessWindow, message_revealer);
  gtk_widget_class_bind_template_child (klass, TessWindow, message_bar);
  gtk_widget_class_bind_template_child (klass, TessWindow, message_label);
  gtk_widget_class_bind_template_child (klass, TessWindow, message_button);
  gtk_widget_class_bind_template_child (klass, TessWindow, pages);
  gtk_widget_class_bind_template_child (klass, TessWindow, sidebars);
  gtk_widget_class_bind_template_child (klass, TessWindow, inspectors);
  gtk_widget_class_bind_template_child (klass, TessWindow, centre);
  gtk_widget_class_bind_template_child (klass, TessWindow, sidebar_flap);
  gtk_widget_class_bind_template_child (klass, TessWindow, inspector_flap);
  gtk_widget_class_bind_template_child (klass, TessWindow, status);
  gtk_widget_class_bind_template_child (klass, TessWindow, welcome);
  gtk_widget_class_bind_template_child (klass, TessWindow, contents_page);
  gtk_widget_class_bind_template_child (klass, TessWindow, notes);
  gtk_widget_class_bind_template_child (klass, TessWindow, recent_menu);
  gtk_widget_class_bind_template_child (klass, TessWindow, model_menu);
  gtk_widget_class_bind_template_callback (klass, tess_window_clear_error);
  gtk_widget_class_bind_template_callback (klass, message_button_cb);
  gtk_widget_class_bind_template_callback (klass, fold_cb);
  gtk_widget_class_bind_template_callback (klass, reveal_cb);
}

/* The modes' widgets. They get the window, whose study, canvas and strip are there already. */
static void
add_pages (TessWindow *self)
{
  TessSettings *settings = tess_settings_get ();

  self->canvas = tess_canvas_new ();
  g_object_bind_property (settings, "hands", self->canvas, "hands", G_BINDING_SYNC_CREATE);
  g_object_bind_property (settings, "swap-window-drag", self->canvas, "swap-window-drag", G_BINDING_SYNC_CREATE);
  gtk_widget_add_css_class (self->canvas, "canvas-ground");
  tess_canvas_set_study (TESS_CANVAS (self->canvas), self->study);
  gtk_stack_add_named (self->centre, self->canvas, "canvas");
  gtk_stack_add_named (self->sidebars, tess_view_sidebar_new (self), "view");
  gtk_stack_add_named (self->inspectors, tess_view_inspector_new (self), "view");
  gtk_stack_add_named (self->sidebars, tess_results_sidebar_new (self), "results");
  gtk_stack_add_named (self->inspectors, tess_results_page_new (self), "results");
  self->train_page = tess_train_page_new (self);
  gtk_stack_add_named (self->pages, self->train_page, "train");
  g_signal_connect_object (self->train_page, "notify::title", G_CALLBACK (update_title), self, G_CONNECT_SWAPPED);
}

static void
neurological_cb (TessWindow *self)
{
  tess_study_get_scene (self->study)->neurological = tess_settings_get_neurological (tess_settings_get ());
  tess_study_emit_changed (self->study);
}

/* The inspector has a switch for it too. */
static void
changed_cb (TessWindow *self)
{
  gboolean neurological = tess_study_get_scene (self->study)->neurological;

  if (neurological != tess_settings_get_neurological (tess_settings_get ()))
    g_object_set (tess_settings_get (), "neurological", neurological, NULL);
}

static void
add_tooltip (GtkWidget *button, const char *text, const char *action)
{
  g_autofree char *tooltip = tess_shortcuts_tooltip (text, action);

  gtk_widget_set_tooltip_text (button, tooltip);
}

/* The first widget of @type in @widget, which may have made it for itself. */
static GtkWidget *
find_inside (GtkWidget *widget, GType type)
{
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child)) {
    GtkWidget *found = G_TYPE_CHECK_INSTANCE_TYPE (child, type) ? child : find_inside (child, type);

    if (found)
      return found;
  }
  return NULL;
}

/* Parts of compound widgets come without a name; a screen reader would say their class. */
static void
name_inside (GtkWidget *widget, GType type, const char *name)
{
  GtkWidget *part = find_inside (widget, type);

  if (!part)
    return;
  gtk_accessible_update_property (GTK_ACCESSIBLE (part), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  part = find_inside (part, GTK_TYPE_TOGGLE_BUTTON); /* of a menu button */
  if (part)
    gtk_accessible_update_property (GTK_ACCESSIBLE (part), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
add_tooltips (TessWindow *self)
{
  name_inside (self->open_button, GTK_TYPE_MENU_BUTTON, _ ("Open labels, folders, models and recent files"));
  name_inside (self->segment_button, GTK_TYPE_MENU_BUTTON, _ ("Choose the model to segment with"));
  add_tooltip (self->open_button, _ ("Open a scan"), "win.open");
  add_tooltip (self->view_button, _ ("Look at scans and labels"), "win.mode::view");
  add_tooltip (self->train_button, _ ("Train a network on a dataset"), "win.mode::train");
  add_tooltip (self->results_button, _ ("Compare labels with a reference"), "win.mode::results");
}

static void
tess_window_init (TessWindow *self)
{
  self->mode = g_strdup ("view");
  self->waiting_labels = g_ptr_array_new_with_free_func (g_free);
  gtk_widget_init_template (GTK_WIDGET (self));
}

static void
tess_window_constructed (GObject *object)
{
  TessWindow *self = TESS_WINDOW (object);
  TessSettings *settings = tess_settings_get ();
  const char *model = tess_settings_get_last_model (settings);
  gboolean maximized;
  int width, height;

  G_OBJECT_CLASS (tess_window_parent_class)->constructed (object);
  if (!self->study)
    self->study = tess_study_new ();
  g_object_get (settings, "window-width", &width, "window-height", &height, "window-maximized", &maximized, NULL);
  gtk_window_set_default_size (GTK_WINDOW (self), width, height);
  if (maximized)
    gtk_window_maximize (GTK_WINDOW (self));

  add_pages (self);
  g_signal_connect_object (self->contents_page, "chosen", G_CALLBACK (tess_window_contents_chosen), self,
                           G_CONNECT_SWAPPED);
  g_signal_connect_object (self->contents_page, "cancelled", G_CALLBACK (tess_window_close_contents), self,
                           G_CONNECT_SWAPPED);
  tess_window_init_actions (self);
  tess_window_init_drop (self);
  g_signal_connect_object (self->study, "notify", G_CALLBACK (tess_window_update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->study, "layers-changed", G_CALLBACK (tess_window_update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::status", G_CALLBACK (status_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "notify::show-sidebar", G_CALLBACK (wishes_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "notify::show-inspector", G_CALLBACK (wishes_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "notify::neurological", G_CALLBACK (neurological_cb), self, G_CONNECT_SWAPPED);
  neurological_cb (self);
  g_signal_connect_object (self->study, "changed", G_CALLBACK (changed_cb), self, G_CONNECT_SWAPPED);
  add_tooltips (self);
  wishes_cb (self);
  if (model && g_file_test (model, G_FILE_TEST_IS_REGULAR))
    tess_window_set_model (self, model);
  tess_window_update (self);
}

static void
tess_window_class_init (TessWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  G_OBJECT_CLASS (klass)->get_property = tess_window_get_property;
  G_OBJECT_CLASS (klass)->set_property = tess_window_set_property;
  G_OBJECT_CLASS (klass)->constructed = tess_window_constructed;
  G_OBJECT_CLASS (klass)->dispose = tess_window_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_window_finalize;
  GTK_WINDOW_CLASS (klass)->close_request = close_request;
  widget_class->unrealize = tess_window_unrealize;

  properties[PROP_MODE] = g_param_spec_string ("mode", NULL, NULL, "view", flags);
  properties[PROP_MODEL] = g_param_spec_string ("model", NULL, NULL, "", flags);
  properties[PROP_SHOW_SIDEBAR] = g_param_spec_boolean ("show-sidebar", NULL, NULL, TRUE, flags);
  properties[PROP_SHOW_INSPECTOR] = g_param_spec_boolean ("show-inspector", NULL, NULL, TRUE, flags);
  properties[PROP_STUDY] = g_param_spec_object ("study", NULL, NULL, TESS_TYPE_STUDY,
                                                G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (G_OBJECT_CLASS (klass), N_PROPS, properties);

  g_type_ensure (TESS_TYPE_JOB_STRIP);
  g_type_ensure (TESS_TYPE_CONTENTS_PAGE);
  g_type_ensure (TESS_TYPE_NOTES_BAR);
  g_type_ensure (TESS_TYPE_WELCOME);
  bind_template (widget_class);
  tess_window_install_actions (klass);
}

/* @head_start: (transfer full) (nullable): its study becomes the window's. */
TessWindow *
tess_window_new (AdwApplication *application, TessHeadStart *head_start)
{
  TessStudy *study = head_start ? tess_head_start_get_study (head_start) : NULL;
  TessWindow *self = g_object_new (TESS_TYPE_WINDOW, "application", application, "study", study, NULL);

  self->head_start = head_start;
  return self;
}

TessStudy *
tess_window_get_study (TessWindow *self)
{
  g_return_val_if_fail (TESS_IS_WINDOW (self), NULL);
  return self->study;
}

TessCanvas *
tess_window_get_canvas (TessWindow *self)
{
  g_return_val_if_fail (TESS_IS_WINDOW (self), NULL);
  return TESS_CANVAS (self->canvas);
}
