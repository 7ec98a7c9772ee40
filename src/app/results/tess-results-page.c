#include "tess-results-page.h"

#include "tess-results-window.h"
#include "tess-strip-plot.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>

struct _TessResultsPage {
  GtkWidget parent_instance;

  TessWindow *window; /* which we are a part of */
  TessResults *results;

  AdwComboRow *prediction_row, *reference_row;
  AdwActionRow *found_row;
  GtkWidget *scroller, *choice_group, *difference_button, *open_row, *display_box, *retry, *strip_box, *export_button,
      *table_box;
  GtkFlowBox *legend;
  GtkLabel *sentence;
  GtkBox *table_header;
  GtkListBox *table;
  TessStripPlot *strip;

  GtkSizeGroup *columns[2];
  guint64 filled; /* generation of the comparison in the table */
  char *names;    /* and what its labels are called there */
  char *scan;     /* path that found_row is about */
  gboolean updating;
};

G_DEFINE_FINAL_TYPE (TessResultsPage, tess_results_page, GTK_TYPE_WIDGET)

/* --- the table ---------------------------------------------------------------------------------------------------- */

static GtkWidget *
cell_new (TessResultsPage *self, guint column, const char *text, const char *why)
{
  GtkWidget *cell = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (cell), 1.0f);
  gtk_widget_add_css_class (cell, "numeric");
  gtk_widget_set_tooltip_text (cell, why);
  gtk_size_group_add_widget (self->columns[column], cell);
  return cell;
}

/* Takes what is left over and asks for no more: the side bar keeps its width whatever labels are called. */
static void
share_width (GtkWidget *label)
{
  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_label_set_max_width_chars (GTK_LABEL (label), 6);
  gtk_widget_set_hexpand (label, TRUE);
}

static void
draw_swatch (GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer data)
{
  const guint8 *c = data;

  cairo_set_source_rgb (cr, c[0] / 255.0, c[1] / 255.0, c[2] / 255.0);
  cairo_arc (cr, width / 2.0, height / 2.0, MIN (width, height) / 2.0, 0.0, 2.0 * G_PI);
  cairo_fill (cr);
}

static GtkWidget *
swatch_new (const guint8 rgba[4])
{
  GtkWidget *swatch = gtk_drawing_area_new ();

  gtk_widget_set_size_request (swatch, 12, 12);
  gtk_widget_set_valign (swatch, GTK_ALIGN_CENTER);
  gtk_drawing_area_set_draw_func (GTK_DRAWING_AREA (swatch), draw_swatch, g_memdup2 (rgba, 4), g_free);
  return swatch;
}

/* One line of the table: what Dice, IoU, HD95 and volumes are, and of what. */
typedef struct {
  const char *name;
  const guint8 *rgba; /* NULL: no swatch */
  double dice, iou, hd95, volume_reference, volume_prediction;
  gint64 value; /* 0: the mean */
} Line;

static void
add_volumes (GtkBox *row, const Line *line, const char *no_difference)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  double difference = tess_volume_difference (line->volume_reference, line->volume_prediction);
  g_autofree char *reference = tess_results_format_ml (line->volume_reference);
  g_autofree char *prediction = tess_results_format_ml (line->volume_prediction);
  g_autofree char *percent = tess_results_format_percent (difference);
  g_autofree char *volumes = g_strdup_printf ("%s → %s", reference, prediction);
  GtkWidget *left = gtk_label_new (volumes), *right = gtk_label_new (percent);

  share_width (left);
  gtk_widget_set_tooltip_text (left, _ ("Volume of the reference, and of the prediction"));
  gtk_widget_set_tooltip_text (right, isfinite (difference) ? _ ("Volume of the prediction against the reference")
                                                            : no_difference);
  gtk_box_append (GTK_BOX (box), left);
  gtk_box_append (GTK_BOX (box), right);
  gtk_widget_add_css_class (box, "caption");
  gtk_widget_add_css_class (box, "dim-label");
  gtk_widget_add_css_class (box, "numeric");
  if (line->rgba)
    gtk_widget_set_margin_start (box, 21);
  gtk_box_append (row, box);
}

