#include "tess-findings-list.h"

#include "tess-format.h"
#include "tess-overlay.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define MAX_ROWS 1000 /* a table of candidates may have many more than anybody looks through */

struct _TessFindingsList {
  GtkWidget parent_instance;

  TessWindow *window; /* which we are a part of */
  TessStudy *study;

  GtkWidget *box;
  GtkLabel *caption;
  GtkStringList *rows; /* as many as are listed; a row's position is the finding's */

  TessFindings *shown;
  const TessVolume *of; /* only compared */
  gboolean *inside;
};

#define TESS_TYPE_FINDINGS_LIST (tess_findings_list_get_type ())
G_DECLARE_FINAL_TYPE (TessFindingsList, tess_findings_list, TESS, FINDINGS_LIST, GtkWidget)
G_DEFINE_FINAL_TYPE (TessFindingsList, tess_findings_list, GTK_TYPE_WIDGET)

/* --- following the study ------------------------------------------------------------------------------------------ */

/* "12 in annotations.csv, 2 outside the scan". */
static char *
describe (TessFindingsList *self, guint n, guint n_outside)
{
  const char *name = tess_study_get_findings_name (self->study);
  GString *text = g_string_new (NULL);

  g_string_printf (text, _ ("%u in %s"), n, name ? name : "");
  if (n_outside > 0)
    g_string_append_printf (text, _ (", %u outside the scan"), n_outside);
  if (n > MAX_ROWS)
    g_string_append_printf (text, _ ("; the first %u are listed"), (guint)MAX_ROWS);
  return g_string_free (text, FALSE);
}

static void
update (TessFindingsList *self)
{
  TessScene *scene = tess_study_get_scene (self->study);
  TessLayer *layer = tess_scene_main (scene);
  TessFindings *findings = layer ? scene->findings : NULL;
  g_autofree const char **blank = NULL;
  g_autofree double *indices = NULL;
  g_autofree char *text = NULL;
  guint n, n_outside = 0;
  TessGrid grid;

  if (findings == self->shown && (!findings || layer->volume == self->of))
    return;
  g_clear_pointer (&self->shown, tess_findings_unref);
  g_clear_pointer (&self->inside, g_free);
  gtk_string_list_splice (self->rows, 0, g_list_model_get_n_items (G_LIST_MODEL (self->rows)), NULL);
  gtk_widget_set_visible (GTK_WIDGET (self), findings != NULL);
  if (!findings)
    return;
  n = tess_findings_n (findings);
  grid = tess_volume_grid (layer->volume);
  self->of = layer->volume;
  self->shown = tess_findings_ref (findings);
  self->inside = g_new0 (gboolean, n);
  indices = g_new (double, 3 * (gsize)n);
  tess_findings_place (findings, &grid, indices, self->inside);
  for (guint i = 0; i < n; i++)
    n_outside += self->inside[i] ? 0 : 1;
  blank = g_new0 (const char *, MIN (n, MAX_ROWS) + 1);
  for (guint i = 0; i < MIN (n, MAX_ROWS); i++)
    blank[i] = "";
  gtk_string_list_splice (self->rows, 0, 0, blank);
  text = describe (self, n, n_outside);
  gtk_label_set_text (self->caption, text);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->caption), text);
}

/* --- going there and taking away ---------------------------------------------------------------------------------- */

static void
activate_cb (TessFindingsList *self, guint position)
{
  if (self->shown && position < tess_findings_n (self->shown) && self->inside[position])
    tess_study_set_cursor (self->study, tess_findings_peek (self->shown, position)->world);
}

typedef struct {
  TessStudy *study;
  TessFindings *findings;
  char *name;
  guint64 serial; /* of the scan they are of */
} Removed;

static void
removed_undo_cb (Removed *removed)
{
  if (removed->serial == tess_study_get_serial (removed->study) && tess_study_get_has_image (removed->study))
    tess_study_set_findings (removed->study, removed->findings, removed->name);
}

static void
removed_free (gpointer data)
{
  Removed *removed = data;

  tess_findings_unref (removed->findings);
  g_object_unref (removed->study);
  g_free (removed->name);
  g_free (removed);
}

