#include "tess-results-page.h"

#include "tess-case-picture.h"
#include "tess-results-window.h"
#include "tess-segment.h"
#include "tess-strip-plot.h"

#include <glib/gi18n-lib.h>
#include <math.h>

struct _TessResultsSidebar {
  GtkWidget parent_instance;

  TessWindow *window; /* which we are a part of */
  TessResults *results;

  GtkStack *stack;
  GtkLabel *empty_text, *heading, *summary;
  GtkListView *list;

  GtkSingleSelection *selection; /* over the evaluation's cases; NULL before there is one */
  gboolean updating;
};

G_DEFINE_FINAL_TYPE (TessResultsSidebar, tess_results_sidebar, GTK_TYPE_WIDGET)

/* --- one case ----------------------------------------------------------------------------------------------------- */

static GtkWidget *
add_label (GtkBox *box, const char *css, gboolean expand)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), expand ? 0.0f : 1.0f);
  gtk_widget_set_hexpand (label, expand);
  if (expand)
    gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_add_css_class (label, css);
  gtk_box_append (box, label);
  return label;
}

/* Picture; name and mean Dice, bars, HD95 and volume difference. Found again by their names. */
static void
setup_cb (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 4), *top = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  GtkWidget *bars = g_object_new (TESS_TYPE_DICE_BARS, NULL), *line = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 9);
  GtkWidget *bottom = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  GtkWidget *picture = g_object_new (TESS_TYPE_CASE_PICTURE, NULL);

  gtk_widget_set_margin_top (line, 6);
  gtk_widget_set_margin_bottom (line, 6);
  gtk_widget_set_hexpand (box, TRUE);
  gtk_box_append (GTK_BOX (line), picture);
  gtk_box_append (GTK_BOX (line), box);
  g_object_set_data (G_OBJECT (item), "picture", picture);
  gtk_box_append (GTK_BOX (box), top);
  g_object_set_data (G_OBJECT (item), "name", add_label (GTK_BOX (top), "body", TRUE));
  g_object_set_data (G_OBJECT (item), "dice", add_label (GTK_BOX (top), "numeric", FALSE));
  gtk_box_append (GTK_BOX (box), bars);
  g_object_set_data (G_OBJECT (item), "bars", bars);
  gtk_box_append (GTK_BOX (box), bottom);
  g_object_set_data (G_OBJECT (item), "hd95", add_label (GTK_BOX (bottom), "caption", TRUE));
  g_object_set_data (G_OBJECT (item), "volume", add_label (GTK_BOX (bottom), "caption", FALSE));
  gtk_widget_add_css_class (bottom, "dim-label");
  gtk_widget_add_css_class (bottom, "numeric");
  gtk_list_item_set_child (item, line);
}

static void
unbind_cb (TessResultsSidebar *self, GtkListItem *item)
{
  tess_case_picture_set (g_object_get_data (G_OBJECT (item), "picture"), NULL);
}

