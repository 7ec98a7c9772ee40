#include "tess-study-private.h"
#include "tess-format.h"
#include "tess-patch-grid.h"
#include "tess-pane.h"

#include <glib/gi18n-lib.h>
#include <math.h>

enum { PROP_TITLE = 1, PROP_SUBTITLE, PROP_HAS_IMAGE, N_PROPS };

enum { CHANGED, CURSOR_CHANGED, LAYERS_CHANGED, ACTIVE_CHANGED, SURVEYED, FINDINGS_CHANGED, N_SIGNALS };

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessStudy, tess_study, G_TYPE_OBJECT)

static void
survey_free_cb (gpointer data)
{
  tess_survey_free (data);
}

static void
tess_study_finalize (GObject *object)
{
  TessStudy *self = TESS_STUDY (object);

  if (self->opening)
    tess_progress_cancel (self->opening);
  g_clear_pointer (&self->opening, tess_progress_unref);
  g_clear_pointer (&self->waiting, g_ptr_array_unref);
  tess_study_forget_before (self);
  g_clear_pointer (&self->grid, tess_patch_grid_free);
  g_clear_pointer (&self->surveys, g_hash_table_unref);
  g_clear_pointer (&self->scene, tess_scene_free);
  g_free (self->path);
  g_free (self->title);
  g_free (self->subtitle);
  g_free (self->findings_name);
  G_OBJECT_CLASS (tess_study_parent_class)->finalize (object);
}

static void
tess_study_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TessStudy *self = TESS_STUDY (object);

  switch (id) {
  case PROP_TITLE:
    g_value_set_string (value, self->title);
    break;
  case PROP_SUBTITLE:
    g_value_set_string (value, self->subtitle);
    break;
  case PROP_HAS_IMAGE:
    g_value_set_boolean (value, tess_study_get_has_image (self));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_study_class_init (TessStudyClass *klass)
{
  static const char *const names[N_SIGNALS] = {"changed",        "cursor-changed", "layers-changed",
                                               "active-changed", "surveyed",       "findings-changed"};
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  object_class->finalize = tess_study_finalize;
  object_class->get_property = tess_study_get_property;
  properties[PROP_TITLE] = g_param_spec_string ("title", NULL, NULL, NULL, flags);
  properties[PROP_SUBTITLE] = g_param_spec_string ("subtitle", NULL, NULL, NULL, flags);
  properties[PROP_HAS_IMAGE] = g_param_spec_boolean ("has-image", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
  for (guint i = 0; i < N_SIGNALS; i++)
    signals[i] = g_signal_new (names[i], TESS_TYPE_STUDY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
tess_study_init (TessStudy *self)
{
  self->scene = tess_scene_new ();
  self->surveys = g_hash_table_new_full (NULL, NULL, NULL, survey_free_cb);
  self->waiting = g_ptr_array_new_with_free_func (g_object_unref);
}

TessStudy *
tess_study_new (void)
{
  return g_object_new (TESS_TYPE_STUDY, NULL);
}

TessScene *
tess_study_get_scene (TessStudy *self)
{
  return self->scene;
}

const char *
tess_study_get_title (TessStudy *self)
{
  return self->title;
}

const char *
tess_study_get_subtitle (TessStudy *self)
{
  return self->subtitle;
}

gboolean
tess_study_get_has_image (TessStudy *self)
{
  return self->scene->layers->len > 0;
}

const char *
tess_study_get_path (TessStudy *self)
{
  return tess_study_get_has_image (self) ? self->path : NULL;
}

char **
tess_study_dup_notes (TessStudy *self)
{
  g_autoptr (GStrvBuilder) notes = g_strv_builder_new ();
  guint n = tess_study_is_reading (self) ? 0 : self->scene->layers->len; /* the reader may have more to say */

  for (guint i = 0; i < n; i++) {
    TessLayer *layer = g_ptr_array_index (self->scene->layers, i);

    for (const char *const *note = tess_volume_warnings (layer->volume); *note; note++) {
      g_autofree char *named = n > 1 ? g_strdup_printf ("%s: %s", layer->name, *note) : g_strdup (*note);

      g_strv_builder_add (notes, named);
    }
  }
  return g_strv_builder_end (notes);
}

/* Is the scan on the canvas still being read? Then nothing may be computed from it yet. */
gboolean
tess_study_is_reading (TessStudy *self)
{
  return self->before != NULL;
}

/* Another number whenever all layers have made room for another scan or for nothing. */
guint64
tess_study_get_serial (TessStudy *self)
{
  return self->serial;
}

/* What the scan is in one line: "181 x 217 x 181 · 1.0 mm". */
static char *
describe (const TessLayer *layer)
{
  g_autofree char *dims = tess_format_dims (tess_volume_dim (layer->volume), 3);
  gint64 n = tess_volume_n_channels (layer->volume);
  GString *text = g_string_new (dims);
  double s[3];

  tess_affine_spacing (tess_volume_affine (layer->volume), s);
  if (fabs (s[0] - s[1]) < 0.005 && fabs (s[0] - s[2]) < 0.005)
    g_string_append_printf (text, " · %.3g mm", s[0]);
  else
    g_string_append_printf (text, " · %.3g x %.3g x %.3g mm", s[0], s[1], s[2]);
  if (n > 1)
    g_string_append_printf (text, g_dngettext (GETTEXT_PACKAGE, " · %d volume", " · %d volumes", (gulong)n), (int)n);
  return g_string_free (text, FALSE);
}

static void
update_texts (TessStudy *self)
{
  TessLayer *layer = tess_scene_main (self->scene);

  g_free (self->title);
  g_free (self->subtitle);
  self->title = layer ? g_strdup (layer->name) : NULL;
  self->subtitle = layer ? describe (layer) : NULL;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TITLE]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SUBTITLE]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HAS_IMAGE]);
}

