#include "tess-view-inspector.h"

#include "tess-presets.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Rows for what is on the canvas. Switches name the canvas's own actions, so that a key, a menu and a row always agree;
 * numbers follow the study. */
struct _TessViewInspector {
  GtkWidget parent_instance;

  TessStudy *study;
  GtkWidget *page;

  AdwPreferencesGroup *window_group, *label_group, *grid_group;
  GtkSpinButton *width, *level;
  AdwComboRow *preset, *colours;
  GtkSpinButton *channel; /* of a scan with several volumes or colours, from 1 */
  GtkRange *clear;        /* opacity of a scan that lies over another */
  GtkWidget *channel_row, *clear_row;
  GtkRange *opacity;
  GtkSwitch *fill;
  GtkSpinButton *patch[3], *stride[3];
  AdwActionRow *summary;
  gboolean updating;

  /* What the rows show now: "changed" comes with every slice and every step of a drag, and mostly none of it did. */
  guint64 layer; /* voxels_serial, 0 for none */
  int listed;    /* kind of preset in the drop-down: 0 shares, 1 HU, -1 none yet */
  double lower, upper, auto_lower, auto_upper;
  TessLut lut;
  guint64 grid_layer;
  gint64 grid[6]; /* patch, stride */
};

#define TESS_TYPE_VIEW_INSPECTOR (tess_view_inspector_get_type ())
G_DECLARE_FINAL_TYPE (TessViewInspector, tess_view_inspector, TESS, VIEW_INSPECTOR, GtkWidget)
G_DEFINE_FINAL_TYPE (TessViewInspector, tess_view_inspector, GTK_TYPE_WIDGET)

static TessLayer *
image_layer (TessViewInspector *self)
{
  TessLayer *layer = tess_study_get_active (self->study);

  if (layer && layer->lut == TESS_LUT_LABELS)
    layer = tess_scene_main (tess_study_get_scene (self->study));
  return layer && layer->lut != TESS_LUT_LABELS ? layer : NULL;
}

static TessLayer *
label_layer (TessViewInspector *self)
{
  TessLayer *active = tess_study_get_active (self->study);

  return active && active->lut == TESS_LUT_LABELS ? active : tess_study_top_labels (self->study);
}

static void update (TessViewInspector *self);

/* --- from the rows to the study ----------------------------------------------------------------------------------- */

static void
window_cb (TessViewInspector *self)
{
  TessLayer *layer = image_layer (self);
  double width = gtk_spin_button_get_value (self->width), level = gtk_spin_button_get_value (self->level);

  if (!self->updating && layer && width > 0.0)
    tess_study_set_window (self->study, layer, level - 0.5 * width, level + 0.5 * width);
}

static void
preset_cb (TessViewInspector *self)
{
  guint i = adw_combo_row_get_selected (self->preset);

  if (self->updating || i == GTK_INVALID_LIST_POSITION)
    return;
  if (i > 0)
    tess_preset_apply (self->study, image_layer (self), i - 1);
  self->layer = 0; /* "Choose…" chooses nothing: the row goes back to what is on the canvas */
  update (self);
}

static void
colours_cb (TessViewInspector *self)
{
  if (!self->updating)
    gtk_widget_activate_action (GTK_WIDGET (self), "view.lut", "s",
                                adw_combo_row_get_selected (self->colours) == 1 ? "hot" : "grey");
}

static void
channel_cb (TessViewInspector *self)
{
  TessLayer *layer = image_layer (self);

  if (!self->updating && layer)
    tess_study_set_channel (self->study, layer, gtk_spin_button_get_value_as_int (self->channel) - 1);
}

static void
clear_cb (TessViewInspector *self)
{
  TessLayer *layer = image_layer (self);

  if (self->updating || !layer)
    return;
  layer->opacity = gtk_range_get_value (self->clear) / 100.0;
  tess_study_emit_changed (self->study);
}

static void
opacity_cb (TessViewInspector *self)
{
  TessLayer *layer = label_layer (self);

  if (self->updating || !layer)
    return;
  layer->opacity = gtk_range_get_value (self->opacity) / 100.0;
  tess_study_emit_changed (self->study);
}

