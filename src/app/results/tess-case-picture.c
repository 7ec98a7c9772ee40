#include "tess-case-picture.h"

#include "tess-comparison.h"
#include "tess-format-registry.h"
#include "tess-plane-sampler.h"

#include <cairo.h>
#include <math.h>
#include <string.h>

#define SIZE 44    /* on screen */
#define DETAIL 112 /* pixels drawn, for screens with more of them */
#define KEY "tess-case-picture"

/* --- drawing ------------------------------------------------------------------------------------------------------ */

/* The axis of the grid that runs most nearly from feet to head. */
static int
slice_axis (const TessAffine *affine)
{
  double spacing[3], best = -1.0;
  int axis = 2;

  tess_affine_spacing (affine, spacing);
  for (int a = 0; a < 3; a++) {
    double along = spacing[a] > 0.0 ? fabs (affine->m[2][a]) / spacing[a] : 0.0;

    if (along > best) {
      best = along;
      axis = a;
    }
  }
  return axis;
}

/* The slice with most voxels that differ; where none does, with most that agree; the middle of an empty case. */
static gint64
worst_slice (const TessVolume *difference, int axis)
{
  const gint64 *dim = tess_volume_dim (difference);
  const guint8 *data = tess_volume_data (difference);
  g_autofree gint64 *score = g_new0 (gint64, (gsize)dim[axis]);
  gint64 best = dim[axis] / 2;

  for (gint64 z = 0, i = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++)
      for (gint64 x = 0; x < dim[0]; x++, i++) {
        const gint64 at[3] = {x, y, z};

        if (data[i] != TESS_DIFFERENCE_NONE)
          score[at[axis]] += data[i] == TESS_DIFFERENCE_AGREE ? 1 : (gint64)1 << 24;
      }
  for (gint64 i = 0; i < dim[axis]; i++)
    if (score[i] > score[best])
      best = i;
  return best;
}

static TessVolume *
load (const char *path, gboolean labels, GError **error)
{
  TessVolume *volume = tess_volume_load (path, NULL, error);

  if (volume && labels)
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  return volume;
}

static guint32
blend (double grey, gint32 kind)
{
  const guint8 *c = tess_difference_colour (kind > 0 && kind < TESS_N_DIFFERENCES ? (TessDifference)kind : 0);
  double opacity = kind <= 0 ? 0.0 : kind == TESS_DIFFERENCE_AGREE ? 0.45 : 0.9;
  guint32 pixel = 0xff;

  for (int i = 0; i < 3; i++)
    pixel = pixel << 8 | (guint32)(255.0 * grey * (1.0 - opacity) + c[i] * opacity + 0.5);
  return pixel;
}

static guint8 *
draw (TessVolume *scan, TessVolume *difference, int size)
{
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessPane pane = {.plane = TESS_PLANE_AXIAL, .width = size, .height = size};
  const TessAffine *affine = tess_volume_affine (difference);
  int axis = slice_axis (affine);
  gsize n = (gsize)size * (gsize)size;
  g_autofree float *values = g_new0 (float, n);
  g_autofree gint32 *kinds = g_new0 (gint32, n);
  guint32 *pixels = g_new (guint32, n);
  TessLayer *below = scan ? tess_scene_add (scene, scan, "") : NULL, *above = tess_scene_add (scene, difference, "");
  double voxel[3];
  TessPaneMap map;

  tess_scene_reset (scene);
  for (int a = 0; a < 3; a++)
    voxel[a] = (double)(tess_volume_dim (difference)[a] / 2);
  voxel[axis] = (double)worst_slice (difference, axis);
  tess_affine_apply (affine, voxel, scene->cursor);
  tess_pane_fit (&pane, scene);
  tess_pane_map (&pane, scene, &map);
  if (below)
    tess_plane_sample_values (below, &map, size, size, values);
  tess_plane_sample_labels (above, &map, size, size, kinds);
  for (gsize i = 0; i < n; i++) {
    double range = below ? fmax (below->upper - below->lower, 1e-12) : 1.0;
    double v = below ? (values[i] - below->lower) / range : 0.0;

    pixels[i] = blend (isnan (v) ? 0.0 : CLAMP (v, 0.0, 1.0), kinds[i]);
  }
  return (guint8 *)pixels;
}

guint8 *
tess_case_picture_draw (TessEvaluationCase *c, int size, GError **error)
{
  const char *image = tess_evaluation_case_get_image (c);
  g_autoptr (TessVolume) reference = load (tess_evaluation_case_get_reference (c), TRUE, error);
  g_autoptr (TessVolume) prediction = reference ? load (tess_evaluation_case_get_prediction (c), TRUE, error) : NULL;
  g_autoptr (TessVolume) difference = NULL, scan = NULL;

  if (!prediction)
    return NULL;
  difference = tess_difference_new (reference, prediction, 0, NULL, error);
  if (!difference)
    return NULL;
  scan = image ? load (image, FALSE, NULL) : NULL; /* without it the labels are shown alone */
  return draw (scan, difference, size);
}