static void
update_grid (TessStudy *self)
{
  TessLayer *layer = tess_scene_main (self->scene);

  g_clear_pointer (&self->grid, tess_patch_grid_free);
  if (layer && self->patch[0] > 0)
    self->grid = tess_patch_grid_new (tess_volume_dim (layer->volume), self->patch, self->stride, NULL);
}

/* Patches of at most 96 voxels an axis that overlap by half, until somebody asks for others. */
static void
default_grid (TessStudy *self)
{
  TessLayer *layer = tess_scene_main (self->scene);

  for (int a = 0; layer && a < 3; a++) {
    self->patch[a] = MIN (tess_volume_dim (layer->volume)[a], 96);
    self->stride[a] = MAX (self->patch[a] / 2, 1);
  }
  update_grid (self);
}

static gboolean
has_layer (TessStudy *self, const TessLayer *layer)
{
  return layer && g_ptr_array_find (self->scene->layers, layer, NULL);
}

static void
layers_changed (TessStudy *self)
{
  if (!has_layer (self, self->active)) {
    self->active = tess_scene_main (self->scene);
    g_signal_emit (self, signals[ACTIVE_CHANGED], 0);
  }
  g_signal_emit (self, signals[LAYERS_CHANGED], 0);
  tess_study_emit_changed (self);
}

void
tess_study_emit_completed (TessStudy *self)
{
  g_signal_emit (self, signals[SURVEYED], 0);
  layers_changed (self);
}

/* The view and all that depends on the main layer start anew when another one takes its place. */
static void
main_changed (TessStudy *self)
{
  tess_scene_reset (self->scene);
  default_grid (self);
  update_texts (self);
  g_signal_emit (self, signals[CURSOR_CHANGED], 0);
}

void
tess_study_take_layer (TessStudy *self, TessLayer *layer, guint position)
{
  TessLayer *before = tess_scene_main (self->scene);

  tess_scene_insert (self->scene, layer, position);
  if (tess_scene_main (self->scene) != before)
    main_changed (self);
  layers_changed (self);
}