static void
fill_cb (TessViewInspector *self)
{
  TessLayer *layer = label_layer (self);

  if (self->updating || !layer)
    return;
  layer->fill = gtk_switch_get_active (self->fill);
  tess_study_emit_changed (self->study);
}

/* A stride above the patch would leave voxels out: it follows the patch down. */
static void
grid_cb (TessViewInspector *self)
{
  gint64 patch[3], stride[3];

  if (self->updating)
    return;
  for (int a = 0; a < 3; a++) {
    patch[a] = gtk_spin_button_get_value_as_int (self->patch[a]);
    stride[a] = MIN (gtk_spin_button_get_value_as_int (self->stride[a]), patch[a]);
  }
  tess_study_set_grid (self->study, tess_study_get_grid (self->study, NULL, NULL), patch, stride);
}

/* --- from the study to the rows ----------------------------------------------------------------------------------- */

static void
list_presets (TessViewInspector *self, gboolean hounsfield)
{
  g_autoptr (GtkStringList) names = gtk_string_list_new (NULL);

  if (self->listed == (hounsfield ? 1 : 0))
    return;
  self->listed = hounsfield ? 1 : 0;
  gtk_string_list_append (names, _ ("Choose…"));
  for (guint i = 0; i < TESS_N_PRESETS; i++) {
    g_autofree char *name = g_strdup_printf ("%u  %s", i + 1, tess_preset_name (hounsfield, i));

    gtk_string_list_append (names, name);
  }
  adw_combo_row_set_model (self->preset, G_LIST_MODEL (names));
}

static void
set_spin (GtkSpinButton *spin, double value)
{
  if (gtk_spin_button_get_value (spin) != value)
    gtk_spin_button_set_value (spin, value);
}

static void
set_selected (AdwComboRow *row, guint i)
{
  if (adw_combo_row_get_selected (row) != i)
    adw_combo_row_set_selected (row, i);
}

/* Steps of about a hundredth of the scan's range, and digits to show them. */
static void
set_precision (TessViewInspector *self, double range)
{
  int exponent = (int)floor (log10 (fmax (range, 1e-12)) - 1.5);
  double step = pow (10.0, exponent);

  for (int i = 0; i < 2; i++) {
    GtkSpinButton *spin = i ? self->level : self->width;

    gtk_spin_button_set_digits (spin, (guint)CLAMP (-exponent, 0, 6));
    gtk_spin_button_set_increments (spin, step, 10.0 * step);
  }
}

/* Rows that only some scans have. */
static void
show_layer (TessViewInspector *self)
{
  TessLayer *layer = image_layer (self);
  gint64 n = layer ? tess_volume_n_channels (layer->volume) : 1;
  gboolean over = layer && layer != tess_scene_main (tess_study_get_scene (self->study));

  gtk_widget_set_visible (self->channel_row, n > 1);
  gtk_widget_set_visible (self->clear_row, over);
  if (n > 1) {
    g_autofree char *text = g_strdup_printf (_ ("Of %d; Alt + wheel on a picture"), (int)n);

    gtk_spin_button_set_range (self->channel, 1.0, (double)n);
    set_spin (self->channel, (double)layer->channel + 1.0);
    if (g_strcmp0 (adw_action_row_get_subtitle (ADW_ACTION_ROW (self->channel_row)), text) != 0)
      adw_action_row_set_subtitle (ADW_ACTION_ROW (self->channel_row), text);
  }
  if (over && gtk_range_get_value (self->clear) != 100.0 * layer->opacity)
    gtk_range_set_value (self->clear, 100.0 * layer->opacity);
}