static void
describe_row (GtkWidget *row, const Line *line)
{
  g_autofree char *dice = tess_results_format_share (line->dice), *iou = tess_results_format_share (line->iou);
  g_autofree char *hd95 = tess_results_format_mm (line->hd95);
  g_autofree char *reference = tess_results_format_ml (line->volume_reference);
  g_autofree char *prediction = tess_results_format_ml (line->volume_prediction);
  g_autofree char *text =
      g_strdup_printf (_ ("%s: Dice %s, IoU %s, HD95 %s mm, volume of the reference %s, of the prediction %s"),
                       line->name, dice, iou, hd95, reference, prediction);

  gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
}

static GtkWidget *
row_new (TessResultsPage *self, const Line *line)
{
  GtkWidget *row = gtk_list_box_row_new (), *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);
  GtkWidget *top = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 9), *name = gtk_label_new (line->name);
  g_autofree char *dice = tess_results_format_share (line->dice), *hd95 = tess_results_format_mm (line->hd95);
  const char *absent = _ ("Neither of the two has this label"), *alone = NULL, *empty = _ ("The reference is empty");

  if (line->value) {
    gboolean in_reference = line->volume_reference > 0.0;

    empty = _ ("The reference does not have this label");
    alone = in_reference ? _ ("The prediction does not have this label, so there is no distance")
                         : _ ("The reference does not have this label, so there is no distance");
  } else {
    absent = _ ("There is no label above 0 in either");
    alone = _ ("No label is in both, so there is no distance");
  }
  if (line->rgba)
    gtk_box_append (GTK_BOX (top), swatch_new (line->rgba));
  share_width (name);
  gtk_widget_set_tooltip_text (name, line->name);
  gtk_box_append (GTK_BOX (top), name);
  gtk_box_append (GTK_BOX (top), cell_new (self, 0, dice, isnan (line->dice) ? absent : NULL));
  gtk_box_append (GTK_BOX (top), cell_new (self, 1, hd95, isnan (line->hd95) ? alone : NULL));
  gtk_box_append (GTK_BOX (box), top);
  add_volumes (GTK_BOX (box), line, empty);
  gtk_widget_set_margin_top (box, 8);
  gtk_widget_set_margin_bottom (box, 8);
  gtk_widget_set_margin_start (box, 12);
  gtk_widget_set_margin_end (box, 12);
  if (line->value == 0)
    gtk_widget_add_css_class (name, "heading");
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), box);
  g_object_set_data (G_OBJECT (row), "tess-label", GINT_TO_POINTER ((int)line->value));
  describe_row (row, line);
  return row;
}

static void
select_label (TessResultsPage *self)
{
  gint64 value = tess_results_get_label (self->results);
  GtkListBoxRow *row;

  for (int i = 0; (row = gtk_list_box_get_row_at_index (self->table, i)); i++)
    if (GPOINTER_TO_INT (g_object_get_data (G_OBJECT (row), "tess-label")) == value) {
      gtk_list_box_select_row (self->table, row);
      return;
    }
}

static void
row_selected_cb (TessResultsPage *self, GtkListBoxRow *row)
{
  if (row && !self->updating)
    tess_results_set_label (self->results, GPOINTER_TO_INT (g_object_get_data (G_OBJECT (row), "tess-label")));
}

/* Names come in a moment after their layer; the table is made again only when something in it is another. */
static char *
join_names (TessResults *results, const TessComparison *c)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < c->rows->len; i++) {
    guint8 rgba[4];
    const char *name = tess_results_label_name (results, g_array_index (c->rows, TessLabelMetrics, i).label, rgba);

    g_string_append_printf (text, "%s\n%02x%02x%02x\n", name ? name : "", rgba[0], rgba[1], rgba[2]);
  }
  return g_string_free (text, FALSE);
}