static void
remove_cb (TessFindingsList *self)
{
  Removed *removed;

  if (!self->shown)
    return;
  removed = g_new0 (Removed, 1);
  removed->study = g_object_ref (self->study);
  removed->findings = tess_findings_ref (self->shown);
  removed->name = g_strdup (tess_study_get_findings_name (self->study));
  removed->serial = tess_study_get_serial (self->study);
  tess_study_set_findings (self->study, NULL, NULL);
  tess_window_toast_undo (self->window, _ ("Findings removed"), G_CALLBACK (removed_undo_cb), removed, removed_free);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* A finding's number and its class, where the table says one. */
static char *
name_of (TessFindings *findings, guint i)
{
  const char *const *columns = tess_findings_columns (findings);
  const TessFinding *finding = tess_findings_peek (findings, i);

  for (guint k = 0; columns[k]; k++)
    if (g_ascii_strcasecmp (columns[k], "class") == 0 && *finding->texts[k])
      return g_strdup_printf (_ ("Finding %u · %s"), i + 1, finding->texts[k]);
  return g_strdup_printf (_ ("Finding %u"), i + 1);
}

/* All that the table says of it, a column a line. */
static char *
tip_of (TessFindings *findings, guint i)
{
  const char *const *columns = tess_findings_columns (findings);
  const TessFinding *finding = tess_findings_peek (findings, i);
  GString *text = g_string_new (finding->scan);

  for (guint k = 0; columns[k]; k++)
    if (*finding->texts[k])
      g_string_append_printf (text, "%s%s: %s", text->len ? "\n" : "", columns[k], finding->texts[k]);
  return g_string_free (text, FALSE);
}

static void
setup_cb (TessFindingsList *self, GtkListItem *item)
{
  GtkWidget *grid = gtk_grid_new (), *name = gtk_label_new (NULL), *place = gtk_label_new (NULL);
  GtkWidget *size = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (name), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (name), PANGO_ELLIPSIZE_END);
  gtk_widget_set_hexpand (name, TRUE);
  gtk_label_set_xalign (GTK_LABEL (place), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (place), PANGO_ELLIPSIZE_END);
  gtk_widget_add_css_class (place, "caption");
  gtk_widget_add_css_class (place, "dim-label");
  gtk_widget_add_css_class (place, "numeric");
  gtk_widget_add_css_class (size, "dim-label");
  gtk_widget_add_css_class (size, "numeric");
  gtk_grid_set_column_spacing (GTK_GRID (grid), 6);
  gtk_grid_attach (GTK_GRID (grid), name, 0, 0, 1, 1);
  gtk_grid_attach (GTK_GRID (grid), size, 1, 0, 1, 1);
  gtk_grid_attach (GTK_GRID (grid), place, 0, 1, 2, 1);
  g_object_set_data (G_OBJECT (item), "name", name);
  g_object_set_data (G_OBJECT (item), "place", place);
  g_object_set_data (G_OBJECT (item), "size", size);
  gtk_list_item_set_child (item, grid);
}

static void
bind_cb (TessFindingsList *self, GtkListItem *item)
{
  guint i = gtk_list_item_get_position (item);
  const TessFinding *finding = tess_findings_peek (self->shown, i);
  g_autofree char *name = name_of (self->shown, i), *tip = tip_of (self->shown, i);
  g_autofree char *position = tess_format_position (finding->world), *size = NULL, *place = NULL;
  g_autofree char *number = tess_format_number (finding->diameter, 3);

  size = isfinite (finding->diameter) ? g_strdup_printf (_ ("%s mm"), number) : g_strdup ("");
  place = self->inside[i] ? g_strdup (position) : g_strdup_printf (_ ("outside: %s"), position);
  gtk_label_set_text (g_object_get_data (G_OBJECT (item), "name"), name);
  gtk_label_set_text (g_object_get_data (G_OBJECT (item), "size"), size);
  gtk_label_set_text (g_object_get_data (G_OBJECT (item), "place"), place);
  gtk_widget_set_tooltip_text (gtk_list_item_get_child (item), *tip ? tip : NULL);
  gtk_widget_set_sensitive (gtk_list_item_get_child (item), self->inside[i]);
  gtk_list_item_set_activatable (item, self->inside[i]);
}