static void
show_window (TessViewInspector *self)
{
  TessLayer *layer = image_layer (self);
  double lower, upper;

  gtk_widget_set_visible (GTK_WIDGET (self->window_group), layer != NULL);
  if (!layer) {
    self->layer = 0;
    return;
  }
  tess_study_get_auto_window (self->study, layer, &lower, &upper);
  if (layer->voxels_serial == self->layer && layer->lower == self->lower && layer->upper == self->upper &&
      layer->lut == self->lut && lower == self->auto_lower && upper == self->auto_upper)
    return;
  if (layer->voxels_serial != self->layer || lower != self->auto_lower || upper != self->auto_upper) {
    set_precision (self, upper - lower);
    list_presets (self, tess_study_is_hounsfield (self->study, layer));
  }
  self->layer = layer->voxels_serial;
  self->lower = layer->lower;
  self->upper = layer->upper;
  self->lut = layer->lut;
  self->auto_lower = lower;
  self->auto_upper = upper;
  set_spin (self->width, layer->upper - layer->lower);
  set_spin (self->level, 0.5 * (layer->upper + layer->lower));
  set_selected (self->colours, layer->lut == TESS_LUT_HOT ? 1 : 0);
  set_selected (self->preset, (guint)(tess_preset_find (self->study, layer) + 1));
}

static void
show_grid (TessViewInspector *self)
{
  TessLayer *layer = tess_scene_main (tess_study_get_scene (self->study));
  gint64 grid[6];
  guint n_starts[3];
  const gint64 *starts[3];
  guint64 n;
  double coverage;
  g_autofree char *text = NULL;

  gtk_widget_set_visible (GTK_WIDGET (self->grid_group), layer != NULL);
  tess_study_get_grid (self->study, grid, grid + 3);
  if (!layer || (layer->voxels_serial == self->grid_layer && memcmp (grid, self->grid, sizeof grid) == 0))
    return;
  self->grid_layer = layer->voxels_serial;
  memcpy (self->grid, grid, sizeof grid);
  for (int a = 0; a < 3; a++) {
    set_spin (self->patch[a], (double)grid[a]);
    gtk_spin_button_set_range (self->stride[a], 1.0, (double)grid[a]);
    set_spin (self->stride[a], (double)grid[3 + a]);
  }
  if (tess_study_peek_grid (self->study, n_starts, starts, &n, &coverage))
    text = n == 1 ? g_strdup_printf (_ ("one patch, %.4g %% of the voxels covered"), 100.0 * coverage)
                  : g_strdup_printf (_ ("%u × %u × %u = %" PRIu64 " patches, %.4g %% of the voxels covered"),
                                     n_starts[0], n_starts[1], n_starts[2], n, 100.0 * coverage);
  adw_action_row_set_subtitle (self->summary, text ? text : _ ("No grid fits this scan"));
}

static void
update (TessViewInspector *self)
{
  TessLayer *labels = label_layer (self);

  self->updating = TRUE;
  show_layer (self);
  show_window (self);
  gtk_widget_set_visible (GTK_WIDGET (self->label_group), labels != NULL);
  if (labels) {
    if (gtk_range_get_value (self->opacity) != 100.0 * labels->opacity)
      gtk_range_set_value (self->opacity, 100.0 * labels->opacity);
    gtk_switch_set_active (self->fill, labels->fill);
  }
  show_grid (self);
  self->updating = FALSE;
}

/* --- the widget --------------------------------------------------------------------------------------------------- */

static GtkWidget *
add_row (AdwPreferencesGroup *group, const char *title, const char *subtitle, GtkWidget *control)
{
  GtkWidget *row = adw_action_row_new ();

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (subtitle)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  if (control) {
    gtk_widget_set_valign (control, GTK_ALIGN_CENTER);
    adw_action_row_add_suffix (ADW_ACTION_ROW (row), control);
    adw_action_row_set_activatable_widget (ADW_ACTION_ROW (row), control);
    gtk_accessible_update_property (GTK_ACCESSIBLE (control), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  }
  adw_preferences_group_add (group, row);
  return row;
}

static GtkWidget *
new_switch (const char *action)
{
  GtkWidget *control = gtk_switch_new ();

  if (action)
    gtk_actionable_set_action_name (GTK_ACTIONABLE (control), action);
  return control;
}

static GtkWidget *
new_spin (TessViewInspector *self, double lo, double hi, GCallback changed)
{
  GtkWidget *spin = gtk_spin_button_new_with_range (lo, hi, 1.0);

  gtk_editable_set_width_chars (GTK_EDITABLE (spin), 6);
  gtk_spin_button_set_numeric (GTK_SPIN_BUTTON (spin), TRUE);
  g_signal_connect_object (spin, "value-changed", changed, self, G_CONNECT_SWAPPED);
  return spin;
}

static AdwPreferencesGroup *
add_group (AdwPreferencesPage *page, const char *title)
{
  GtkWidget *group = adw_preferences_group_new ();

  adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (group), title);
  adw_preferences_page_add (page, ADW_PREFERENCES_GROUP (group));
  return ADW_PREFERENCES_GROUP (group);
}