static void
fill_table (TessResultsPage *self, const TessComparison *c)
{
  g_autofree char *names = c ? join_names (self->results, c) : NULL;
  guint64 generation = tess_results_get_generation (self->results);
  GtkWidget *child;
  Line mean;

  if (generation == self->filled && g_strcmp0 (names, self->names) == 0)
    return;
  self->filled = generation;
  g_free (self->names);
  self->names = g_steal_pointer (&names);
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->table))))
    gtk_list_box_remove (self->table, child);
  if (!c)
    return;
  mean = (Line){_ ("Mean"), NULL, c->dice, c->iou, c->hd95, c->volume_reference, c->volume_prediction, 0};
  gtk_list_box_append (self->table, row_new (self, &mean));
  for (guint i = 0; i < c->rows->len; i++) {
    const TessLabelMetrics *m = &g_array_index (c->rows, TessLabelMetrics, i);
    guint8 rgba[4];
    const char *known = tess_results_label_name (self->results, m->label, rgba);
    g_autofree char *name = known ? g_strdup (known) : g_strdup_printf (_ ("label %" PRId64), m->label);
    Line line = {name, rgba, m->dice, m->iou, m->hd95, m->volume_reference, m->volume_prediction, m->label};

    gtk_list_box_append (self->table, row_new (self, &line));
  }
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void
fill_combo (AdwComboRow *row, GPtrArray *layers, TessLayer *selected)
{
  GListModel *before = adw_combo_row_get_model (row);
  gboolean same = before && g_list_model_get_n_items (before) == layers->len;
  guint at = GTK_INVALID_LIST_POSITION;

  for (guint i = 0; i < layers->len; i++) {
    TessLayer *layer = layers->pdata[i];

    same = same && g_strcmp0 (gtk_string_list_get_string (GTK_STRING_LIST (before), i), layer->name) == 0;
    if (layer == selected)
      at = i;
  }
  if (!same) { /* else an open list of choices stays open */
    g_autoptr (GtkStringList) names = gtk_string_list_new (NULL);

    for (guint i = 0; i < layers->len; i++)
      gtk_string_list_append (names, ((TessLayer *)layers->pdata[i])->name);
    adw_combo_row_set_model (row, G_LIST_MODEL (names));
  }
  adw_combo_row_set_selected (row, at);
}

static void
chosen (TessResultsPage *self, AdwComboRow *row, void (*set) (TessResults *, TessLayer *))
{
  g_autoptr (GPtrArray) layers = NULL;
  guint at = adw_combo_row_get_selected (row);

  if (self->updating || !self->results)
    return;
  layers = tess_results_list_layers (self->results);
  if (at < layers->len)
    set (self->results, layers->pdata[at]);
}

static void
prediction_cb (TessResultsPage *self)
{
  chosen (self, self->prediction_row, tess_results_set_prediction);
}

static void
reference_cb (TessResultsPage *self)
{
  chosen (self, self->reference_row, tess_results_set_reference);
}

static const char *
sentence_of (TessResultsPage *self)
{
  TessStudy *study = tess_window_get_study (self->window);

  switch (tess_results_get_state (self->results)) {
  case TESS_RESULTS_NO_LABELS:
    return tess_study_get_has_image (study)
               ? _ ("Press Segment to get a prediction, and open the reference labels of this scan to compare it with.")
               : _ ("Open a scan and segment it, or evaluate a folder: the numbers of what is open appear here.");
  case TESS_RESULTS_ONE_LAYER:
    return _ (
        "One layer of labels is open. Open the reference to compare it with, or press Segment to get a prediction.");
  case TESS_RESULTS_WORKING:
    return _ ("Comparing…");
  case TESS_RESULTS_CANCELLED:
    return _ ("The comparison was cancelled.");
  case TESS_RESULTS_FAILED:
    return tess_results_get_sentence (self->results);
  case TESS_RESULTS_DONE:
  default:
    return _ ("Both are empty: there is no label above 0 to compare.");
  }
}

