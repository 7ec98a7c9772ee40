#include "tess-train-setup-private.h"

#include "tess-label-table.h"

#include <math.h>
#include <string.h>

void
tess_train_setup_hide_plan (TessTrainSetup *self)
{
  for (guint i = 0; i < self->plan_rows->len; i++)
    adw_preferences_group_remove (self->plan_group, g_ptr_array_index (self->plan_rows, i));
  g_ptr_array_set_size (self->plan_rows, 0);
}

/* "patch 40 x 56 x 40: covers ..." -> the number as title, why as subtitle. */
static GtkWidget *
reason_row (const char *reason)
{
  const char *colon = strstr (reason, ": ");
  g_autofree char *title = colon ? g_strndup (reason, (gsize)(colon - reason)) : g_strdup (reason);
  g_autofree char *first = g_utf8_strup (title, 1), *whole = NULL;
  GtkWidget *row = adw_action_row_new ();

  whole = g_strconcat (first, g_utf8_next_char (title), NULL);
  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (row), FALSE);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), whole);
  adw_action_row_set_title_lines (ADW_ACTION_ROW (row), 0);
  adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (row), 0);
  if (colon)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), colon + 2);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), FALSE);
  return row;
}

void
tess_train_setup_show_plan (TessTrainSetup *self)
{
  tess_train_setup_hide_plan (self);
  for (guint i = 0; i < self->plan->reasons->len; i++) {
    GtkWidget *row = reason_row (g_ptr_array_index (self->plan->reasons, i));

    adw_preferences_group_add (self->plan_group, row);
    g_ptr_array_add (self->plan_rows, row);
  }
}

void
tess_train_setup_show_labels (TessTrainSetup *self)
{
  const TessDataset *dataset = self->look->dataset;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->labels))))
    gtk_flow_box_remove (self->labels, child);
  for (guint l = 0; l < dataset->n_labels; l++)
    tess_label_table_add (table, l, dataset->label_names[l], NULL);
  for (guint l = 1; l < dataset->n_labels; l++) {
    const TessLabel *label = tess_label_table_find (table, l);
    GtkWidget *widget = gtk_label_new (NULL);
    g_autofree char *markup = g_markup_printf_escaped ("<span foreground=\"#%02x%02x%02x\">\342\227\217</span> %u  %s",
                                                       label->rgba[0], label->rgba[1], label->rgba[2], l, label->name);

    gtk_label_set_markup (GTK_LABEL (widget), markup);
    gtk_label_set_xalign (GTK_LABEL (widget), 0.0f);
    gtk_label_set_ellipsize (GTK_LABEL (widget), PANGO_ELLIPSIZE_END);
    gtk_flow_box_insert (self->labels, widget, -1);
    gtk_widget_set_focusable (gtk_widget_get_parent (widget), FALSE);
  }
}

/* Does the patch or the batch asked for differ from the plan's? */
static gboolean
is_patch_changed (TessTrainSetup *self)
{
  for (guint a = 0; self->plan && a < 3; a++)
    if (gtk_spin_button_get_value_as_int (self->patch[a]) != (int)self->plan->patch[a])
      return TRUE;
  return FALSE;
}

/* The row shows four digits of it. */
gboolean
tess_train_setup_rate_changed (TessTrainSetup *self)
{
  return self->plan &&
         fabs (gtk_spin_button_get_value (self->rate) - self->plan->training.learning_rate) > 0.5e-4 * (1.0 + 1e-9);
}

void
tess_train_setup_update (TessTrainSetup *self)
{
  gboolean planned = self->plan != NULL, busy = self->job != NULL, patch = is_patch_changed (self);
  gboolean batch = planned && gtk_spin_button_get_value_as_int (self->batch) != (int)self->plan->training.batch_size;
  gboolean iterations =
      planned && gtk_spin_button_get_value_as_int (self->iterations) != (int)self->plan->training.iterations_per_epoch;
  gboolean again = planned && (patch || batch || !self->plan_fits_device);

  gtk_widget_set_visible (self->patch_reset, patch);
  gtk_widget_set_visible (self->batch_reset, batch);
  gtk_widget_set_visible (self->iterations_reset, iterations);
  gtk_widget_set_visible (self->rate_reset, tess_train_setup_rate_changed (self));
  gtk_widget_set_visible (GTK_WIDGET (self->again_row), again);
  gtk_widget_set_visible (GTK_WIDGET (self->planning_row), busy);
  gtk_widget_set_visible (GTK_WIDGET (self->news_group),
                          busy || gtk_widget_get_visible (GTK_WIDGET (self->trouble_row)));
  gtk_widget_set_visible (GTK_WIDGET (self->plan_group), planned && !busy);
  gtk_spinner_set_spinning (self->spinner, busy);
  gtk_widget_set_sensitive (GTK_WIDGET (self->device), !busy);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "setup.plan", self->look && !busy);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "setup.cancel-plan", busy);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "setup.start", planned && !busy && !again);
}