void
tess_study_drop_layers (TessStudy *self)
{
  tess_study_forget_before (self);
  self->serial = ++self->last_serial;
  self->active = NULL;
  g_ptr_array_set_size (self->scene->layers, 0);
  g_hash_table_remove_all (self->surveys);
  tess_scene_set_findings (self->scene, NULL);
  g_clear_pointer (&self->findings_name, g_free);
}

/* No scan, and nothing of one. Tells everybody. */
void
tess_study_show_nothing (TessStudy *self)
{
  tess_study_drop_layers (self);
  g_clear_pointer (&self->path, g_free);
  g_clear_pointer (&self->grid, tess_patch_grid_free);
  self->grid_shown = FALSE;
  update_texts (self);
  layers_changed (self);
}

/**
 * tess_study_close:
 *
 * Back to nothing; what is still being read is void.
 */
void
tess_study_close (TessStudy *self)
{
  self->generation++;
  if (self->opening)
    tess_progress_cancel (self->opening);
  g_clear_pointer (&self->opening, tess_progress_unref);
  tess_study_show_nothing (self);
}

typedef struct {
  TessLayer *copy;       /* of the volume and names: the layer itself may go meanwhile */
  const void *layer;     /* compared, never followed */
  guint64 voxels_serial; /* of that very layer */
} Surveying;

static void
surveying_free (gpointer data)
{
  Surveying *s = data;

  tess_layer_free (s->copy);
  g_free (s);
}

static void
survey_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Surveying *s = task_data;
  GError *error = NULL;
  TessSurvey *survey = tess_survey_new (s->copy, NULL, &error);

  if (survey)
    g_task_return_pointer (task, survey, survey_free_cb);
  else
    g_task_return_error (task, error);
}

static void
surveyed_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessStudy *self = TESS_STUDY (source);
  Surveying *s = g_task_get_task_data (G_TASK (result));
  g_autoptr (TessSurvey) survey = g_task_propagate_pointer (G_TASK (result), NULL);
  TessLayer *layer = NULL;

  for (guint i = 0; i < self->scene->layers->len && !layer; i++) {
    TessLayer *here = g_ptr_array_index (self->scene->layers, i);

    if (here == s->layer && here->voxels_serial == s->voxels_serial)
      layer = here;
  }
  if (!survey || !layer)
    return;
  if (survey->labels)
    tess_layer_set_labels (layer, survey->labels);
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&survey));
  g_signal_emit (self, signals[SURVEYED], 0);
  tess_study_emit_changed (self);
}

/* A label layer of which little is known yet: a worker looks at every voxel of it. */
static void
start_survey (TessStudy *self, TessLayer *layer)
{
  g_autoptr (GTask) task = NULL;
  Surveying *s;

  g_hash_table_insert (self->surveys, layer, tess_survey_new_quick (layer));
  if (layer->lut != TESS_LUT_LABELS)
    return;
  task = g_task_new (self, NULL, surveyed_cb, NULL);
  s = g_new0 (Surveying, 1);
  s->copy = tess_layer_new (layer->volume, layer->name);
  s->layer = layer;
  s->voxels_serial = layer->voxels_serial;
  g_task_set_task_data (task, s, surveying_free);
  g_task_run_in_thread (task, survey_thread);
}

/**
 * tess_study_add_layer:
 *
 * Puts @volume on top; takes a reference. A label volume's names, colours and volumes come in a moment later
 * ("surveyed"), because a worker has to look at every voxel. Returns: (transfer none): NULL when there is no room.
 */
TessLayer *
tess_study_add_layer (TessStudy *self, TessVolume *volume, const char *name)
{
  TessLayer *layer;

  if (self->scene->layers->len >= TESS_MAX_LAYERS)
    return NULL;
  layer = tess_layer_new (volume, name);
  start_survey (self, layer);
  tess_study_take_layer (self, layer, self->scene->layers->len);
  return layer;
}

