#include "tess-view-sidebar.h"

#include "tess-findings-list.h"
#include "tess-label-item.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#define SEARCH_FROM 13 /* labels; fewer are seen at a glance */

/* Layers from top to bottom, and the labels of the label layer that is chosen (else of the uppermost). */
struct _TessViewSidebar {
  GtkWidget parent_instance;

  TessWindow *window; /* which we are a part of */
  TessStudy *study;

  GtkWidget *scroller, *box;
  GtkListBox *layers;
  GtkWidget *labels_box, *search;
  GtkLabel *labels_of; /* name of the layer listed */
  GListStore *items;   /* TessLabelItem */
  GtkFilterListModel *filtered;

  TessLayer *shown;     /* whose labels are listed; only compared, never followed */
  guint64 shown_serial; /* of its colours and visibility */
  gboolean updating;
};

#define TESS_TYPE_VIEW_SIDEBAR (tess_view_sidebar_get_type ())
G_DECLARE_FINAL_TYPE (TessViewSidebar, tess_view_sidebar, TESS, VIEW_SIDEBAR, GtkWidget)
G_DEFINE_FINAL_TYPE (TessViewSidebar, tess_view_sidebar, GTK_TYPE_WIDGET)

static TessLayer *
label_layer (TessViewSidebar *self)
{
  TessLayer *active = tess_study_get_active (self->study);

  return active && active->lut == TESS_LUT_LABELS ? active : tess_study_top_labels (self->study);
}

static void
set_eye (GtkWidget *button, gboolean open, const char *name)
{
  g_autofree char *what = g_strdup_printf (open ? _ ("Hide %s") : _ ("Show %s"), name);

  gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (button), open);
  gtk_button_set_icon_name (GTK_BUTTON (button), open ? "view-reveal-symbolic" : "view-conceal-symbolic");
  gtk_widget_set_tooltip_text (button, what);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, what, -1);
}

static GtkWidget *
new_eye (void)
{
  GtkWidget *button = gtk_toggle_button_new ();

  gtk_widget_add_css_class (button, "flat");
  gtk_widget_add_css_class (button, "circular");
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  return button;
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

static void
layer_eye_cb (TessViewSidebar *self, GtkWidget *button)
{
  TessLayer *layer = g_object_get_data (G_OBJECT (button), "layer");

  if (self->updating)
    return;
  layer->visible = gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (button));
  set_eye (button, layer->visible, layer->name);
  tess_study_emit_changed (self->study);
}

typedef struct {
  TessStudy *study;
  TessLayer *layer; /* NULL once it is back */
  guint position;
  guint64 serial; /* of the scan it lay over */
} Removed;

static void
removed_undo_cb (Removed *removed)
{
  if (removed->layer && removed->serial == tess_study_get_serial (removed->study))
    tess_study_insert_layer (removed->study, g_steal_pointer (&removed->layer), removed->position);
}

static void
removed_free (gpointer data)
{
  Removed *removed = data;

  if (removed->layer)
    tess_study_discard_layer (removed->study, removed->layer);
  g_object_unref (removed->study);
  g_free (removed);
}

static void
layer_remove_cb (TessViewSidebar *self, GtkWidget *button)
{
  TessLayer *layer = g_object_get_data (G_OBJECT (button), "layer");
  g_autofree char *text = g_strdup_printf (_ ("%s removed"), layer->name);
  Removed *removed = g_new0 (Removed, 1);

  removed->study = g_object_ref (self->study);
  removed->serial = tess_study_get_serial (self->study);
  removed->layer = tess_study_steal_layer (self->study, layer, &removed->position);
  tess_window_toast_undo (self->window, text, G_CALLBACK (removed_undo_cb), removed, removed_free);
}

static void
layer_selected_cb (TessViewSidebar *self, GtkListBoxRow *row)
{
  if (row && !self->updating)
    tess_study_set_active (self->study, g_object_get_data (G_OBJECT (row), "layer"));
}

