#include "tess-run-view-private.h"

#include "tess-label-table.h"
#include "tess-run-alarms.h"

#include <math.h>

static const guint8 train_colour[3] = {0x61, 0xaf, 0xef}, validation_colour[3] = {0xe5, 0xa0, 0x4b},
                    mean_colour[3] = {0xd8, 0xd8, 0xd8};

/* The colours View gives labels that have none of their own: one table, one order. */
void
tess_run_view_class_colours (TessRunView *self, guint8 (*rgb)[3])
{
  GPtrArray *names = tess_run_model_label_names (self->model);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();

  for (guint c = 0; c < names->len && c < 256; c++)
    tess_label_table_add (table, c, g_ptr_array_index (names, c), NULL);
  for (guint c = 0; c < names->len && c < 256; c++)
    memcpy (rgb[c], tess_label_table_find (table, c)->rgba, 3);
}

static double *
column (TessRunView *self, const char *name)
{
  guint n = tess_run_model_n_rows (self->model);
  double *values = g_new (double, n + 1);

  for (guint i = 0; i < n; i++)
    values[i] = tess_run_model_value (self->model, i, name);
  return values;
}

static void
add (TessRunView *self, TessChart *chart, const char *column_name, const char *name, const guint8 rgb[3])
{
  g_autofree double *values = column (self, column_name);

  tess_chart_add_series (chart, name, rgb, values);
}

static void
add_dice (TessRunView *self)
{
  GPtrArray *names = tess_run_model_label_names (self->model);
  guint8 rgb[256][3] = {{0}};

  tess_run_view_class_colours (self, rgb);
  if (names->len > 2)
    add (self, self->dice, "mean_dice", _ ("mean"), mean_colour);
  for (guint c = 1; c < names->len; c++) {
    const char *name = g_ptr_array_index (names, c);
    g_autofree char *dice = g_strconcat ("dice_", name, NULL);

    add (self, self->dice, dice, name, rgb[c]);
  }
  tess_chart_set_range (self->dice, 0.0, 1.0);
}

/* Seconds an iteration: from the epoch's length, validation included. */
static void
add_speed (TessRunView *self)
{
  guint n = tess_run_model_n_rows (self->model);
  g_autofree double *values = g_new (double, n + 1);

  for (guint i = 0; i < n; i++) {
    const TessEpochRecord *r = tess_run_model_row (self->model, i);
    const TessEpochRecord *before = i > 0 ? tess_run_model_row (self->model, i - 1) : NULL;
    gint64 steps = r->iteration - (before ? before->iteration : 0);

    values[i] = steps > 0 ? r->seconds / (double)steps : NAN;
  }
  tess_chart_add_series (self->speed, _ ("s"), validation_colour, values);
}

static void
add_sentence (TessRunView *self, const char *sentence)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 8), *label = gtk_label_new (sentence);
  GtkWidget *icon = gtk_image_new_from_icon_name ("dialog-warning-symbolic");

  gtk_widget_add_css_class (icon, "warning");
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_widget_add_css_class (label, "caption");
  gtk_box_append (GTK_BOX (row), icon);
  gtk_box_append (GTK_BOX (row), label);
  gtk_box_append (self->alarms, row);
}

static void
show_alarms (TessRunView *self, GArray *alarms)
{
  TessChart *const charts[] = {self->loss, self->dice};
  const char *trouble = tess_run_model_get_trouble (self->model);
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->alarms))))
    gtk_box_remove (self->alarms, child);
  if (trouble)
    add_sentence (self, trouble);
  for (guint i = 0; i < alarms->len; i++) {
    const TessRunAlarm *alarm = &g_array_index (alarms, TessRunAlarm, i);

    for (guint c = 0; c < G_N_ELEMENTS (charts); c++)
      tess_chart_add_mark (charts[c], (double)alarm->epoch, alarm->sentence);
    add_sentence (self, alarm->sentence);
  }
  gtk_widget_set_visible (GTK_WIDGET (self->alarms), trouble || alarms->len > 0);
}

void
tess_run_view_update_curves (TessRunView *self)
{
  guint n = tess_run_model_n_rows (self->model);
  g_autofree double *epochs = column (self, "epoch");
  gint64 best = tess_run_best_epoch (self->model);
  g_autofree char *words = g_strdup_printf (_ ("best: epoch %d"), (int)best);
  g_autoptr (GArray) alarms = tess_run_alarms (self->model);
  TessChart *const charts[] = {self->loss, self->dice, self->rate, self->speed};

  for (guint i = 0; i < G_N_ELEMENTS (charts); i++) {
    tess_chart_set_message (charts[i], tess_run_model_is_alive (self->model) ? _ ("after the first epoch")
                                                                             : _ ("no epoch was finished"));
    tess_chart_begin (charts[i], n, epochs);
  }
  add (self, self->loss, "loss", _ ("training"), train_colour);
  add (self, self->loss, "val_loss", _ ("validation"), validation_colour);
  add_dice (self);
  add (self, self->rate, "rate", "", train_colour);
  add_speed (self);
  if (best > 0) {
    tess_chart_set_best (self->loss, (double)best, words);
    tess_chart_set_best (self->dice, (double)best, words);
  }
  show_alarms (self, alarms);
  for (guint i = 0; i < G_N_ELEMENTS (charts); i++)
    tess_chart_end (charts[i]);
}