static void
bind_cb (TessResultsSidebar *self, GtkListItem *item)
{
  TessEvaluationCase *c = gtk_list_item_get_item (item);
  const TessEvaluation *evaluation = tess_results_peek_evaluation (self->results);
  g_autofree char *dice = tess_results_format_share (tess_evaluation_case_get_dice (c));
  g_autofree char *hd95 = tess_results_format_mm (tess_evaluation_case_get_hd95 (c));
  g_autofree char *percent = tess_results_format_percent (tess_evaluation_case_get_difference (c));
  g_autofree char *caption = g_strdup_printf (_ ("HD95 %s mm"), hd95);
  g_autofree char *spoken =
      g_strdup_printf ("%s, Dice %s, %s, %s", tess_evaluation_case_get_name (c), dice, caption, percent);
  GtkWidget *name = g_object_get_data (G_OBJECT (item), "name"), *share = g_object_get_data (G_OBJECT (item), "dice");
  GtkWidget *distance = g_object_get_data (G_OBJECT (item), "hd95");
  GtkWidget *volume = g_object_get_data (G_OBJECT (item), "volume");

  gtk_label_set_text (GTK_LABEL (name), tess_evaluation_case_get_name (c));
  gtk_widget_set_tooltip_text (name, tess_evaluation_case_get_name (c));
  gtk_label_set_text (GTK_LABEL (share), dice);
  gtk_widget_set_tooltip_text (share, isnan (tess_evaluation_case_get_dice (c))
                                          ? _ ("Neither of the two files has a label")
                                          : _ ("Mean Dice of the labels"));
  gtk_label_set_text (GTK_LABEL (distance), caption);
  gtk_widget_set_tooltip_text (distance, _ ("HD95 of the label where it is largest"));
  gtk_label_set_text (GTK_LABEL (volume), percent);
  gtk_widget_set_tooltip_text (volume, _ ("Volume of all labels together against the reference"));
  tess_case_picture_set (g_object_get_data (G_OBJECT (item), "picture"), c);
  /* The row itself is what a screen reader stops at. */
  gtk_accessible_update_property (GTK_ACCESSIBLE (gtk_widget_get_parent (gtk_list_item_get_child (item))),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  if (evaluation)
    tess_dice_bars_set (g_object_get_data (G_OBJECT (item), "bars"), evaluation, c);
}

/* --- choosing one ------------------------------------------------------------------------------------------------- */

static void
open_case (TessWindow *window, gpointer data)
{
  if (tess_window_get_study (window))
    tess_results_open_case (tess_results_of (window), data);
}

static void select_open (TessResultsSidebar *self);

static void
selected_cb (TessResultsSidebar *self)
{
  TessEvaluationCase *c = gtk_single_selection_get_selected_item (self->selection);

  if (self->updating || !c || c == tess_results_get_case (self->results))
    return;
  tess_segment_ask_unsaved (self->window, open_case, g_object_ref (c), g_object_unref);
  select_open (self); /* another one only when it is on its way */
}

/* The selection is the open case, whoever opened it. */
static void
select_open (TessResultsSidebar *self)
{
  TessEvaluationCase *open = tess_results_get_case (self->results);
  guint at = GTK_INVALID_LIST_POSITION;

  if (!self->selection)
    return;
  for (guint i = 0; open && i < g_list_model_get_n_items (G_LIST_MODEL (self->selection)); i++) {
    g_autoptr (TessEvaluationCase) c = g_list_model_get_item (G_LIST_MODEL (self->selection), i);

    if (c == open)
      at = i;
  }
  self->updating = TRUE;
  gtk_single_selection_set_selected (self->selection, at);
  self->updating = FALSE;
}

static void
fill (TessResultsSidebar *self, const TessEvaluation *evaluation)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (evaluation->cases));
  guint n_lone = evaluation->n_lone_reference + evaluation->n_lone_prediction;
  g_autofree char *name = g_path_get_basename (evaluation->prediction);
  g_autofree char *dice = tess_results_format_share (evaluation->dice);
  g_autofree char *cases = g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u case", "%u cases", n), n);
  g_autoptr (GString) summary = g_string_new (NULL);

  g_clear_object (&self->selection);
  self->selection = gtk_single_selection_new (NULL);
  gtk_single_selection_set_autoselect (self->selection, FALSE);
  gtk_single_selection_set_can_unselect (self->selection, TRUE);
  gtk_single_selection_set_model (self->selection, G_LIST_MODEL (evaluation->cases));
  gtk_single_selection_set_selected (self->selection, GTK_INVALID_LIST_POSITION);
  g_signal_connect_object (self->selection, "notify::selected", G_CALLBACK (selected_cb), self, G_CONNECT_SWAPPED);
  gtk_list_view_set_model (self->list, GTK_SELECTION_MODEL (self->selection));
  gtk_label_set_text (self->heading, name);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->heading), evaluation->prediction);
  g_string_printf (summary, _ ("%s · mean Dice %s"), cases, dice);
  if (n_lone)
    g_string_append_printf (
        summary, g_dngettext (GETTEXT_PACKAGE, " · %u file has no partner", " · %u files have no partner", n_lone),
        n_lone);
  gtk_label_set_text (self->summary, summary->str);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->summary), _ ("The case with the lowest mean Dice comes first"));
}

static void
update_cb (TessResultsSidebar *self)
{
  const TessEvaluation *evaluation = tess_results_peek_evaluation (self->results);

  if (!tess_window_get_study (self->window))
    return;
  if (evaluation &&
      (!self->selection || gtk_single_selection_get_model (self->selection) != G_LIST_MODEL (evaluation->cases)))
    fill (self, evaluation);
  gtk_stack_set_visible_child_name (self->stack, evaluation ? "cases" : "empty");
  select_open (self);
}

/* --- class -------------------------------------------------------------------------------------------------------- */

static void
tess_results_sidebar_dispose (GObject *object)
{
  TessResultsSidebar *self = TESS_RESULTS_SIDEBAR (object);

  gtk_widget_dispose_template (GTK_WIDGET (self), TESS_TYPE_RESULTS_SIDEBAR);
  g_clear_object (&self->selection);
  g_clear_object (&self->results);
  G_OBJECT_CLASS (tess_results_sidebar_parent_class)->dispose (object);
}

static void
tess_results_sidebar_class_init (TessResultsSidebarClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_results_sidebar_dispose;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/results/results-sidebar.ui");
  gtk_widget_class_bind_template_child (widget_class, TessResultsSidebar, stack);
  gtk_widget_class_bind_template_child (widget_class, TessResultsSidebar, empty_text);
  gtk_widget_class_bind_template_child (widget_class, TessResultsSidebar, heading);
  gtk_widget_class_bind_template_child (widget_class, TessResultsSidebar, summary);
  gtk_widget_class_bind_template_child (widget_class, TessResultsSidebar, list);
}

static void
tess_results_sidebar_init (TessResultsSidebar *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  g_signal_connect (factory, "setup", G_CALLBACK (setup_cb), NULL);
  g_signal_connect_object (factory, "bind", G_CALLBACK (bind_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (factory, "unbind", G_CALLBACK (unbind_cb), self, G_CONNECT_SWAPPED);
  gtk_list_view_set_factory (self->list, factory);
  g_object_unref (factory);
}

GtkWidget *
tess_results_sidebar_new (TessWindow *window)
{
  TessResultsSidebar *self = g_object_new (TESS_TYPE_RESULTS_SIDEBAR, NULL);

  self->window = window;
  self->results = g_object_ref (tess_results_of (window));
  g_signal_connect_object (self->results, "evaluated", G_CALLBACK (update_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->results, "changed", G_CALLBACK (update_cb), self, G_CONNECT_SWAPPED);
  update_cb (self);
  return GTK_WIDGET (self);
}