void
tess_study_remove_layer (TessStudy *self, TessLayer *layer)
{
  TessLayer *stolen = tess_study_steal_layer (self, layer, NULL);

  if (stolen)
    tess_study_discard_layer (self, stolen);
}

/* Ends a layer that was taken out, and what is known about it. */
void
tess_study_discard_layer (TessStudy *self, TessLayer *layer)
{
  g_hash_table_remove (self->surveys, layer);
  tess_layer_free (layer);
}

/* (transfer full): put it back with tess_study_insert_layer() or end it with tess_study_discard_layer(). */
TessLayer *
tess_study_steal_layer (TessStudy *self, TessLayer *layer, guint *position)
{
  TessLayer *before = tess_scene_main (self->scene), *stolen = tess_scene_steal (self->scene, layer, position);

  if (!stolen)
    return NULL;
  if (before == stolen && tess_scene_main (self->scene))
    main_changed (self);
  else if (!tess_scene_main (self->scene))
    update_texts (self);
  layers_changed (self);
  return stolen;
}

void
tess_study_insert_layer (TessStudy *self, TessLayer *layer, guint position)
{
  if (self->scene->layers->len >= TESS_MAX_LAYERS) {
    tess_study_discard_layer (self, layer);
    return;
  }
  if (!g_hash_table_contains (self->surveys, layer))
    start_survey (self, layer);
  tess_study_take_layer (self, layer, position);
}

TessLayer *
tess_study_top_labels (TessStudy *self)
{
  for (guint i = self->scene->layers->len; i > 0; i--) {
    TessLayer *layer = g_ptr_array_index (self->scene->layers, i - 1);

    if (layer->lut == TESS_LUT_LABELS)
      return layer;
  }
  return NULL;
}

TessLayer *
tess_study_get_active (TessStudy *self)
{
  return has_layer (self, self->active) ? self->active : tess_scene_main (self->scene);
}

void
tess_study_set_active (TessStudy *self, TessLayer *layer)
{
  if (self->active == layer || !has_layer (self, layer))
    return;
  self->active = layer;
  g_signal_emit (self, signals[ACTIVE_CHANGED], 0);
}

const TessLabelFact *
tess_study_peek_labels (TessStudy *self, TessLayer *layer, guint *n)
{
  TessSurvey *survey = layer ? g_hash_table_lookup (self->surveys, layer) : NULL;

  *n = survey && survey->facts ? survey->facts->len : 0;
  return survey && survey->facts ? (const TessLabelFact *)(void *)survey->facts->data : NULL;
}