static GtkWidget *
new_layer_row (TessViewSidebar *self, TessLayer *layer)
{
  GtkWidget *row = gtk_list_box_row_new (), *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 4);
  GtkWidget *eye = new_eye (), *name = gtk_label_new (layer->name), *remove;
  g_autofree char *what = g_strdup_printf (_ ("Remove %s"), layer->name);

  remove = gtk_button_new_from_icon_name ("window-close-symbolic");
  gtk_widget_add_css_class (remove, "flat");
  gtk_widget_add_css_class (remove, "circular");
  gtk_widget_set_valign (remove, GTK_ALIGN_CENTER);
  gtk_widget_set_tooltip_text (remove, what);
  gtk_accessible_update_property (GTK_ACCESSIBLE (remove), GTK_ACCESSIBLE_PROPERTY_LABEL, what, -1);
  gtk_label_set_xalign (GTK_LABEL (name), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (name), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_set_hexpand (name, TRUE);
  gtk_widget_set_tooltip_text (name, layer->name);
  set_eye (eye, layer->visible, layer->name);
  g_object_set_data (G_OBJECT (eye), "layer", layer);
  g_object_set_data (G_OBJECT (remove), "layer", layer);
  g_object_set_data (G_OBJECT (row), "layer", layer);
  g_object_set_data (G_OBJECT (row), "eye", eye);
  g_signal_connect_object (eye, "toggled", G_CALLBACK (layer_eye_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (remove, "clicked", G_CALLBACK (layer_remove_cb), self, G_CONNECT_SWAPPED);
  gtk_box_append (GTK_BOX (box), eye);
  gtk_box_append (GTK_BOX (box), name);
  gtk_box_append (GTK_BOX (box), remove);
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), box);
  gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, layer->name, -1);
  return row;
}

static void
select_active (TessViewSidebar *self)
{
  TessLayer *active = tess_study_get_active (self->study);
  GtkListBoxRow *row;

  for (int i = 0; (row = gtk_list_box_get_row_at_index (self->layers, i)); i++)
    if (g_object_get_data (G_OBJECT (row), "layer") == active) {
      gtk_list_box_select_row (self->layers, row);
      return;
    }
}

static void
rebuild_layers (TessViewSidebar *self)
{
  TessScene *scene = tess_study_get_scene (self->study);
  GtkListBoxRow *row;

  self->updating = TRUE;
  while ((row = gtk_list_box_get_row_at_index (self->layers, 0)))
    gtk_list_box_remove (self->layers, GTK_WIDGET (row));
  for (guint i = scene->layers->len; i-- > 0;)
    gtk_list_box_append (self->layers, new_layer_row (self, g_ptr_array_index (scene->layers, i)));
  select_active (self);
  self->updating = FALSE;
}

/* --- labels ------------------------------------------------------------------------------------------------------- */

static void
rebuild_labels (TessViewSidebar *self)
{
  TessLayer *layer = label_layer (self);
  guint n = layer ? tess_label_table_n (layer->labels) : 0;
  g_autoptr (GPtrArray) fresh = g_ptr_array_new_with_free_func (g_object_unref);

  self->shown = layer;
  self->shown_serial = layer ? layer->labels_serial : 0;
  for (guint i = 0; i < n; i++) {
    const TessLabel *label = tess_label_table_peek (layer->labels, i);
    const TessLabelFact *fact = tess_study_find_label (self->study, layer, label->value);

    if (label->value > 0 && label->value <= G_MAXINT32)
      g_ptr_array_add (
          fresh, tess_label_item_new (label, fact ? fact->volume : NAN,
                                      g_hash_table_contains (layer->hidden, GINT_TO_POINTER ((gint32)label->value))));
  }
  g_list_store_splice (self->items, 0, g_list_model_get_n_items (G_LIST_MODEL (self->items)), fresh->pdata, fresh->len);
  gtk_widget_set_visible (self->labels_box, layer != NULL);
  gtk_widget_set_visible (self->search, fresh->len >= SEARCH_FROM);
  gtk_label_set_text (self->labels_of, layer ? layer->name : "");
}

