#include "tess-heads-view-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define FIRST_SHOWN 3u /* classes whose probabilities are shown to begin with */

enum { SCRUB, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessHeadsView, tess_heads_view, GTK_TYPE_WIDGET)

static void
column_clear (gpointer data)
{
  g_free (((TessHeadsTileColumn *)data)->caption);
}

static void
texture_free (gpointer data)
{
  if (data)
    g_object_unref (data);
}

/* Which epoch, slice, and how well every class is found there: what the pictures say, in words. */
static void
describe (TessHeadsView *self)
{
  static const char *const planes[] = {N_ ("Axial"), N_ ("Coronal"), N_ ("Sagittal")};
  g_autoptr (GString) text = g_string_new (NULL);
  TessHeadsData *shown = self->then ? self->then : self->now;

  if (!self->now) {
    g_string_append (text, self->message ? self->message : "");
  } else {
    g_string_append_printf (text, _ ("Epoch %d, iteration %d. %s slice %d of %d."), (int)shown->epoch,
                            (int)shown->iteration, _ (planes[self->plane]), (int)tess_heads_view_slice (self) + 1,
                            (int)tess_heads_n_slices (self->now, self->plane));
    for (guint c = 1; c < shown->n_classes && c < self->n_classes; c++)
      if (isfinite (shown->levels[0].dice[c]))
        g_string_append_printf (text, _ (" %s Dice %.2f."), self->names[c], shown->levels[0].dice[c]);
    if (self->then)
      g_string_append_printf (text, _ (" Beside it the newest, epoch %d."), (int)self->now->epoch);
  }
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, text->str, -1);
}