const TessLabelFact *
tess_study_find_label (TessStudy *self, TessLayer *layer, gint64 value)
{
  guint n, lo = 0, hi;
  const TessLabelFact *facts = tess_study_peek_labels (self, layer, &n);

  for (hi = n; lo < hi;) {
    guint mid = lo + (hi - lo) / 2;

    if (facts[mid].value < value)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < n && facts[lo].value == value ? &facts[lo] : NULL;
}

void
tess_study_get_auto_window (TessStudy *self, TessLayer *layer, double *lower, double *upper)
{
  TessSurvey *survey = g_hash_table_lookup (self->surveys, layer);

  *lower = survey ? survey->lower : layer->lower;
  *upper = survey ? survey->upper : layer->upper;
}

gboolean
tess_study_is_hounsfield (TessStudy *self, TessLayer *layer)
{
  TessSurvey *survey = layer ? g_hash_table_lookup (self->surveys, layer) : NULL;

  return survey && survey->hounsfield;
}

void
tess_study_set_findings (TessStudy *self, TessFindings *findings, const char *name)
{
  char *old = self->findings_name;

  self->findings_name = findings ? g_strdup (name) : NULL;
  g_free (old);
  tess_scene_set_findings (self->scene, findings);
  g_signal_emit (self, signals[FINDINGS_CHANGED], 0);
  tess_study_emit_changed (self);
}

const char *
tess_study_get_findings_name (TessStudy *self)
{
  return self->findings_name;
}

void
tess_study_emit_changed (TessStudy *self)
{
  g_signal_emit (self, signals[CHANGED], 0);
}

/* The cursor goes to the main layer's nearest voxel, so that every pane shows a slice as it was acquired. */
void
tess_study_set_cursor (TessStudy *self, const double world[3])
{
  TessLayer *layer = tess_scene_main (self->scene);
  TessAffine inverse;
  double p[3], half[3];

  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return;
  tess_affine_apply (&inverse, world, p);
  tess_layer_rounding (layer, half);
  for (int a = 0; a < 3; a++)
    p[a] = CLAMP (floor (p[a] + half[a]), 0.0, (double)(tess_volume_dim (layer->volume)[a] - 1));
  tess_affine_apply (tess_volume_affine (layer->volume), p, self->scene->cursor);
  g_signal_emit (self, signals[CURSOR_CHANGED], 0);
  tess_study_emit_changed (self);
}

/* The middle of the main layer, with the panes along its axes, as when it was opened. */
void
tess_study_reset_cursor (TessStudy *self)
{
  if (!tess_scene_main (self->scene))
    return;
  tess_scene_reset (self->scene);
  g_signal_emit (self, signals[CURSOR_CHANGED], 0);
  tess_study_emit_changed (self);
}

/* Positive steps go towards superior, right or anterior. */
void
tess_study_scroll (TessStudy *self, int plane, gint64 steps)
{
  if (steps == 0 || !tess_scene_main (self->scene))
    return;
  tess_pane_scroll (self->scene, (TessPlane)plane, steps);
  g_signal_emit (self, signals[CURSOR_CHANGED], 0);
  tess_study_emit_changed (self);
}

void
tess_study_set_window (TessStudy *self, TessLayer *layer, double lower, double upper)
{
  double least = 1e-6 * fmax (fmax (fabs (lower), fabs (upper)), 1e-6);

  if (!layer || !isfinite (lower) || !isfinite (upper))
    return;
  layer->lower = lower;
  layer->upper = fmax (upper, lower + least);
  tess_study_emit_changed (self);
}

void
tess_study_set_channel (TessStudy *self, TessLayer *layer, gint64 channel)
{
  tess_layer_set_channel (layer, channel);
  tess_study_emit_changed (self);
}

gboolean
tess_study_get_grid (TessStudy *self, gint64 patch[3], gint64 stride[3])
{
  for (int a = 0; a < 3; a++) {
    if (patch)
      patch[a] = self->patch[a];
    if (stride)
      stride[a] = self->stride[a];
  }
  return self->grid_shown && self->grid;
}

/* Sizes are taken as near to what is asked as a grid allows: at least 1, strides at most the patch. */
void
tess_study_set_grid (TessStudy *self, gboolean shown, const gint64 patch[3], const gint64 stride[3])
{
  gboolean same = self->grid != NULL;

  for (int a = 0; a < 3; a++) {
    gint64 p = CLAMP (patch[a], 1, 4096), s = CLAMP (stride[a], 1, p);

    same = same && p == self->patch[a] && s == self->stride[a];
    self->patch[a] = p;
    self->stride[a] = s;
  }
  if (!same)
    update_grid (self);
  self->grid_shown = shown;
  tess_study_emit_changed (self);
}

gboolean
tess_study_peek_grid (TessStudy *self, guint n_starts[3], const gint64 *starts[3], guint64 *n, double *coverage)
{
  if (!self->grid)
    return FALSE;
  for (int a = 0; a < 3; a++) {
    n_starts[a] = self->grid->n[a];
    starts[a] = self->grid->start[a];
  }
  *n = tess_patch_grid_n (self->grid);
  *coverage = tess_patch_grid_coverage (self->grid);
  return TRUE;
}