static void
label_eye_cb (GtkListItem *list_item, GtkWidget *button)
{
  TessViewSidebar *self = g_object_get_data (G_OBJECT (list_item), "sidebar");
  TessLabelItem *item = gtk_list_item_get_item (list_item);
  TessLayer *layer = label_layer (self);

  if (self->updating || !item || !layer)
    return;
  tess_layer_set_hidden (layer, (gint32)item->value, !gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (button)));
  tess_study_emit_changed (self->study);
}

/* Alt+click: this label alone; again: all of them. */
static void
solo (TessViewSidebar *self, TessLayer *layer, gint64 value)
{
  guint n = tess_label_table_n (layer->labels);
  gboolean alone = TRUE;

  for (guint i = 0; i < n; i++) {
    gint64 other = tess_label_table_peek (layer->labels, i)->value;
    gboolean hidden = g_hash_table_contains (layer->hidden, GINT_TO_POINTER ((gint32)other));

    if (other > 0 && hidden == (other == value))
      alone = FALSE;
  }
  for (guint i = 0; i < n; i++) {
    gint64 other = tess_label_table_peek (layer->labels, i)->value;

    if (other > 0)
      tess_layer_set_hidden (layer, (gint32)other, !alone && other != value);
  }
  tess_study_emit_changed (self->study);
}

static void
label_released_cb (GtkListItem *list_item, int n_press, double x, double y, GtkGestureClick *gesture)
{
  TessViewSidebar *self = g_object_get_data (G_OBJECT (list_item), "sidebar");
  TessLabelItem *item = gtk_list_item_get_item (list_item);
  TessLayer *layer = label_layer (self);
  GdkModifierType state = gtk_event_controller_get_current_event_state (GTK_EVENT_CONTROLLER (gesture));
  const TessLabelFact *fact = layer && item ? tess_study_find_label (self->study, layer, item->value) : NULL;

  if (layer && item && state & GDK_ALT_MASK)
    solo (self, layer, item->value);
  else if (fact)
    tess_study_set_cursor (self->study, fact->centre);
}

static void
label_activated_cb (TessViewSidebar *self, guint position)
{
  g_autoptr (TessLabelItem) item = g_list_model_get_item (G_LIST_MODEL (self->filtered), position);
  TessLayer *layer = label_layer (self);
  const TessLabelFact *fact = layer && item ? tess_study_find_label (self->study, layer, item->value) : NULL;

  if (fact)
    tess_study_set_cursor (self->study, fact->centre);
}

static void
draw_swatch (GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer data)
{
  TessLabelItem *item = gtk_list_item_get_item (data);

  if (!item)
    return;
  cairo_arc (cr, width / 2.0, height / 2.0, MIN (width, height) / 2.0, 0.0, 2.0 * G_PI);
  cairo_set_source_rgb (cr, item->rgba[0] / 255.0, item->rgba[1] / 255.0, item->rgba[2] / 255.0);
  cairo_fill (cr);
}

static void
setup_cb (TessViewSidebar *self, GtkListItem *list_item)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6), *swatch = gtk_drawing_area_new (), *eye = new_eye ();
  GtkWidget *name = gtk_label_new (NULL), *volume = gtk_label_new (NULL);
  GtkGesture *click = gtk_gesture_click_new ();

  gtk_drawing_area_set_content_width (GTK_DRAWING_AREA (swatch), 12);
  gtk_drawing_area_set_content_height (GTK_DRAWING_AREA (swatch), 12);
  gtk_drawing_area_set_draw_func (GTK_DRAWING_AREA (swatch), draw_swatch, list_item, NULL);
  gtk_widget_set_valign (swatch, GTK_ALIGN_CENTER);
  gtk_label_set_xalign (GTK_LABEL (name), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (name), PANGO_ELLIPSIZE_END);
  gtk_widget_set_hexpand (name, TRUE);
  gtk_widget_add_css_class (volume, "numeric");
  gtk_widget_add_css_class (volume, "dim-label");
  g_object_set_data (G_OBJECT (list_item), "sidebar", self);
  g_object_set_data (G_OBJECT (list_item), "eye", eye);
  g_object_set_data (G_OBJECT (list_item), "swatch", swatch);
  g_object_set_data (G_OBJECT (list_item), "name", name);
  g_object_set_data (G_OBJECT (list_item), "volume", volume);
  g_signal_connect_object (eye, "toggled", G_CALLBACK (label_eye_cb), list_item, G_CONNECT_SWAPPED);
  g_signal_connect_object (click, "released", G_CALLBACK (label_released_cb), list_item, G_CONNECT_SWAPPED);
  gtk_widget_add_controller (name, GTK_EVENT_CONTROLLER (click));
  gtk_box_append (GTK_BOX (box), eye);
  gtk_box_append (GTK_BOX (box), swatch);
  gtk_box_append (GTK_BOX (box), name);
  gtk_box_append (GTK_BOX (box), volume);
  gtk_list_item_set_child (list_item, box);
}

