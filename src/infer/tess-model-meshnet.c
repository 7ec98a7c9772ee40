/* State dicts of MeshNet (Fedorov et al. 2017; brainchop's models) as models: the weights say how many layers, channels
 * and classes there are, the dilations are the published ones or the caller's. */

#include "tess-model-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BATCH_NORM_EPS 1e-5 /* torch.nn.BatchNorm3d's */
#define CONFORMED 256       /* voxels of 1 mm along every axis: the scans these networks are trained on */

/* The second layer's convolution: two layouts of the same modules are about. */
static const char *const styles[][2] = {{"conv", "bnorm"}, {"0", "1"}};

/* Tensor LAYER.PART, or the last layer's LAYER.weight and LAYER.bias without a part. */
static const TessTorchTensor *
find (TessTorchFile *file, guint layer, const char *part, const char *what)
{
  g_autofree char *name =
      part ? g_strdup_printf ("model.%u.%s.%s", layer, part, what) : g_strdup_printf ("model.%u.%s", layer, what);

  return tess_torch_file_find (file, name);
}

static const char *const *
style_of (TessTorchFile *file)
{
  for (guint i = 0; i < G_N_ELEMENTS (styles); i++) {
    const TessTorchTensor *w = find (file, 0, styles[i][0], "weight");

    if (w && w->n_dims == 5 && find (file, 0, styles[i][1], "running_mean"))
      return styles[i];
  }
  return NULL;
}

/* Whether the state dict is one of a MeshNet, as far as its first layer says. */
gboolean
tess_model_is_meshnet (TessTorchFile *file)
{
  return style_of (file) != NULL;
}

static gboolean
refuse (TessTorchFile *file, guint layer, const char *what, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: begins like a MeshNet, but layer %u's %s is missing or of another shape; it comes from another "
                  "network"),
               tess_torch_file_path (file), layer, what);
  return FALSE;
}

/* float32 values of a tensor that must have exactly these dimensions; the caller frees. */
static float *
read_values (TessTorchFile *file, const TessTorchTensor *t, guint layer, const char *what, guint n_dims,
             const gint64 *dim, GError **error)
{
  g_autofree float *values = NULL;

  if (!t || t->n_dims != n_dims || memcmp (t->dim, dim, n_dims * sizeof *dim) != 0) {
    refuse (file, layer, what, error);
    return NULL;
  }
  values = g_try_malloc_n (t->n, sizeof (float));
  if (!values) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: not enough memory to read the weights"),
                 tess_torch_file_path (file));
    return NULL;
  }
  return tess_torch_file_read_f32 (file, t, values, t->n, error) ? g_steal_pointer (&values) : NULL;
}

/* The kernels' axes are the scan's x, y, z there and D, H, W = z, y, x here. */
static void
turn (float *w, gsize n, guint k)
{
  for (gsize i = 0; i < n; i++, w += k * k * k)
    for (guint x = 0; x < k; x++)
      for (guint y = 0; y < k; y++)
        for (guint z = 0; z < x; z++) {
          float *a = w + (x * k + y) * k + z, *b = w + (z * k + y) * k + x, swap = *a;

          *a = *b;
          *b = swap;
        }
}

/* A batch norm at prediction is (v - mean) gamma / sqrt (var + eps) + beta a channel, which goes into the convolution
 * before it. */
static gboolean
fold_norm (TessTorchFile *file, guint layer, const char *part, gint64 channels, gsize n_each, float *w, float *bias,
           GError **error)
{
  static const char *const names[4] = {"weight", "bias", "running_mean", "running_var"};
  float *v[4] = {NULL};
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < 4; i++) {
    v[i] = read_values (file, find (file, layer, part, names[i]), layer, names[i], 1, &channels, error);
    ok = v[i] != NULL;
  }
  for (gint64 c = 0; ok && c < channels; c++) {
    double factor = (double)v[0][c] / sqrt ((double)v[3][c] + BATCH_NORM_EPS);

    for (gsize i = 0; i < n_each; i++)
      w[(gsize)c * n_each + i] = (float)((double)w[(gsize)c * n_each + i] * factor);
    bias[c] = (float)(((double)bias[c] - (double)v[2][c]) * factor + (double)v[1][c]);
  }
  for (guint i = 0; i < 4; i++)
    g_free (v[i]);
  return ok;
}

/* One layer's weights under this program's names. kernel: 3, or 1 of the last layer, which has no norm. */
static gboolean
read_layer (TessModel *model, TessTorchFile *file, const char *const *style, guint layer, guint kernel, gint64 in,
            gint64 out, GError **error)
{
  gboolean last = kernel == 1;
  const char *part = last ? NULL : style[0];
  gint64 dim[5] = {out, in, kernel, kernel, kernel};
  g_autofree float *w = read_values (file, find (file, layer, part, "weight"), layer, "weight", 5, dim, error);
  g_autofree float *bias = NULL;
  g_autofree char *name = g_strdup_printf (last ? "model.%u" : "model.%u.0", layer);
  g_autofree char *w_name = g_strconcat (name, ".weight", NULL), *b_name = g_strconcat (name, ".bias", NULL);

  if (!w)
    return FALSE;
  bias = read_values (file, find (file, layer, part, "bias"), layer, "bias", 1, &out, error);
  if (!bias || (!last && !fold_norm (file, layer, style[1], out, (gsize)in * kernel * kernel * kernel, w, bias, error)))
    return FALSE;
  turn (w, (gsize)(in * out), kernel);
  tess_model_take_tensor (model, w_name, 5, dim, g_steal_pointer (&w));
  tess_model_take_tensor (model, b_name, 1, &out, g_steal_pointer (&bias));
  return TRUE;
}

