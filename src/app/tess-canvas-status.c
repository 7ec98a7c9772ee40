#include "tess-canvas-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The line of text for the status bar, which is the canvas's accessible description too. */

static void
append_layer (TessCanvas *self, GString *text, TessLayer *layer, const double world[3])
{
  double value = tess_layer_value_at (layer, world);

  if (isnan (value))
    return;
  if (layer->lut != TESS_LUT_LABELS) {
    g_string_append_printf (text, "   %s %.5g", layer->name, value);
  } else if (value != 0.0) {
    const TessLabel *label = tess_label_table_find (layer->labels, (gint64)value);
    gboolean hidden = label && g_hash_table_contains (layer->hidden, GINT_TO_POINTER ((gint32)label->value));
    g_autofree char *unnamed = g_strdup_printf (_ ("label %" PRId64), (gint64)value);

    g_string_append_printf (text, "   %s", unnamed);
    if (label && !hidden && strcmp (label->name, unnamed) != 0)
      g_string_append_printf (text, " %s", label->name);
  }
}

/* The line for the status bar: voxel, position, value and label under the pointer, or under the crosshair when the
 * pointer is elsewhere; then window and zoom (device pixels a voxel).
 */
static char *
describe (TessCanvas *self)
{
  GString *text = g_string_new (NULL);
  TessScene *scene = self->study ? tess_study_get_scene (self->study) : NULL;
  TessLayer *layer = scene ? tess_scene_main (scene) : NULL, *active;
  TessPane panes[TESS_N_PLANES];
  double world[3], p[3], half[3], spacing[3];
  g_autofree char *position = NULL;
  gboolean inside = TRUE;
  TessAffine inverse;
  guint n;

  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return g_string_free (text, FALSE);
  if (!self->pointer_inside || !tess_canvas_world_at (self, self->pointer[0], self->pointer[1], world))
    memcpy (world, scene->cursor, sizeof world);
  tess_affine_apply (&inverse, world, p);
  tess_layer_rounding (layer, half);
  for (int a = 0; a < 3; a++) {
    p[a] = floor (p[a] + half[a]);
    inside = inside && p[a] >= 0.0 && p[a] < (double)tess_volume_dim (layer->volume)[a];
  }
  position = tess_format_position (world);
  if (inside) /* elsewhere there is no voxel, only a place */
    g_string_append_printf (text, "%.0f, %.0f, %.0f   ", p[0], p[1], p[2]);
  g_string_append (text, position);
  for (guint i = 0; i < scene->layers->len; i++) {
    TessLayer *l = g_ptr_array_index (scene->layers, i);

    if (l->visible)
      append_layer (self, text, l, world);
  }
  active = tess_study_get_active (self->study);
  active = active && active->lut != TESS_LUT_LABELS ? active : layer;
  if (active->lut != TESS_LUT_LABELS)
    g_string_append_printf (text, "      W %.4g L %.4g", active->upper - active->lower,
                            0.5 * (active->upper + active->lower));
  tess_affine_spacing (tess_volume_affine (layer->volume), spacing);
  n = tess_canvas_panes (self, panes);
  for (guint i = 0; i < n; i++)
    if (((int)panes[i].plane == self->plane || n == 1) && panes[i].zoom > 0.0) /* laid out */
      g_string_append_printf (text, _ ("   zoom %.1fx"),
                              panes[i].zoom * fmin (spacing[0], fmin (spacing[1], spacing[2])));
  return g_string_free (text, FALSE);
}

static gboolean
describe_cb (gpointer data)
{
  TessCanvas *self = data;

  self->describe_timer = 0;
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION,
                                  self->status ? self->status : "", -1);
  return G_SOURCE_REMOVE;
}

static gboolean
status_cb (GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
  TessCanvas *self = TESS_CANVAS (widget);
  g_autofree char *status = describe (self);

  self->status_tick = 0;
  tess_canvas_sync_actions (self);
  if (g_strcmp0 (status, self->status) != 0) {
    g_free (self->status);
    self->status = g_steal_pointer (&status);
    g_object_notify (G_OBJECT (self), "status");
    if (!self->describe_timer) /* screen readers need no sixty a second */
      self->describe_timer = g_timeout_add (100, describe_cb, self);
  }
  return G_SOURCE_REMOVE;
}

/* Once a frame, whatever happens in between. */
void
tess_canvas_queue_status (TessCanvas *self)
{
  if (!self->status_tick)
    self->status_tick = gtk_widget_add_tick_callback (GTK_WIDGET (self), status_cb, NULL, NULL);
}