/* --- the widget --------------------------------------------------------------------------------------------------- */

static void
tess_findings_list_dispose (GObject *object)
{
  TessFindingsList *self = TESS_FINDINGS_LIST (object);

  g_clear_pointer (&self->box, gtk_widget_unparent);
  g_clear_object (&self->rows);
  g_clear_object (&self->study);
  g_clear_pointer (&self->shown, tess_findings_unref);
  g_clear_pointer (&self->inside, g_free);
  G_OBJECT_CLASS (tess_findings_list_parent_class)->dispose (object);
}

static void
tess_findings_list_class_init (TessFindingsListClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = tess_findings_list_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
}

static GtkWidget *
new_heading (TessFindingsList *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 4), *text = gtk_label_new (_ ("Findings"));
  GtkWidget *remove = gtk_button_new_from_icon_name ("window-close-symbolic");

  gtk_label_set_xalign (GTK_LABEL (text), 0.0f);
  gtk_widget_add_css_class (text, "heading");
  gtk_widget_set_hexpand (text, TRUE);
  gtk_widget_add_css_class (remove, "flat");
  gtk_widget_add_css_class (remove, "circular");
  gtk_widget_set_tooltip_text (remove, _ ("Remove findings"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (remove), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Remove findings"), -1);
  g_signal_connect_object (remove, "clicked", G_CALLBACK (remove_cb), self, G_CONNECT_SWAPPED);
  gtk_widget_set_margin_start (row, 12);
  gtk_widget_set_margin_end (row, 12);
  gtk_widget_set_margin_top (row, 12);
  gtk_box_append (GTK_BOX (row), text);
  gtk_box_append (GTK_BOX (row), remove);
  return row;
}

static void
tess_findings_list_init (TessFindingsList *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  GtkWidget *list;

  self->box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  gtk_widget_set_parent (self->box, GTK_WIDGET (self));
  gtk_box_append (GTK_BOX (self->box), new_heading (self));
  self->caption = GTK_LABEL (gtk_label_new (NULL));
  gtk_label_set_xalign (self->caption, 0.0f);
  gtk_label_set_ellipsize (self->caption, PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_add_css_class (GTK_WIDGET (self->caption), "caption");
  gtk_widget_add_css_class (GTK_WIDGET (self->caption), "dim-label");
  gtk_widget_set_margin_start (GTK_WIDGET (self->caption), 12);
  gtk_widget_set_margin_end (GTK_WIDGET (self->caption), 12);
  gtk_widget_set_margin_bottom (GTK_WIDGET (self->caption), 6);
  gtk_box_append (GTK_BOX (self->box), GTK_WIDGET (self->caption));
  self->rows = gtk_string_list_new (NULL);
  g_signal_connect_object (factory, "setup", G_CALLBACK (setup_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (factory, "bind", G_CALLBACK (bind_cb), self, G_CONNECT_SWAPPED);
  list = gtk_list_view_new (GTK_SELECTION_MODEL (gtk_no_selection_new (g_object_ref (G_LIST_MODEL (self->rows)))),
                            factory);
  gtk_list_view_set_single_click_activate (GTK_LIST_VIEW (list), TRUE);
  gtk_widget_add_css_class (list, "navigation-sidebar");
  gtk_accessible_update_property (GTK_ACCESSIBLE (list), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Findings"), -1);
  g_signal_connect_object (list, "activate", G_CALLBACK (activate_cb), self, G_CONNECT_SWAPPED);
  gtk_box_append (GTK_BOX (self->box), list);
  gtk_widget_set_visible (GTK_WIDGET (self), FALSE);
}

GtkWidget *
tess_findings_list_new (TessWindow *window)
{
  TessFindingsList *self = g_object_new (TESS_TYPE_FINDINGS_LIST, NULL);

  self->window = window;
  self->study = g_object_ref (tess_window_get_study (window));
  g_signal_connect_object (self->study, "findings-changed", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->study, "layers-changed", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  update (self);
  return GTK_WIDGET (self);
}