/* A dataset keeps the reference in a place that can be told: then it is one click away. */
static void
fill_found (TessResultsPage *self, gboolean wanted)
{
  const char *scan = tess_study_get_path (tess_window_get_study (self->window));

  if (g_strcmp0 (scan, self->scan) != 0) {
    g_autofree char *path = scan ? tess_results_find_reference (scan) : NULL, *subtitle = NULL;

    g_free (self->scan);
    self->scan = g_strdup (scan);
    if (path) {
      g_autofree char *folder = g_path_get_dirname (path), *folder_name = g_path_get_basename (folder);
      g_autofree char *name = g_filename_display_basename (path);

      subtitle = g_strdup_printf ("%s/%s", folder_name, name);
    }
    adw_action_row_set_subtitle (self->found_row, subtitle ? subtitle : "");
  }
  gtk_widget_set_visible (GTK_WIDGET (self->found_row), wanted && *adw_action_row_get_subtitle (self->found_row));
}

static void
fill_strip (TessResultsPage *self)
{
  const TessEvaluation *evaluation = tess_results_peek_evaluation (self->results);

  gtk_widget_set_visible (self->strip_box, evaluation != NULL);
  tess_strip_plot_set (self->strip, evaluation, tess_results_get_case (self->results));
}

static void
update_cb (TessResultsPage *self)
{
  const TessComparison *comparison = tess_results_peek_comparison (self->results);
  TessResultsState state;
  gboolean both, has_scan, table;
  g_autoptr (GPtrArray) layers = NULL;
  TessStudy *study = tess_window_get_study (self->window);

  if (!study || self->updating)
    return;
  self->updating = TRUE;
  layers = tess_results_list_layers (self->results);
  state = tess_results_get_state (self->results);
  both = state != TESS_RESULTS_NO_LABELS && state != TESS_RESULTS_ONE_LAYER;
  has_scan = tess_study_get_has_image (study);
  table = state == TESS_RESULTS_DONE && comparison && comparison->rows->len > 0;
  fill_combo (self->prediction_row, layers, tess_results_get_prediction (self->results));
  fill_combo (self->reference_row, layers, tess_results_get_reference (self->results));
  gtk_widget_set_visible (GTK_WIDGET (self->prediction_row), both);
  gtk_widget_set_visible (GTK_WIDGET (self->reference_row), both);
  fill_found (self, has_scan && !both);
  gtk_widget_set_visible (self->open_row, has_scan);
  gtk_widget_set_visible (self->export_button, table);
  gtk_widget_set_visible (self->choice_group, has_scan);
  gtk_widget_set_visible (self->display_box, both);
  gtk_widget_set_visible (GTK_WIDGET (self->legend),
                          both && state == TESS_RESULTS_DONE &&
                              tess_results_get_display (self->results) == TESS_SHOW_DIFFERENCE);
  gtk_widget_set_visible (
      GTK_WIDGET (gtk_flow_box_get_child_at_index (self->legend, TESS_DIFFERENCE_OTHER - TESS_DIFFERENCE_AGREE)),
      tess_results_get_label (self->results) == 0); /* of one label there is no other */
  gtk_widget_set_visible (self->retry, tess_results_can_retry (self->results));
  gtk_widget_set_sensitive (self->difference_button, state == TESS_RESULTS_DONE || state == TESS_RESULTS_WORKING);
  gtk_label_set_text (self->sentence, sentence_of (self));
  (state == TESS_RESULTS_FAILED ? gtk_widget_remove_css_class : gtk_widget_add_css_class) (GTK_WIDGET (self->sentence),
                                                                                           "dim-label");
  fill_table (self, comparison);
  gtk_widget_set_visible (GTK_WIDGET (self->sentence), !table);
  gtk_widget_set_visible (self->table_box, table);
  select_label (self);
  fill_strip (self);
  self->updating = FALSE;
}