static gboolean
set_dilations (TessPlan *plan, TessTorchFile *file, guint n_layers, const gint64 *dilation, guint n_dilation,
               GError **error)
{
  static const gint64 published[] = {1, 2, 4, 8, 16, 8, 4, 2, 1};

  if (n_dilation == 0 && n_layers == G_N_ELEMENTS (published)) {
    dilation = published;
    n_dilation = n_layers;
  }
  if (n_dilation != n_layers) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: holds a MeshNet of %u dilated convolutions but not their dilations; give as many numbers with "
                    "--dilation 1,2,4,..."),
                 tess_torch_file_path (file), n_layers);
    return FALSE;
  }
  memcpy (plan->network.dilation, dilation, n_layers * sizeof *dilation);
  plan->network.architecture = TESS_PLAN_MESHNET;
  plan->network.n_layers = n_layers;
  return TRUE;
}

/* What the file does not say is said in the plan's reasons. */
static TessPlan *
make_plan (TessTorchFile *file, gint64 n_channels, gint64 n_classes, gint64 features)
{
  g_autofree char *base = g_path_get_basename (tess_torch_file_path (file));
  TessPlan *plan = tess_plan_new ();

  g_free (plan->dataset_name);
  plan->dataset_name = g_strdup (base);
  for (gint64 c = 0; c < n_channels; c++) {
    g_autofree char *name = g_strdup_printf ("channel %d", (int)c);

    tess_plan_add_channel (plan, name, TESS_NORM_MINMAX);
  }
  for (gint64 c = 0; c < n_classes; c++) {
    g_autofree char *name = c ? g_strdup_printf ("class %d", (int)c) : g_strdup ("background");

    tess_plan_add_label (plan, name, c);
  }
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = 1.0;
    plan->patch[a] = CONFORMED;
  }
  plan->network.n_stages = 1;
  plan->network.features[0] = features;
  plan->network.leaky_slope = 0.0;
  plan->network.deep_supervision = FALSE;
  plan->inference.gaussian = FALSE;
  tess_plan_add_reason (plan, _ ("MeshNet: the file holds weights alone; taken to see scans of 1 mm scaled to 0 ... 1, "
                                 "256 voxels along each axis in FreeSurfer's orientation, as mri_convert --conform "
                                 "makes them, with a ReLU after every layer"));
  return plan;
}

/**
 * tess_model_load_meshnet:
 * @dilation: of every dilated convolution; @n_dilation 0: the published ones, if the file has nine
 *
 * Sets plan and tensors, the batch norms folded into the convolutions before them.
 *
 * Returns: FALSE with MISMATCH (tensors missing or of another shape), FORMAT (dilations needed), IO or NO_MEMORY.
 */
gboolean
tess_model_load_meshnet (TessModel *model, TessTorchFile *file, const gint64 *dilation, guint n_dilation,
                         GError **error)
{
  const char *const *style = style_of (file);
  const TessTorchTensor *first = find (file, 0, style[0], "weight"), *last;
  gint64 features = first->dim[0], n_channels = first->dim[1], in = n_channels;
  guint n_layers = 0;

  while (n_layers <= TESS_MAX_DILATIONS && find (file, n_layers, style[0], "weight"))
    n_layers++;
  last = find (file, n_layers, NULL, "weight");
  if (!last || last->n_dims != 5)
    return refuse (file, n_layers, "weight", error);
  if (n_layers > TESS_MAX_DILATIONS || features < 1 || features > 8192 || n_channels < 1 ||
      n_channels > TESS_MAX_CHANNELS || last->dim[0] < 2 || last->dim[0] > TESS_MAX_LABELS) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        _ ("%s: a MeshNet of %u layers, %" PRId64 " channels and %" PRId64 " classes is more than this program takes"),
        model->path, n_layers, n_channels, last->dim[0]);
    return FALSE;
  }
  model->plan = make_plan (file, n_channels, last->dim[0], features);
  if (!set_dilations (model->plan, file, n_layers, dilation, n_dilation, error) ||
      !tess_plan_validate (model->plan, model->path, error))
    return FALSE;
  for (guint i = 0; i <= n_layers; i++, in = features)
    if (!read_layer (model, file, style, i, i < n_layers ? 3 : 1, in, i < n_layers ? features : last->dim[0], error))
      return FALSE;
  return TRUE;
}