/* --- one after the other ------------------------------------------------------------------------------------------ */

struct _TessCasePicture {
  GtkWidget parent_instance;

  TessEvaluationCase *item;
};

G_DEFINE_FINAL_TYPE (TessCasePicture, tess_case_picture, GTK_TYPE_WIDGET)

static GQueue waiting = G_QUEUE_INIT; /* TessCasePicture, not owned: they leave when they lose their case */
static gboolean working;

static void draw_next (void);

static void
draw_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GError *error = NULL;
  guint8 *pixels = tess_case_picture_draw (source, DETAIL, &error);

  if (pixels)
    g_task_return_pointer (task, pixels, g_free);
  else
    g_task_return_error (task, error);
}

static void
drawn_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  guint8 *pixels = g_task_propagate_pointer (G_TASK (result), NULL);
  gsize n = (gsize)DETAIL * DETAIL * 4;
  g_autoptr (GBytes) bytes = pixels ? g_bytes_new_take (pixels, n) : NULL;

  working = FALSE;
  /* A case that cannot be drawn stays without a picture: what is wrong with it is said when it is opened. */
  if (bytes)
    g_object_set_data_full (source, KEY,
                            gdk_memory_texture_new (DETAIL, DETAIL, GDK_MEMORY_DEFAULT, bytes, (gsize)DETAIL * 4),
                            g_object_unref);
  if (bytes && data && TESS_CASE_PICTURE (data)->item == TESS_EVALUATION_CASE (source))
    gtk_widget_queue_draw (data);
  g_clear_object (&data);
  draw_next ();
}

static void
draw_next (void)
{
  TessCasePicture *self = working ? NULL : g_queue_pop_head (&waiting);
  g_autoptr (GTask) task = NULL;

  if (!self)
    return;
  working = TRUE;
  task = g_task_new (self->item, NULL, drawn_cb, g_object_ref (self));
  g_task_set_priority (task, G_PRIORITY_LOW);
  g_task_run_in_thread (task, draw_thread);
}

void
tess_case_picture_set (TessCasePicture *self, TessEvaluationCase *c)
{
  g_queue_remove (&waiting, self);
  g_set_object (&self->item, c);
  if (c && !g_object_get_data (G_OBJECT (c), KEY)) {
    g_queue_push_tail (&waiting, self);
    draw_next ();
  }
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

/* --- the widget --------------------------------------------------------------------------------------------------- */

static void
tess_case_picture_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  TessCasePicture *self = TESS_CASE_PICTURE (widget);
  GdkTexture *texture = self->item ? g_object_get_data (G_OBJECT (self->item), KEY) : NULL;
  graphene_rect_t area =
      GRAPHENE_RECT_INIT (0.0f, 0.0f, (float)gtk_widget_get_width (widget), (float)gtk_widget_get_height (widget));
  GskRoundedRect frame;

  gsk_rounded_rect_init_from_rect (&frame, &area, 6.0f);
  gtk_snapshot_push_rounded_clip (snapshot, &frame);
  gtk_snapshot_append_color (snapshot, &(GdkRGBA){0.0f, 0.0f, 0.0f, 1.0f}, &area);
  if (texture)
    gtk_snapshot_append_texture (snapshot, texture, &area);
  gtk_snapshot_pop (snapshot);
}

static void
tess_case_picture_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                           int *minimum_baseline, int *natural_baseline)
{
  *minimum = *natural = SIZE;
  *minimum_baseline = *natural_baseline = -1;
}

static void
tess_case_picture_dispose (GObject *object)
{
  TessCasePicture *self = TESS_CASE_PICTURE (object);

  g_queue_remove (&waiting, self);
  g_clear_object (&self->item);
  G_OBJECT_CLASS (tess_case_picture_parent_class)->dispose (object);
}

static void
tess_case_picture_class_init (TessCasePictureClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_case_picture_dispose;
  widget_class->snapshot = tess_case_picture_snapshot;
  widget_class->measure = tess_case_picture_measure;
  /* Says nothing that the row's numbers do not. */
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_PRESENTATION);
}

static void
tess_case_picture_init (TessCasePicture *self)
{
  gtk_widget_set_valign (GTK_WIDGET (self), GTK_ALIGN_CENTER);
  gtk_widget_set_halign (GTK_WIDGET (self), GTK_ALIGN_START);
}