static void
bind_cb (TessViewSidebar *self, GtkListItem *list_item)
{
  TessLabelItem *item = gtk_list_item_get_item (list_item);
  GtkWidget *name = g_object_get_data (G_OBJECT (list_item), "name");
  g_autofree char *volume =
      isnan (item->volume) ? g_strdup ("") : g_strdup_printf (_ ("%.1f mL"), item->volume / 1000.0);
  g_autofree char *tip =
      g_strdup_printf (_ ("Label %" PRId64 ": click to go there, Alt+click to see it alone"), item->value);

  self->updating = TRUE;
  gtk_label_set_text (GTK_LABEL (name), item->name);
  gtk_widget_set_tooltip_text (name, tip);
  gtk_label_set_text (g_object_get_data (G_OBJECT (list_item), "volume"), volume);
  set_eye (g_object_get_data (G_OBJECT (list_item), "eye"), !item->hidden, item->name);
  gtk_widget_queue_draw (g_object_get_data (G_OBJECT (list_item), "swatch"));
  self->updating = FALSE;
}

static gboolean
matches_cb (gpointer object, gpointer data)
{
  TessViewSidebar *self = data;
  TessLabelItem *item = object;
  g_autofree char *wanted = g_utf8_casefold (gtk_editable_get_text (GTK_EDITABLE (self->search)), -1);
  g_autofree char *name = g_utf8_casefold (item->name, -1);
  g_autofree char *value = g_strdup_printf ("%" PRId64, item->value);

  return !*wanted || strstr (name, wanted) || g_str_equal (value, wanted);
}

/* --- following the study ------------------------------------------------------------------------------------------ */

static void
changed_cb (TessViewSidebar *self)
{
  GtkListBoxRow *row;

  self->updating = TRUE;
  for (int i = 0; (row = gtk_list_box_get_row_at_index (self->layers, i)); i++) {
    TessLayer *layer = g_object_get_data (G_OBJECT (row), "layer");
    GtkWidget *eye = g_object_get_data (G_OBJECT (row), "eye");

    if (gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (eye)) != layer->visible)
      set_eye (eye, layer->visible, layer->name);
  }
  self->updating = FALSE;
  if (self->shown && self->shown == label_layer (self) && self->shown->labels_serial != self->shown_serial)
    rebuild_labels (self);
}

static void
layers_changed_cb (TessViewSidebar *self)
{
  rebuild_layers (self);
  rebuild_labels (self);
}

static void
active_changed_cb (TessViewSidebar *self)
{
  self->updating = TRUE;
  select_active (self);
  self->updating = FALSE;
  if (label_layer (self) != self->shown)
    rebuild_labels (self);
}

/* --- the widget --------------------------------------------------------------------------------------------------- */

static void
tess_view_sidebar_dispose (GObject *object)
{
  TessViewSidebar *self = TESS_VIEW_SIDEBAR (object);

  g_clear_pointer (&self->scroller, gtk_widget_unparent);
  g_clear_object (&self->study);
  g_clear_object (&self->items);
  G_OBJECT_CLASS (tess_view_sidebar_parent_class)->dispose (object);
}

static void
tess_view_sidebar_class_init (TessViewSidebarClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = tess_view_sidebar_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
}

static GtkWidget *
new_heading (const char *text)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_add_css_class (label, "heading");
  gtk_widget_set_margin_start (label, 12);
  gtk_widget_set_margin_end (label, 12);
  gtk_widget_set_margin_top (label, 12);
  gtk_widget_set_margin_bottom (label, 6);
  return label;
}