static AdwComboRow *
add_combo (AdwPreferencesGroup *group, const char *title, GListModel *model)
{
  GtkWidget *row = adw_combo_row_new ();

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (model)
    adw_combo_row_set_model (ADW_COMBO_ROW (row), model);
  adw_preferences_group_add (group, row);
  return ADW_COMBO_ROW (row);
}

static GtkRange *
new_scale (TessViewInspector *self, GCallback changed)
{
  GtkWidget *scale = gtk_scale_new_with_range (GTK_ORIENTATION_HORIZONTAL, 0.0, 100.0, 5.0);

  gtk_widget_set_size_request (scale, 130, -1);
  g_signal_connect_object (scale, "value-changed", changed, self, G_CONNECT_SWAPPED);
  return GTK_RANGE (scale);
}

static void
add_window_group (TessViewInspector *self, AdwPreferencesPage *page)
{
  const char *const names[] = {_ ("Grey"), _ ("Hot"), NULL};
  g_autoptr (GtkStringList) colours = gtk_string_list_new (names);
  GtkWidget *automatic = gtk_button_new_with_label (_ ("Auto"));

  self->window_group = add_group (page, _ ("Window"));
  gtk_actionable_set_action_name (GTK_ACTIONABLE (automatic), "view.auto-window");
  gtk_widget_set_tooltip_text (automatic, _ ("From the scan's own values (0)"));
  gtk_widget_add_css_class (automatic, "flat");
  adw_preferences_group_set_header_suffix (self->window_group, automatic);
  self->channel = GTK_SPIN_BUTTON (new_spin (self, 1.0, 2.0, G_CALLBACK (channel_cb)));
  self->channel_row = add_row (self->window_group, _ ("Volume"), NULL, GTK_WIDGET (self->channel));
  self->clear = new_scale (self, G_CALLBACK (clear_cb));
  self->clear_row = add_row (self->window_group, _ ("Opacity"), _ ("Over the scan below"), GTK_WIDGET (self->clear));
  self->width = GTK_SPIN_BUTTON (new_spin (self, 1e-6, 1e9, G_CALLBACK (window_cb)));
  add_row (self->window_group, _ ("Width"), NULL, GTK_WIDGET (self->width));
  self->level = GTK_SPIN_BUTTON (new_spin (self, -1e9, 1e9, G_CALLBACK (window_cb)));
  add_row (self->window_group, _ ("Level"), NULL, GTK_WIDGET (self->level));
  self->preset = add_combo (self->window_group, _ ("Preset"), NULL);
  g_signal_connect_object (self->preset, "notify::selected", G_CALLBACK (preset_cb), self, G_CONNECT_SWAPPED);
  self->colours = add_combo (self->window_group, _ ("Colours"), G_LIST_MODEL (colours));
  g_signal_connect_object (self->colours, "notify::selected", G_CALLBACK (colours_cb), self, G_CONNECT_SWAPPED);
  add_row (self->window_group, _ ("Interpolate"), _ ("Off shows the voxels as they are"), new_switch ("view.linear"));
}

static void
add_label_group (TessViewInspector *self, AdwPreferencesPage *page)
{
  self->label_group = add_group (page, _ ("Labels"));
  self->opacity = new_scale (self, G_CALLBACK (opacity_cb));
  add_row (self->label_group, _ ("Opacity"), NULL, GTK_WIDGET (self->opacity));
  self->fill = GTK_SWITCH (new_switch (NULL));
  g_signal_connect_object (self->fill, "notify::active", G_CALLBACK (fill_cb), self, G_CONNECT_SWAPPED);
  add_row (self->label_group, _ ("Fill"), NULL, GTK_WIDGET (self->fill));
  add_row (self->label_group, _ ("Outline"), NULL, new_switch ("view.outline"));
}

