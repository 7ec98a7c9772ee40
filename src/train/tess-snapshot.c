#include "tess-snapshot.h"

#include "tess-safetensors.h"

#include <math.h>
#include <stdlib.h>

/* n = product of dims, all positive. */
static gboolean
count_voxels (const gint64 dhw[3], gsize *n)
{
  *n = 1;
  for (guint a = 0; a < 3; a++)
    if (dhw[a] <= 0 || !g_size_checked_mul (n, *n, (gsize)dhw[a]))
      return FALSE;
  return *n <= G_MAXSSIZE / (2 * (TESS_MAX_LABELS + 1));
}

TessSnapshot *
tess_snapshot_ref (TessSnapshot *snapshot)
{
  g_atomic_ref_count_inc (&snapshot->ref_count);
  return snapshot;
}

void
tess_snapshot_unref (TessSnapshot *snapshot)
{
  if (!snapshot || !g_atomic_ref_count_dec (&snapshot->ref_count))
    return;
  g_free (snapshot->case_id);
  g_free (snapshot->image);
  g_free (snapshot->truth);
  for (guint h = 0; h < snapshot->n_heads; h++)
    g_free (snapshot->heads[h].probabilities);
  g_free (snapshot);
}

TessSnapshot *
tess_snapshot_new (const char *case_id, guint n_channels, guint n_classes, guint n_heads, const gint64 dhw[3],
                   const gint64 head_dhw[][3], GError **error)
{
  g_autoptr (TessSnapshot) s = g_new0 (TessSnapshot, 1);
  gboolean fits = n_channels > 0 && n_channels <= TESS_MAX_CHANNELS && n_classes > 0 && n_classes <= TESS_MAX_LABELS &&
                  n_heads > 0 && n_heads <= TESS_MAX_HEADS;
  gboolean taken;
  gsize n, head_n;

  g_atomic_ref_count_init (&s->ref_count);
  s->case_id = g_strdup (case_id);
  s->n_channels = n_channels;
  s->n_classes = n_classes;
  if (!fits || !count_voxels (dhw, &n)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("a snapshot of this shape cannot be made"));
    return NULL;
  }
  memcpy (s->dhw, dhw, sizeof s->dhw);
  s->image = g_try_new (guint16, n * n_channels);
  s->truth = g_try_new (guint8, n);
  taken = s->image && s->truth;
  for (guint h = 0; taken && h < n_heads; h++) {
    memcpy (s->heads[h].dhw, head_dhw[h], sizeof s->dhw);
    if (!count_voxels (head_dhw[h], &head_n)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("a snapshot of this shape cannot be made"));
      return NULL;
    }
    s->n_heads = h + 1;
    s->heads[h].probabilities = g_try_new (guint8, head_n * n_classes);
    taken = s->heads[h].probabilities != NULL;
  }
  if (!taken) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("no memory for a snapshot of the validation patch"));
    return NULL;
  }
  return g_steal_pointer (&s);
}

static void
set_sigmoid_head (TessSnapshot *snapshot, guint head, const float *logits)
{
  TessSnapshotHead *h = &snapshot->heads[head];
  gsize n = (gsize)(h->dhw[0] * h->dhw[1] * h->dhw[2]);
  guint n_regions = snapshot->n_classes - 1;

  for (gsize i = 0; i < n; i++) {
    guint8 largest = 0;

    for (guint c = 0; c < n_regions; c++) {
      float z = logits[i * n_regions + c], p = 1.0f / (1.0f + expf (-z));
      guint8 step = isfinite (p) ? (guint8)lrintf (255.0f * p) : 0;

      /* 127.5 stands for both sides of the threshold. */
      step = z > 0.0f ? MAX (step, 128) : MIN (step, 127);
      h->probabilities[(c + 1) * n + i] = step;
      largest = MAX (largest, step);
    }
    h->probabilities[i] = (guint8)(255 - largest);
  }
}

/**
 * tess_snapshot_set_head:
 * @logits: {d, h, w, classes}, classes fastest; with sigmoids all classes but the background
 *
 * Softmax, rounded to 255 steps, classes apart: what a viewer shows as one grey volume a class.
 */
void
tess_snapshot_set_head (TessSnapshot *snapshot, guint head, const float *logits)
{
  TessSnapshotHead *h = &snapshot->heads[head];
  gsize n = (gsize)(h->dhw[0] * h->dhw[1] * h->dhw[2]);
  guint n_classes = snapshot->n_classes;
  float p[TESS_MAX_LABELS];

  if (snapshot->sigmoid) {
    set_sigmoid_head (snapshot, head, logits);
    return;
  }
  for (gsize i = 0; i < n; i++) {
    const float *l = logits + i * n_classes;
    float largest = l[0], sum = 0.0f;

    for (guint c = 1; c < n_classes; c++)
      largest = MAX (largest, l[c]);
    for (guint c = 0; c < n_classes; c++) {
      p[c] = expf (l[c] - largest);
      sum += p[c];
    }
    for (guint c = 0; c < n_classes; c++) {
      float share = p[c] / sum;

      /* A network whose values are no numbers any more shows as nothing. */
      h->probabilities[c * n + i] = isfinite (share) ? (guint8)lrintf (255.0f * share) : 0;
    }
  }
}

static char *
int_text (gint64 value)
{
  return g_strdup_printf ("%" G_GINT64_FORMAT, value);
}

/**
 * tess_snapshot_save:
 *
 * A safetensors file: "image" F16 {C, D, H, W}, "truth" U8 {D, H, W}, "head.0" ... U8 {classes, d, h, w}; metadata
 * tessera.kind, tessera.case, tessera.epoch, tessera.iteration, tessera.activation ("softmax", "sigmoid").
 */