/* The pictures have changed. */
static void
invalidate (TessHeadsView *self)
{
  g_ptr_array_set_size (self->textures, 0);
  describe (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
add_column (TessHeadsView *self, TessHeadsColumn what, guint klass, gboolean then, char *caption)
{
  TessHeadsTileColumn column = {what, klass, then, caption};

  g_array_append_val (self->columns, column);
}

static char *
with_epoch (const char *name, const TessHeadsData *data)
{
  return g_strdup_printf (_ ("%s\nepoch %d"), name, (int)data->epoch);
}

/* image, truth, prediction, error, p(class) ...; with an earlier epoch, its prediction and error stand left of the
 * newest ones, and the probabilities are the earlier ones. */
static void
make_columns (TessHeadsView *self)
{
  g_array_set_size (self->columns, 0);
  if (!self->now)
    return;
  add_column (self, TESS_HEADS_IMAGE, 0, FALSE, g_strdup (_ ("image")));
  add_column (self, TESS_HEADS_TRUTH, 0, FALSE, g_strdup (_ ("truth")));
  if (self->then) {
    add_column (self, TESS_HEADS_PREDICTION, 0, TRUE, with_epoch (_ ("prediction"), self->then));
    add_column (self, TESS_HEADS_PREDICTION, 0, FALSE, with_epoch (_ ("prediction"), self->now));
    add_column (self, TESS_HEADS_ERROR, 0, TRUE, with_epoch (_ ("error"), self->then));
    add_column (self, TESS_HEADS_ERROR, 0, FALSE, with_epoch (_ ("error"), self->now));
  } else {
    add_column (self, TESS_HEADS_PREDICTION, 0, FALSE, g_strdup (_ ("prediction")));
    add_column (self, TESS_HEADS_ERROR, 0, FALSE, g_strdup (_ ("error")));
  }
  for (guint c = 1; c < self->n_classes && c < self->now->n_classes; c++)
    if (self->shown[c]) {
      g_autofree char *caption = g_strdup_printf ("p(%s)", self->names[c]);

      add_column (self, TESS_HEADS_PROBABILITY, c, self->then != NULL,
                  self->then ? with_epoch (caption, self->then) : g_strdup (caption));
    }
  self->focus_column = MIN (self->focus_column, (int)self->columns->len - 1);
  self->focus_row = MIN (self->focus_row, (int)self->now->n_levels - 1);
}

/* ---- hands ---- */

static void
set_slice (TessHeadsView *self, gint64 slice)
{
  gint64 n = tess_heads_n_slices (self->now, self->plane), before = tess_heads_view_slice (self);

  slice = CLAMP (slice, 0, n - 1);
  self->place = ((double)slice + 0.5) / (double)n;
  if (slice != before)
    invalidate (self);
}

static gboolean
scroll_cb (TessHeadsView *self, double dx, double dy, GtkEventController *controller)
{
  GdkModifierType state = gtk_event_controller_get_current_event_state (controller);
  int notches;

  if (!self->now || state & GDK_CONTROL_MASK)
    return GDK_EVENT_PROPAGATE;
  self->wheel += dy != 0.0 ? dy : dx; /* Shift turns the wheel sideways */
  notches = (int)self->wheel;
  self->wheel -= notches;
  if (notches == 0)
    return GDK_EVENT_STOP;
  if (state & GDK_ALT_MASK)
    g_signal_emit (self, signals[SCRUB], 0, -notches);
  else
    set_slice (self, tess_heads_view_slice (self) - notches * (state & GDK_SHIFT_MASK ? 5 : 1));
  return GDK_EVENT_STOP;
}

static void
set_enlarged (TessHeadsView *self, gboolean enlarged)
{
  if (self->enlarged == enlarged)
    return;
  self->enlarged = enlarged;
  invalidate (self);
}

static void
point_at (TessHeadsView *self, double x, double y)
{
  gboolean was = self->pointed;

  self->pointed =
      tess_heads_view_pick (self, x, y, &self->point_row, &self->point_column, &self->point_x, &self->point_y);
  if (was || self->pointed)
    gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
leave_cb (TessHeadsView *self)
{
  if (self->pointed)
    gtk_widget_queue_draw (GTK_WIDGET (self));
  self->pointed = FALSE;
}

static void
released_cb (TessHeadsView *self, int n_press, double x, double y)
{
  double across, down;
  int column, row;

  gtk_widget_grab_focus (GTK_WIDGET (self));
  if (!self->now)
    return;
  if (self->enlarged) {
    set_enlarged (self, FALSE);
  } else if (tess_heads_view_pick (self, x, y, &row, &column, &across, &down)) {
    self->focus_column = column;
    self->focus_row = row;
    set_enlarged (self, TRUE);
  }
  point_at (self, x, y);
}

static gboolean
slice_cb (GtkWidget *widget, GVariant *args, gpointer data)
{
  TessHeadsView *self = TESS_HEADS_VIEW (widget);
  int step = g_variant_get_int32 (args);

  if (!self->now)
    return FALSE;
  set_slice (self, ABS (step) > 1 ? (step < 0 ? 0 : G_MAXINT32) : tess_heads_view_slice (self) + step);
  return TRUE;
}

static gboolean
move_cb (GtkWidget *widget, GVariant *args, gpointer data)
{
  TessHeadsView *self = TESS_HEADS_VIEW (widget);
  int dx, dy;

  g_variant_get (args, "(ii)", &dx, &dy);
  if (!self->now || self->columns->len == 0)
    return FALSE;
  self->focus_column = CLAMP (self->focus_column + dx, 0, (int)self->columns->len - 1);
  self->focus_row = CLAMP (self->focus_row + dy, 0, (int)self->now->n_levels - 1);
  if (self->enlarged)
    invalidate (self);
  gtk_widget_queue_draw (widget);
  return TRUE;
}

static gboolean
enlarge_cb (GtkWidget *widget, GVariant *args, gpointer data)
{
  TessHeadsView *self = TESS_HEADS_VIEW (widget);
  gboolean back = g_variant_get_boolean (args);

  if (!self->now || (back && !self->enlarged))
    return FALSE;
  set_enlarged (self, !self->enlarged);
  return TRUE;
}

/* ---- contents ---- */

void
tess_heads_view_set_classes (TessHeadsView *self, guint n, char *const *names, const guint8 (*rgb)[3])
{
  g_strfreev (self->names);
  g_free (self->rgb);
  g_free (self->shown);
  self->n_classes = n;
  self->names = g_new0 (char *, n + 1);
  self->rgb = g_malloc0 (256 * sizeof *self->rgb); /* a snapshot may hold any class */
  self->shown = g_new0 (gboolean, MAX (n, 1));
  for (guint c = 0; c < n; c++) {
    self->names[c] = g_strdup (names[c]);
    memcpy (self->rgb[c], rgb[c], 3);
    self->shown[c] = c >= 1 && c <= FIRST_SHOWN;
  }
  make_columns (self);
  invalidate (self);
}

void
tess_heads_view_set_class_shown (TessHeadsView *self, guint klass, gboolean shown)
{
  g_return_if_fail (klass < self->n_classes);
  if (self->shown[klass] == !!shown)
    return;
  self->shown[klass] = !!shown;
  make_columns (self);
  invalidate (self);
}

gboolean
tess_heads_view_get_class_shown (TessHeadsView *self, guint klass)
{
  return klass < self->n_classes && self->shown[klass];
}

static gboolean
same_shape (const TessHeadsData *a, const TessHeadsData *b)
{
  if (a->n_levels != b->n_levels || a->n_classes != b->n_classes || memcmp (a->dim, b->dim, sizeof a->dim) != 0)
    return FALSE;
  return TRUE;
}

void
tess_heads_view_set_data (TessHeadsView *self, TessHeadsData *now, TessHeadsData *then)
{
  gboolean columns = !self->now != !now || self->then || then || !self->now || !same_shape (self->now, now);

  if (then && (!now || !same_shape (now, then)))
    then = NULL;
  if (now)
    tess_heads_data_ref (now);
  if (then)
    tess_heads_data_ref (then);
  g_clear_pointer (&self->now, tess_heads_data_unref);
  g_clear_pointer (&self->then, tess_heads_data_unref);
  self->now = now;
  self->then = then;
  if (!now)
    self->enlarged = FALSE;
  if (columns)
    make_columns (self);
  invalidate (self);
}

void
tess_heads_view_set_weights (TessHeadsView *self, guint n, const double *weights)
{
  for (guint h = 0; h < TESS_MAX_HEADS; h++)
    self->unused[h] = h < n && weights[h] <= 0.0;
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

void
tess_heads_view_set_plane (TessHeadsView *self, TessHeadsPlane plane)
{
  if (self->plane == plane)
    return;
  self->plane = plane;
  self->place = 0.5;
  invalidate (self);
}

void
tess_heads_view_set_mirrored (TessHeadsView *self, gboolean mirrored)
{
  if (self->mirrored == !!mirrored)
    return;
  self->mirrored = !!mirrored;
  invalidate (self);
}

void
tess_heads_view_set_message (TessHeadsView *self, const char *message)
{
  if (g_strcmp0 (self->message, message) == 0)
    return;
  g_free (self->message);
  self->message = g_strdup (message);
  describe (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

/* ---- widget ---- */

static void
tess_heads_view_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  tess_heads_view_draw (TESS_HEADS_VIEW (widget), snapshot);
}

static void
tess_heads_view_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                         int *minimum_baseline, int *natural_baseline)
{
  *minimum = orientation == GTK_ORIENTATION_HORIZONTAL ? 320 : 140;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 900 : 360;
}

static void
tess_heads_view_dispose (GObject *object)
{
  TessHeadsView *self = TESS_HEADS_VIEW (object);

  g_ptr_array_set_size (self->textures, 0);
  g_clear_pointer (&self->now, tess_heads_data_unref);
  g_clear_pointer (&self->then, tess_heads_data_unref);
  G_OBJECT_CLASS (tess_heads_view_parent_class)->dispose (object);
}

static void
tess_heads_view_finalize (GObject *object)
{
  TessHeadsView *self = TESS_HEADS_VIEW (object);

  g_strfreev (self->names);
  g_free (self->rgb);
  g_free (self->shown);
  g_free (self->message);
  g_array_unref (self->columns);
  g_ptr_array_unref (self->textures);
  G_OBJECT_CLASS (tess_heads_view_parent_class)->finalize (object);
}

static void
add_keys (GtkWidgetClass *klass)
{
  static const struct {
    guint key;
    int step;
  } slices[] = {{GDK_KEY_Page_Up, 1},       {GDK_KEY_KP_Page_Up, 1}, {GDK_KEY_Page_Down, -1},
                {GDK_KEY_KP_Page_Down, -1}, {GDK_KEY_Home, -2},      {GDK_KEY_End, 2}};
  static const struct {
    guint key;
    int dx, dy;
  } moves[] = {{GDK_KEY_Left, -1, 0}, {GDK_KEY_Right, 1, 0}, {GDK_KEY_Up, 0, -1}, {GDK_KEY_Down, 0, 1}};

  for (guint i = 0; i < G_N_ELEMENTS (slices); i++)
    gtk_widget_class_add_binding (klass, slices[i].key, 0, slice_cb, "i", slices[i].step);
  for (guint i = 0; i < G_N_ELEMENTS (moves); i++)
    gtk_widget_class_add_binding (klass, moves[i].key, 0, move_cb, "(ii)", moves[i].dx, moves[i].dy);
  gtk_widget_class_add_binding (klass, GDK_KEY_Return, 0, enlarge_cb, "b", FALSE);
  gtk_widget_class_add_binding (klass, GDK_KEY_KP_Enter, 0, enlarge_cb, "b", FALSE);
  gtk_widget_class_add_binding (klass, GDK_KEY_space, 0, enlarge_cb, "b", FALSE);
  gtk_widget_class_add_binding (klass, GDK_KEY_Escape, 0, enlarge_cb, "b", TRUE);
}

static void
tess_heads_view_class_init (TessHeadsViewClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_heads_view_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_heads_view_finalize;
  widget_class->snapshot = tess_heads_view_snapshot;
  widget_class->measure = tess_heads_view_measure;
  gtk_widget_class_set_css_name (widget_class, "heads");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
  add_keys (widget_class);
  signals[SCRUB] =
      g_signal_new ("scrub", TESS_TYPE_HEADS_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_INT);
}

static void
tess_heads_view_init (TessHeadsView *self)
{
  GtkEventController *scroll = gtk_event_controller_scroll_new (GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);
  GtkEventController *motion = gtk_event_controller_motion_new ();
  GtkGesture *click = gtk_gesture_click_new ();

  self->place = 0.5;
  self->columns = g_array_new (FALSE, FALSE, sizeof (TessHeadsTileColumn));
  g_array_set_clear_func (self->columns, column_clear);
  self->textures = g_ptr_array_new_with_free_func (texture_free);
  self->rgb = g_malloc0 (256 * sizeof *self->rgb);
  gtk_widget_set_focusable (GTK_WIDGET (self), TRUE);
  g_signal_connect_swapped (scroll, "scroll", G_CALLBACK (scroll_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), scroll);
  g_signal_connect_swapped (motion, "motion", G_CALLBACK (point_at), self);
  g_signal_connect_swapped (motion, "leave", G_CALLBACK (leave_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), motion);
  g_signal_connect_swapped (click, "released", G_CALLBACK (released_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  _ ("Heads of the validation sample"), -1);
}

GtkWidget *
tess_heads_view_new (void)
{
  return g_object_new (TESS_TYPE_HEADS_VIEW, NULL);
}