static void
make_header (TessResultsPage *self)
{
  GtkWidget *name = gtk_label_new (_ ("Label"));
  GtkWidget *cells[2] = {
      cell_new (self, 0, _ ("Dice"), _ ("Twice the overlap divided by the sum of both: 1 is perfect")),
      cell_new (self, 1, _ ("HD95 mm"),
                _ (/* xgettext:no-c-format */ "95 % of both surfaces lie nearer to the other than this")),
  };

  gtk_label_set_xalign (GTK_LABEL (name), 0.0f);
  gtk_widget_set_hexpand (name, TRUE);
  gtk_box_append (self->table_header, name);
  for (guint i = 0; i < G_N_ELEMENTS (cells); i++)
    gtk_box_append (self->table_header, cells[i]);
}

static void
make_legend (TessResultsPage *self)
{
  for (guint kind = TESS_DIFFERENCE_AGREE; kind < TESS_N_DIFFERENCES; kind++) {
    GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
    GtkWidget *label = gtk_label_new (tess_difference_name (kind)), *child = gtk_flow_box_child_new ();

    gtk_widget_add_css_class (label, "caption");
    share_width (label);
    gtk_box_append (GTK_BOX (box), swatch_new (tess_difference_colour (kind)));
    gtk_box_append (GTK_BOX (box), label);
    gtk_flow_box_child_set_child (GTK_FLOW_BOX_CHILD (child), box);
    gtk_widget_set_focusable (child, FALSE);
    gtk_flow_box_append (self->legend, child);
  }
}

/* --- class -------------------------------------------------------------------------------------------------------- */

static void
tess_results_page_dispose (GObject *object)
{
  TessResultsPage *self = TESS_RESULTS_PAGE (object);

  self->updating = TRUE;
  gtk_widget_dispose_template (GTK_WIDGET (self), TESS_TYPE_RESULTS_PAGE);
  for (guint i = 0; i < G_N_ELEMENTS (self->columns); i++)
    g_clear_object (&self->columns[i]);
  g_clear_object (&self->results);
  G_OBJECT_CLASS (tess_results_page_parent_class)->dispose (object);
}

static void
tess_results_page_finalize (GObject *object)
{
  g_free (TESS_RESULTS_PAGE (object)->names);
  g_free (TESS_RESULTS_PAGE (object)->scan);
  G_OBJECT_CLASS (tess_results_page_parent_class)->finalize (object);
}

static void
tess_results_page_class_init (TessResultsPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_results_page_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_results_page_finalize;
  g_type_ensure (TESS_TYPE_STRIP_PLOT);
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/results/results-page.ui");
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, scroller);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, choice_group);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, prediction_row);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, reference_row);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, open_row);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, found_row);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, export_button);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, display_box);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, difference_button);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, legend);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, table_box);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, sentence);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, retry);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, table_header);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, table);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, strip_box);
  gtk_widget_class_bind_template_child (widget_class, TessResultsPage, strip);
  gtk_widget_class_bind_template_callback (widget_class, prediction_cb);
  gtk_widget_class_bind_template_callback (widget_class, reference_cb);
  gtk_widget_class_bind_template_callback (widget_class, row_selected_cb);
}

static void
tess_results_page_init (TessResultsPage *self)
{
  self->updating = TRUE;
  gtk_widget_init_template (GTK_WIDGET (self));
  for (guint i = 0; i < G_N_ELEMENTS (self->columns); i++)
    self->columns[i] = gtk_size_group_new (GTK_SIZE_GROUP_HORIZONTAL);
  make_header (self);
  make_legend (self);
}

GtkWidget *
tess_results_page_new (TessWindow *window)
{
  TessResultsPage *self = g_object_new (TESS_TYPE_RESULTS_PAGE, NULL);

  self->window = window;
  self->results = g_object_ref (tess_results_of (window));
  g_signal_connect_object (self->results, "changed", G_CALLBACK (update_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->results, "evaluated", G_CALLBACK (update_cb), self, G_CONNECT_SWAPPED);
  self->updating = FALSE;
  update_cb (self);
  return GTK_WIDGET (self);
}