gboolean
tess_snapshot_save (const TessSnapshot *snapshot, const char *path, GError **error)
{
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autofree char *epoch = int_text (snapshot->epoch), *iteration = int_text (snapshot->iteration);
  const gint64 *d = snapshot->dhw;
  gint64 image_dim[4] = {snapshot->n_channels, d[0], d[1], d[2]};

  tess_safetensors_writer_metadata (writer, "tessera.kind", "snapshot");
  tess_safetensors_writer_metadata (writer, "tessera.case", snapshot->case_id);
  tess_safetensors_writer_metadata (writer, "tessera.epoch", epoch);
  tess_safetensors_writer_metadata (writer, "tessera.iteration", iteration);
  tess_safetensors_writer_metadata (writer, "tessera.activation", snapshot->sigmoid ? "sigmoid" : "softmax");
  tess_safetensors_writer_add (writer, "image", TESS_DTYPE_F16, 4, image_dim, snapshot->image);
  tess_safetensors_writer_add (writer, "truth", TESS_DTYPE_U8, 3, d, snapshot->truth);
  for (guint h = 0; h < snapshot->n_heads; h++) {
    const TessSnapshotHead *head = &snapshot->heads[h];
    g_autofree char *name = g_strdup_printf ("head.%u", h);
    gint64 dim[4] = {snapshot->n_classes, head->dhw[0], head->dhw[1], head->dhw[2]};

    tess_safetensors_writer_add (writer, name, TESS_DTYPE_U8, 4, dim, head->probabilities);
  }
  return tess_safetensors_writer_save (writer, path, error);
}

static gboolean
read_int (TessSafetensors *file, const char *key, gint64 *value)
{
  const char *text = tess_safetensors_metadata (file, key);

  return text && g_ascii_string_to_signed (text, 10, 0, G_MAXINT64, value, NULL);
}

static const TessSafetensor *
find_tensor (TessSafetensors *file, const char *name, TessDType dtype, guint n_dims)
{
  const TessSafetensor *t = tess_safetensors_find (file, name);

  return t && t->dtype == dtype && t->n_dims == n_dims ? t : NULL;
}

static TessSnapshot *
not_a_snapshot (const char *path, const char *what, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: is not a snapshot of a training run: %s"), path, what);
  return NULL;
}

/**
 * tess_snapshot_load:
 *
 * Every tensor's type and shape is checked against the others before memory is taken; the file itself bounds what is
 * taken (tess_safetensors_open has checked that the tensors lie inside it).
 *
 * Returns: (transfer full): the snapshot, or %NULL with FORMAT or IO.
 */
TessSnapshot *
tess_snapshot_load (const char *path, GError **error)
{
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, error);
  g_autoptr (TessSnapshot) snapshot = NULL;
  const TessSafetensor *image, *truth, *heads[TESS_MAX_HEADS];
  gint64 epoch, iteration, dhw[TESS_MAX_HEADS][3];
  const char *case_id;
  guint n_heads = 0;

  if (!file)
    return NULL;
  case_id = tess_safetensors_metadata (file, "tessera.case");
  if (!case_id || !read_int (file, "tessera.epoch", &epoch) || !read_int (file, "tessera.iteration", &iteration))
    return not_a_snapshot (path, _ ("its case, epoch or iteration is not given"), error);
  image = find_tensor (file, "image", TESS_DTYPE_F16, 4);
  truth = find_tensor (file, "truth", TESS_DTYPE_U8, 3);
  if (!image || !truth || memcmp (image->dim + 1, truth->dim, sizeof (gint64) * 3) != 0 || image->dim[0] < 1 ||
      image->dim[0] > TESS_MAX_CHANNELS)
    return not_a_snapshot (path, _ ("its image and truth do not fit"), error);
  for (; n_heads < TESS_MAX_HEADS; n_heads++) {
    g_autofree char *name = g_strdup_printf ("head.%u", n_heads);

    if (!tess_safetensors_find (file, name))
      break;
    heads[n_heads] = find_tensor (file, name, TESS_DTYPE_U8, 4);
    if (!heads[n_heads] || heads[n_heads]->dim[0] != heads[0]->dim[0] || heads[0]->dim[0] < 1 ||
        heads[0]->dim[0] > TESS_MAX_LABELS)
      return not_a_snapshot (path, _ ("its heads do not fit"), error);
    memcpy (dhw[n_heads], heads[n_heads]->dim + 1, sizeof dhw[0]);
  }
  if (n_heads == 0 || memcmp (dhw[0], truth->dim, sizeof dhw[0]) != 0)
    return not_a_snapshot (path, _ ("its first head is not of the image's size"), error);

  snapshot = tess_snapshot_new (case_id, (guint)image->dim[0], (guint)heads[0]->dim[0], n_heads, dhw[0],
                                (const gint64 (*)[3])dhw, error);
  if (!snapshot) {
    g_prefix_error (error, "%s: ", path);
    return NULL;
  }
  snapshot->epoch = epoch;
  snapshot->iteration = iteration;
  snapshot->sigmoid = g_strcmp0 (tess_safetensors_metadata (file, "tessera.activation"), "sigmoid") == 0;
  memcpy (snapshot->image, image->data, image->bytes);
  memcpy (snapshot->truth, truth->data, truth->bytes);
  for (guint h = 0; h < n_heads; h++)
    memcpy (snapshot->heads[h].probabilities, heads[h]->data, heads[h]->bytes);
  return g_steal_pointer (&snapshot);
}