static GtkWidget *
new_caption (void)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_add_css_class (label, "caption");
  gtk_widget_add_css_class (label, "dim-label");
  gtk_widget_set_margin_start (label, 12);
  gtk_widget_set_margin_end (label, 12);
  gtk_widget_set_margin_bottom (label, 6);
  return label;
}

static GtkWidget *
new_label_list (TessViewSidebar *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  GtkFilter *filter = GTK_FILTER (gtk_custom_filter_new (matches_cb, self, NULL));
  GtkWidget *list;

  self->items = g_list_store_new (TESS_TYPE_LABEL_ITEM);
  self->filtered = gtk_filter_list_model_new (g_object_ref (G_LIST_MODEL (self->items)), filter);
  g_signal_connect_object (factory, "setup", G_CALLBACK (setup_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (factory, "bind", G_CALLBACK (bind_cb), self, G_CONNECT_SWAPPED);
  list = gtk_list_view_new (GTK_SELECTION_MODEL (gtk_no_selection_new (G_LIST_MODEL (self->filtered))), factory);
  gtk_widget_add_css_class (list, "navigation-sidebar");
  gtk_accessible_update_property (GTK_ACCESSIBLE (list), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Labels"), -1);
  g_signal_connect_object (list, "activate", G_CALLBACK (label_activated_cb), self, G_CONNECT_SWAPPED);
  self->search = gtk_search_entry_new ();
  g_object_set (self->search, "placeholder-text", _ ("Name or number"), NULL);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->search), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Search labels"),
                                  -1);
  gtk_widget_set_margin_start (self->search, 12);
  gtk_widget_set_margin_end (self->search, 12);
  g_signal_connect_object (self->search, "search-changed", G_CALLBACK (gtk_filter_changed), filter, G_CONNECT_SWAPPED);
  return list;
}

static void
tess_view_sidebar_init (TessViewSidebar *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0), *heading, *list;

  self->scroller = gtk_scrolled_window_new ();
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (self->scroller), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_widget_set_parent (self->scroller, GTK_WIDGET (self));
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (self->scroller), box);
  gtk_box_append (GTK_BOX (box), new_heading (_ ("Layers")));
  self->layers = GTK_LIST_BOX (gtk_list_box_new ());
  gtk_widget_add_css_class (GTK_WIDGET (self->layers), "navigation-sidebar");
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->layers), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Layers"), -1);
  g_signal_connect_object (self->layers, "row-selected", G_CALLBACK (layer_selected_cb), self, G_CONNECT_SWAPPED);
  gtk_box_append (GTK_BOX (box), GTK_WIDGET (self->layers));
  self->labels_box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  heading = new_heading (_ ("Labels"));
  gtk_widget_set_margin_bottom (heading, 0);
  gtk_box_append (GTK_BOX (self->labels_box), heading);
  self->labels_of = GTK_LABEL (new_caption ());
  gtk_box_append (GTK_BOX (self->labels_box), GTK_WIDGET (self->labels_of));
  list = new_label_list (self);
  gtk_box_append (GTK_BOX (self->labels_box), self->search);
  gtk_box_append (GTK_BOX (self->labels_box), list);
  gtk_box_append (GTK_BOX (box), self->labels_box);
  self->box = box;
}

GtkWidget *
tess_view_sidebar_new (TessWindow *window)
{
  TessViewSidebar *self = g_object_new (TESS_TYPE_VIEW_SIDEBAR, NULL);

  self->window = window;
  self->study = g_object_ref (tess_window_get_study (window));
  g_signal_connect_object (self->study, "changed", G_CALLBACK (changed_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->study, "layers-changed", G_CALLBACK (layers_changed_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->study, "active-changed", G_CALLBACK (active_changed_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->study, "surveyed", G_CALLBACK (rebuild_labels), self, G_CONNECT_SWAPPED);
  gtk_box_append (GTK_BOX (self->box), tess_findings_list_new (window));
  layers_changed_cb (self);
  return GTK_WIDGET (self);
}