static void
add_grid_group (TessViewInspector *self, AdwPreferencesPage *page)
{
  static const char *const patch_titles[3] = {N_ ("Patch X"), N_ ("Patch Y"), N_ ("Patch Z")};
  static const char *const stride_titles[3] = {N_ ("Stride X"), N_ ("Stride Y"), N_ ("Stride Z")};

  self->grid_group = add_group (page, _ ("Patch grid"));
  add_row (self->grid_group, _ ("Show the grid"), _ ("How a network's patches would cover the scan"),
           new_switch ("view.grid"));
  for (int a = 0; a < 3; a++) {
    self->patch[a] = GTK_SPIN_BUTTON (new_spin (self, 1.0, 1024.0, G_CALLBACK (grid_cb)));
    add_row (self->grid_group, _ (patch_titles[a]), NULL, GTK_WIDGET (self->patch[a]));
  }
  for (int a = 0; a < 3; a++) {
    self->stride[a] = GTK_SPIN_BUTTON (new_spin (self, 1.0, 1024.0, G_CALLBACK (grid_cb)));
    add_row (self->grid_group, _ (stride_titles[a]), NULL, GTK_WIDGET (self->stride[a]));
  }
  self->summary = ADW_ACTION_ROW (add_row (self->grid_group, _ ("Coverage"), "", NULL));
  adw_action_row_set_subtitle_lines (self->summary, 0);
}

static void
add_view_group (TessViewInspector *self, AdwPreferencesPage *page)
{
  AdwPreferencesGroup *group = add_group (page, _ ("View"));
  GtkWidget *reset = gtk_button_new_with_label (_ ("Reset"));

  gtk_actionable_set_action_name (GTK_ACTIONABLE (reset), "view.reset");
  gtk_widget_set_tooltip_text (reset, _ ("Zoom, position and slices as at the start (R)"));
  gtk_widget_add_css_class (reset, "flat");
  adw_preferences_group_set_header_suffix (group, reset);
  add_row (group, _ ("Crosshair"), NULL, new_switch ("view.crosshair"));
  add_row (group, _ ("Texts"), NULL, new_switch ("view.texts"));
  add_row (group, _ ("Neurological"), _ ("The patient's left is on the left"), new_switch ("view.neurological"));
  add_row (group, _ ("Nose to the right"), _ ("In sagittal pictures"), new_switch ("view.nose-right"));
}

static void
tess_view_inspector_dispose (GObject *object)
{
  TessViewInspector *self = TESS_VIEW_INSPECTOR (object);

  g_clear_pointer (&self->page, gtk_widget_unparent);
  g_clear_object (&self->study);
  G_OBJECT_CLASS (tess_view_inspector_parent_class)->dispose (object);
}

static void
tess_view_inspector_class_init (TessViewInspectorClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = tess_view_inspector_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
}

static void
tess_view_inspector_init (TessViewInspector *self)
{
  AdwPreferencesPage *page;

  self->updating = TRUE;
  self->listed = -1;
  self->page = adw_preferences_page_new ();
  gtk_widget_set_parent (self->page, GTK_WIDGET (self));
  page = ADW_PREFERENCES_PAGE (self->page);
  add_window_group (self, page);
  add_label_group (self, page);
  add_grid_group (self, page);
  add_view_group (self, page);
  self->updating = FALSE;
}

GtkWidget *
tess_view_inspector_new (TessWindow *window)
{
  TessViewInspector *self = g_object_new (TESS_TYPE_VIEW_INSPECTOR, NULL);

  self->study = g_object_ref (tess_window_get_study (window));
  gtk_widget_insert_action_group (GTK_WIDGET (self), "view", tess_canvas_get_actions (tess_window_get_canvas (window)));
  for (guint i = 0; i < 4; i++) {
    static const char *const signals[] = {"changed", "layers-changed", "active-changed", "surveyed"};

    g_signal_connect_object (self->study, signals[i], G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  }
  update (self);
  return GTK_WIDGET (self);
}
