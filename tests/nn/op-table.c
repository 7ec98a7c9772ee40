#include "op-table.h"

#include <math.h>

#include "tess-network.h"
#include "tess-philox.h"

typedef struct _Case Case;

/* A case under construction; any failure leaves TESS_NONE, which all helpers hand on. */
typedef struct {
  const Case *c;
  TessGraph *graph;
  TessId image, labels;
  guint n_params, n_heads;
  GError **error;
} Builder;

struct _Case {
  const char *name;
  gint64 n, dhw[3], channels;    /* of the image */
  gboolean (*body) (Builder *b); /* NULL: a whole U-Net */
  TessConvAttr conv;             /* of the op looked at */
  gint64 width;                  /* its output channels */
  gboolean bias;
  float slope;
  guint n_classes;
  gboolean batch_dice;
  double clip_norm;
  TessLossAttr loss; /* what differs from nnU-Net's choice; smooth 0 = its 1e-5 */
  guint n_labels;    /* values in the labels; 0 = n_classes */
  TessOptimiser optimiser;
  gboolean slices;   /* convolutions with weights of four axes */
  gboolean residual; /* U-Nets */
};

static TessId
param (Builder *b, const char *kind, guint n_dims, const gint64 *dim, double fan)
{
  g_autofree char *name = g_strdup_printf ("p%u.%s", b->n_params++, kind);

  return tess_graph_param (b->graph, name, n_dims, dim, fan);
}

static gint64
channels_of (Builder *b, TessId x)
{
  return tess_graph_tensor (b->graph, x)->dim[4];
}

static TessId
conv (Builder *b, TessId x, gint64 out, const TessConvAttr *attr, gboolean bias, TessDType dtype)
{
  TessId w, v = TESS_NONE;
  gint64 dim[5] = {out, 0, attr->kernel[0], attr->kernel[1], attr->kernel[2]};

  if (x == TESS_NONE)
    return TESS_NONE;
  dim[1] = channels_of (b, x);
  if (b->c->slices) {
    dim[2] = dim[3];
    dim[3] = dim[4];
    dim[4] = 1;
  }
  w = param (b, "weight", b->c->slices ? 4 : 5, dim, (double)(dim[1] * dim[2] * dim[3] * dim[4]));
  if (bias)
    v = param (b, "bias", 1, &out, 0);
  return tess_graph_conv (b->graph, x, w, v, attr, dtype, b->error);
}

static TessId
transposed (Builder *b, TessId x, gint64 out, const TessConvAttr *attr, gboolean bias)
{
  TessId w, v = TESS_NONE;
  gint64 dim[5] = {0, out, attr->kernel[0], attr->kernel[1], attr->kernel[2]};

  if (x == TESS_NONE)
    return TESS_NONE;
  dim[0] = channels_of (b, x);
  if (b->c->slices) {
    dim[2] = dim[3];
    dim[3] = dim[4];
  }
  w = param (b, "weight", b->c->slices ? 4 : 5, dim, (double)dim[0]);
  if (bias)
    v = param (b, "bias", 1, &out, 0);
  return tess_graph_conv_transpose (b->graph, x, w, v, attr, b->error);
}

static TessId
norm (Builder *b, TessId x, float slope)
{
  TessNormAttr attr = {.eps = 1e-5f, .slope = slope};
  TessId gamma, beta;
  gint64 c;

  if (x == TESS_NONE)
    return TESS_NONE;
  c = channels_of (b, x);
  gamma = param (b, "gamma", 1, &c, -1);
  beta = param (b, "beta", 1, &c, 0);
  return tess_graph_norm_act (b->graph, x, gamma, beta, &attr, b->error);
}

static const TessConvAttr one = {{1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
static const TessConvAttr three = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}};
static const TessConvAttr halve = {{2, 2, 2}, {2, 2, 2}, {0, 0, 0}};

/* 1x1x1 convolution of the image, so that what follows has an input that wants a gradient. */
static TessId
stem (Builder *b, gint64 width)
{
  return conv (b, b->image, width, &one, TRUE, b->graph->act_dtype);
}

/* Logits, labels at their resolution, loss. */
static gboolean
head (Builder *b, TessId x)
{
  TessLossAttr attr = b->c->loss;
  TessId logits = conv (b, x, b->c->n_classes, &one, TRUE, TESS_DTYPE_F32), labels = b->labels;
  gint64 dhw[3];

  attr.head = b->n_heads++;
  attr.n_classes = b->c->n_classes;
  attr.batch_dice = b->c->batch_dice;
  attr.smooth = attr.smooth > 0 ? attr.smooth : 1e-5f;
  if (logits == TESS_NONE)
    return FALSE;
  memcpy (dhw, tess_graph_tensor (b->graph, logits)->dim + 1, sizeof dhw);
  if (memcmp (dhw, b->c->dhw, sizeof dhw) != 0)
    labels = tess_graph_label_resize (b->graph, labels, dhw, b->error);
  return labels != TESS_NONE && tess_graph_loss (b->graph, logits, labels, &attr, b->error) != TESS_NONE;
}

/* The convolution twice: on the image, and where its input wants a gradient (if it still fits). */
static gboolean
body_conv (Builder *b)
{
  TessId x = conv (b, b->image, b->c->width, &b->c->conv, b->c->bias, b->graph->act_dtype);

  return head (b, conv (b, x, b->c->width + 1, &b->c->conv, b->c->bias, b->graph->act_dtype));
}

static gboolean
body_conv_transpose (Builder *b)
{
  TessConvAttr down = b->c->conv;

  /* Down first, so that the labels are at hand in the size that comes out. */
  return head (b, transposed (b, conv (b, b->image, b->c->width + 1, &down, TRUE, b->graph->act_dtype), b->c->width,
                              &b->c->conv, b->c->bias));
}

static gboolean
body_norm_act (Builder *b)
{
  /* Neither a bias nor one weight a channel: the norm takes both away, and their gradients are rounding errors. */
  return head (b, norm (b, conv (b, b->image, b->c->width, &three, FALSE, b->graph->act_dtype), b->c->slope));
}

static gboolean
body_leaky_relu (Builder *b)
{
  TessId x = stem (b, b->c->width);

  return x != TESS_NONE && head (b, tess_graph_leaky_relu (b->graph, x, b->c->slope, b->error));
}

/* A residual: x is read by the convolution, by the sum twice removed, and by a second sum. */
static gboolean
body_add (Builder *b)
{
  TessId x = stem (b, b->c->width), y, z;

  if (x == TESS_NONE || (y = conv (b, x, b->c->width, &three, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (z = tess_graph_add (b->graph, x, y, b->error)) == TESS_NONE ||
      (z = tess_graph_leaky_relu (b->graph, z, b->c->slope, b->error)) == TESS_NONE ||
      (z = tess_graph_add (b->graph, z, x, b->error)) == TESS_NONE)
    return FALSE;
  return head (b, z);
}

/* The end of a residual block, and its result read twice. */
static gboolean
body_add_act (Builder *b)
{
  TessId x = stem (b, b->c->width), y, z;

  if (x == TESS_NONE || (y = conv (b, x, b->c->width, &three, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (z = tess_graph_add_act (b->graph, x, y, b->c->slope, b->error)) == TESS_NONE ||
      (y = conv (b, z, b->c->width, &one, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (z = tess_graph_add_act (b->graph, y, z, b->c->slope, b->error)) == TESS_NONE)
    return FALSE;
  return head (b, z);
}

static gboolean
body_avg_pool (Builder *b)
{
  TessId x = stem (b, b->c->width);

  return x != TESS_NONE && (x = tess_graph_avg_pool (b->graph, x, &b->c->conv, b->error)) != TESS_NONE && head (b, x);
}

static gboolean
body_concat (Builder *b)
{
  TessId x = stem (b, b->c->width), y, z;

  if (x == TESS_NONE || (y = conv (b, x, b->c->width + 2, &three, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (z = tess_graph_concat (b->graph, y, x, b->error)) == TESS_NONE ||
      (z = tess_graph_concat (b->graph, z, x, b->error)) == TESS_NONE)
    return FALSE;
  return head (b, z);
}

/* Two heads on two resolutions. */
static gboolean
body_heads (Builder *b)
{
  TessId x = norm (b, conv (b, b->image, b->c->width, &three, FALSE, b->graph->act_dtype), b->c->slope), y;

  if (x == TESS_NONE || !head (b, x) ||
      (y = conv (b, x, b->c->width + 1, &halve, TRUE, b->graph->act_dtype)) == TESS_NONE)
    return FALSE;
  return head (b, y);
}

static TessId
act (Builder *b, TessId x, TessActKind kind)
{
  TessId alpha = TESS_NONE;
  gint64 c;

  if (x == TESS_NONE)
    return TESS_NONE;
  c = channels_of (b, x);
  if (kind == TESS_ACT_PRELU)
    alpha = param (b, "alpha", 1, &c, 0);
  return tess_graph_act (b->graph, x, kind, b->c->slope, alpha, b->error);
}

static gboolean
body_acts (Builder *b)
{
  static const TessActKind kinds[] = {TESS_ACT_PRELU, TESS_ACT_GELU, TESS_ACT_ELU, TESS_ACT_SIGMOID};
  TessId x = stem (b, b->c->width);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    x = conv (b, act (b, x, kinds[i]), b->c->width + (gint64)i, &one, TRUE, b->graph->act_dtype);
  return head (b, x);
}

/* One factor a channel (squeeze and excitation), one a voxel (an attention gate), one an element. */
static gboolean
body_mul (Builder *b)
{
  TessId x = stem (b, b->c->width), y, z;

  if (x == TESS_NONE || (y = tess_graph_global_pool (b->graph, x, b->error)) == TESS_NONE)
    return FALSE;
  y = act (b, conv (b, y, b->c->width, &one, TRUE, b->graph->act_dtype), TESS_ACT_SIGMOID);
  z = act (b, conv (b, x, 1, &one, TRUE, b->graph->act_dtype), TESS_ACT_SIGMOID);
  if (y == TESS_NONE || z == TESS_NONE || (y = tess_graph_mul (b->graph, x, y, b->error)) == TESS_NONE ||
      (z = tess_graph_mul (b->graph, y, z, b->error)) == TESS_NONE)
    return FALSE;
  return head (b, tess_graph_mul (b->graph, z, y, b->error));
}

/* Down by the largest, up again in three ways, each cut or padded to the size it had. */
static gboolean
body_pool (Builder *b)
{
  const gint64 zero[3] = {0, 0, 0}, *full = b->c->dhw;
  TessId x = stem (b, b->c->width), p, u[3], z = x;
  gint64 more[3];

  if (x == TESS_NONE || (p = tess_graph_max_pool (b->graph, x, b->c->conv.kernel, b->error)) == TESS_NONE)
    return FALSE;
  for (guint a = 0; a < 3; a++)
    more[a] = tess_graph_tensor (b->graph, p)->dim[1 + a] + 1;
  u[0] = tess_graph_resize (b->graph, p, full, TRUE, b->error);
  u[1] = tess_graph_resize (b->graph, p, full, FALSE, b->error);
  u[2] = transposed (b, tess_graph_window (b->graph, p, zero, more, b->error), 3, &b->c->conv, TRUE);
  if (u[2] != TESS_NONE)
    u[2] = tess_graph_window (b->graph, u[2], zero, full, b->error);
  for (guint i = 0; i < 3 && z != TESS_NONE; i++)
    z = u[i] != TESS_NONE ? tess_graph_concat (b->graph, z, u[i], b->error) : TESS_NONE;
  return head (b, z);
}

/* Logits at half resolution made large, against all labels; and valid ones against the labels' middle. */
static gboolean
body_logits (Builder *b)
{
  TessLossAttr attr = {.n_classes = b->c->n_classes, .smooth = 1e-5f, .batch_dice = b->c->batch_dice};
  const TessConvAttr valid = {{3, 3, 3}, {1, 1, 1}, {0, 0, 0}};
  const gint64 start[3] = {1, 1, 1};
  gint64 inner[3] = {b->c->dhw[0] - 2, b->c->dhw[1] - 2, b->c->dhw[2] - 2};
  TessId x = stem (b, b->c->width), y = conv (b, x, b->c->n_classes, &halve, TRUE, TESS_DTYPE_F32), z, labels;

  z = conv (b, x, b->c->n_classes, &valid, TRUE, TESS_DTYPE_F32);
  if (y == TESS_NONE || z == TESS_NONE ||
      (y = tess_graph_resize (b->graph, y, b->c->dhw, TRUE, b->error)) == TESS_NONE ||
      tess_graph_loss (b->graph, y, b->labels, &attr, b->error) == TESS_NONE)
    return FALSE;
  attr.head = 1;
  labels = tess_graph_window (b->graph, b->labels, start, inner, b->error);
  return labels != TESS_NONE && tess_graph_loss (b->graph, z, labels, &attr, b->error) != TESS_NONE;
}

static gboolean
body_norm_std (Builder *b)
{
  TessNormAttr attr = {.eps = 0.1f, .slope = b->c->slope, .eps_on_std = TRUE};
  TessId x = conv (b, b->image, b->c->width, &three, FALSE, b->graph->act_dtype), gamma, beta;

  if (x == TESS_NONE)
    return FALSE;
  gamma = param (b, "gamma", 1, &b->c->width, -1);
  beta = param (b, "beta", 1, &b->c->width, 0);
  return head (b, tess_graph_norm_act (b->graph, x, gamma, beta, &attr, b->error));
}

/* Noise on the image, where nobody wants a gradient, and on activations; channels dropped twice. */
static gboolean
body_chance (Builder *b)
{
  TessId x = tess_graph_noise (b->graph, b->image, 0.3f, b->error);

  if (x == TESS_NONE || (x = conv (b, x, b->c->width, &one, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (x = tess_graph_dropout (b->graph, x, 0.4f, b->error)) == TESS_NONE ||
      (x = conv (b, x, b->c->width + 2, &three, TRUE, b->graph->act_dtype)) == TESS_NONE ||
      (x = tess_graph_noise (b->graph, x, 0.5f, b->error)) == TESS_NONE)
    return FALSE;
  return head (b, tess_graph_dropout (b->graph, x, 0.25f, b->error));
}

#define CONV(kd, kh, kw, sd, sh, sw, pd, ph, pw)                                                                       \
  {                                                                                                                    \
    {kd, kh, kw}, {sd, sh, sw},                                                                                        \
    {                                                                                                                  \
      pd, ph, pw                                                                                                       \
    }                                                                                                                  \
  }

/* Regions as BraTS has them: nested; label 4 of the ignore cases is in none. */
static const guint64 nested[256] = {[1] = 1, [2] = 3, [3] = 7};

#define NO_CONV CONV (0, 0, 0, 0, 0, 0, 0, 0, 0)
#define LOSS(name, n, n_classes, batch, n_labels, optimiser, ...)                                                      \
  {                                                                                                                    \
    name, n, {4, 7, 6}, 1, body_leaky_relu, NO_CONV, 3, TRUE, 0.01f, n_classes, batch, 0.05, {__VA_ARGS__}, n_labels,  \
        optimiser                                                                                                      \
  }

#define GAPS(kd, kh, kw, pd, ph, pw, gd, gh, gw)                                                                       \
  {                                                                                                                    \
    {kd, kh, kw}, {1, 1, 1}, {pd, ph, pw},                                                                             \
    {                                                                                                                  \
      gd, gh, gw                                                                                                       \
    }                                                                                                                  \
  }

static const Case cases[] = {
    {"conv-1x1x1-c1-b1", 1, {3, 5, 7}, 1, body_conv, CONV (1, 1, 1, 1, 1, 1, 0, 0, 0), 3, TRUE, 0, 2, FALSE, 0},
    {"conv-3x3x3-c3-b2", 2, {5, 4, 7}, 3, body_conv, CONV (3, 3, 3, 1, 1, 1, 1, 1, 1), 4, TRUE, 0, 3, TRUE, 0.05},
    {"conv-3x3x3-s2-c1-b3", 3, {7, 9, 8}, 1, body_conv, CONV (3, 3, 3, 2, 2, 2, 1, 1, 1), 5, TRUE, 0, 3, FALSE, 12},
    {"conv-1x3x3-s1x2x2-c3-b2", 2, {3, 9, 11}, 3, body_conv, CONV (1, 3, 3, 1, 2, 2, 0, 1, 1), 3, TRUE, 0, 4, TRUE, 12},
    {"conv-3x1x2-s2x1x2-c2-b1",
     1,
     {9, 3, 11},
     2,
     body_conv,
     CONV (3, 1, 2, 2, 1, 2, 1, 0, 0),
     1,
     FALSE,
     0,
     2,
     FALSE,
     0},
    {"conv-2x2x2-s2-c1-b2", 2, {5, 9, 8}, 1, body_conv, CONV (2, 2, 2, 2, 2, 2, 0, 0, 0), 6, FALSE, 0, 3, TRUE, 12},
    {"conv-3x3x3-wide-b1", 1, {5, 6, 7}, 16, body_conv, CONV (3, 3, 3, 1, 1, 1, 1, 1, 1), 32, TRUE, 0, 3, TRUE, 12},
    {"conv-transpose-2x2x2-b2",
     2,
     {4, 6, 8},
     2,
     body_conv_transpose,
     CONV (2, 2, 2, 2, 2, 2, 0, 0, 0),
     5,
     TRUE,
     0,
     3,
     TRUE,
     12},
    {"conv-transpose-1x2x2-b1",
     1,
     {3, 6, 10},
     1,
     body_conv_transpose,
     CONV (1, 2, 2, 1, 2, 2, 0, 0, 0),
     1,
     FALSE,
     0,
     2,
     FALSE,
     12},
    {"conv-transpose-2x1x2-wide-b2",
     2,
     {6, 5, 6},
     3,
     body_conv_transpose,
     CONV (2, 1, 2, 2, 1, 2, 0, 0, 0),
     32,
     TRUE,
     0,
     4,
     TRUE,
     0},
    {"norm-leaky-c3-b2", 2, {5, 7, 9}, 1, body_norm_act, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0.01f, 3, TRUE, 12},
    {"norm-only-c1-b3", 3, {3, 5, 4}, 3, body_norm_act, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 1, TRUE, 1.0f, 3, FALSE, 12},
    {"norm-leaky-large-b1",
     1,
     {17, 19, 23},
     1,
     body_norm_act,
     CONV (0, 0, 0, 0, 0, 0, 0, 0, 0),
     17,
     TRUE,
     0.01f,
     2,
     TRUE,
     12},
    {"leaky-b2", 2, {3, 4, 5}, 2, body_leaky_relu, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0.2f, 3, FALSE, 12},
    {"add-b1", 1, {4, 5, 3}, 1, body_add, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0.1f, 3, TRUE, 12},
    {"concat-b2", 2, {3, 5, 4}, 3, body_concat, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0, 3, TRUE, 12},
    {"heads-resize-b2", 2, {5, 7, 9}, 2, body_heads, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 4, TRUE, 0.01f, 3, TRUE, 12},
    {"dice-ce-sample-b3",
     3,
     {4, 3, 5},
     1,
     body_leaky_relu,
     CONV (0, 0, 0, 0, 0, 0, 0, 0, 0),
     2,
     TRUE,
     0.01f,
     5,
     FALSE,
     0},
    {"dice-ce-batch-b3",
     3,
     {4, 3, 5},
     1,
     body_leaky_relu,
     CONV (0, 0, 0, 0, 0, 0, 0, 0, 0),
     2,
     TRUE,
     0.01f,
     5,
     TRUE,
     0.05},
    {"unet-train-b2", 2, {4, 12, 16}, 2, NULL, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 5, TRUE, 0.01f, 3, TRUE, 12},
    {"unet-train-sample-dice-b3",
     3,
     {4, 8, 8},
     1,
     NULL,
     CONV (0, 0, 0, 0, 0, 0, 0, 0, 0),
     8,
     TRUE,
     0.01f,
     2,
     FALSE,
     0.05},
    {"conv-3x3x3-gap1-c2-b2", 2, {7, 6, 9}, 2, body_conv, GAPS (3, 3, 3, 2, 2, 2, 1, 1, 1), 5, TRUE, 0, 3, TRUE, 12},
    {"conv-3x1x3-gap3-c3-b1", 1, {9, 4, 8}, 3, body_conv, GAPS (3, 1, 3, 4, 0, 2, 3, 0, 1), 4, FALSE, 0, 2, FALSE, 0},
    {"acts-b2", 2, {4, 3, 5}, 2, body_acts, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0, 3, TRUE, 12},
    {"mul-b2", 2, {3, 5, 4}, 2, body_mul, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 4, TRUE, 0, 3, TRUE, 12},
    {"mul-large-b1", 1, {17, 19, 23}, 1, body_mul, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 5, TRUE, 0, 2, TRUE, 12},
    {"pool-2x2x2-b2", 2, {5, 7, 6}, 2, body_pool, CONV (2, 2, 2, 2, 2, 2, 0, 0, 0), 3, TRUE, 0, 3, TRUE, 12},
    {"pool-1x2x3-b1", 1, {3, 8, 7}, 1, body_pool, CONV (1, 2, 3, 1, 2, 3, 0, 0, 0), 4, TRUE, 0, 3, FALSE, 0},
    {"logits-resize-window-b2",
     2,
     {6, 5, 8},
     2,
     body_logits,
     CONV (0, 0, 0, 0, 0, 0, 0, 0, 0),
     3,
     TRUE,
     0,
     3,
     TRUE,
     12},
    {"norm-std-c3-b2", 2, {5, 7, 9}, 1, body_norm_std, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0.3f, 3, TRUE, 12},
    {.name = "conv-slices-b2",
     .n = 2,
     .dhw = {1, 9, 8},
     .channels = 2,
     .body = body_conv,
     .conv = CONV (1, 3, 3, 1, 2, 1, 0, 1, 1),
     .width = 4,
     .bias = TRUE,
     .n_classes = 3,
     .batch_dice = TRUE,
     .clip_norm = 12,
     .slices = TRUE},
    {.name = "conv-transpose-slices-b1",
     .n = 1,
     .dhw = {1, 6, 10},
     .channels = 2,
     .body = body_conv_transpose,
     .conv = CONV (1, 2, 2, 1, 2, 2, 0, 0, 0),
     .width = 5,
     .bias = TRUE,
     .n_classes = 2,
     .slices = TRUE},
    {.name = "add-act-b2",
     .n = 2,
     .dhw = {4, 5, 3},
     .channels = 1,
     .body = body_add_act,
     .width = 3,
     .slope = 0.1f,
     .n_classes = 3,
     .batch_dice = TRUE,
     .clip_norm = 12},
    {.name = "avg-pool-2x2x2-b2",
     .n = 2,
     .dhw = {4, 6, 8},
     .channels = 1,
     .body = body_avg_pool,
     .conv = CONV (2, 2, 2, 2, 2, 2, 0, 0, 0),
     .width = 5,
     .n_classes = 3,
     .clip_norm = 12},
    {.name = "avg-pool-1x2x2-rest-b1",
     .n = 1,
     .dhw = {3, 7, 9},
     .channels = 2,
     .body = body_avg_pool,
     .conv = CONV (1, 2, 2, 1, 2, 2, 0, 0, 0),
     .width = 18,
     .n_classes = 2,
     .batch_dice = TRUE},
    {.name = "avg-pool-3x2x4-overlap-b1",
     .n = 1,
     .dhw = {8, 7, 11},
     .channels = 1,
     .body = body_avg_pool,
     .conv = CONV (3, 2, 4, 2, 3, 1, 0, 0, 0),
     .width = 3,
     .n_classes = 3,
     .batch_dice = TRUE,
     .clip_norm = 12},
    {.name = "resunet-train-b2",
     .n = 2,
     .dhw = {4, 8, 8},
     .channels = 2,
     .width = 5,
     .slope = 0.3f,
     .n_classes = 3,
     .batch_dice = TRUE,
     .clip_norm = 12,
     .residual = TRUE},
    {.name = "unet-slices-train-b3",
     .n = 3,
     .dhw = {1, 12, 16},
     .channels = 1,
     .width = 5,
     .slope = 0.3f,
     .n_classes = 2,
     .clip_norm = 12,
     .slices = TRUE},
    LOSS ("dice-ce-background-b2", 2, 4, TRUE, 4, TESS_OPTIMISER_SGD, .background = TRUE),
    LOSS ("dice-ce-ignore-b2", 2, 4, FALSE, 5, TESS_OPTIMISER_ADAM, .ignore = 4),
    LOSS ("dice-ce-ignore-batch-b3", 3, 3, TRUE, 4, TESS_OPTIMISER_ADAMW, .ignore = 3),
    LOSS ("regions-sample-b2", 2, 3, FALSE, 4, TESS_OPTIMISER_ADAMW, .regions = nested),
    LOSS ("regions-batch-b3", 3, 3, TRUE, 4, TESS_OPTIMISER_SGD, .regions = nested),
    LOSS ("regions-ignore-b2", 2, 3, TRUE, 5, TESS_OPTIMISER_SGD, .regions = nested, .ignore = 4),
    LOSS ("regions-one-b2", 2, 1, TRUE, 3, TESS_OPTIMISER_SGD, .regions = nested),
    LOSS ("dice-sigmoid-b2", 2, 3, FALSE, 4, TESS_OPTIMISER_ADAM, .kind = TESS_LOSS_DICE, .smooth = 1,
          .regions = nested),
    LOSS ("dice-softmax-b2", 2, 3, TRUE, 3, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_DICE),
    LOSS ("tversky-b2", 2, 4, TRUE, 4, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_TVERSKY, .alpha = 0.3f, .beta = 0.7f),
    LOSS ("tversky-regions-b2", 2, 3, FALSE, 5, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_TVERSKY, .alpha = 0.9f,
          .beta = 0.4f, .smooth = 1, .ignore = 4, .regions = nested),
    LOSS ("focal-b2", 2, 4, TRUE, 4, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_FOCAL, .gamma = 2),
    LOSS ("focal-ignore-b2", 2, 3, FALSE, 4, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_FOCAL, .gamma = 0.5f, .ignore = 3),
    LOSS ("focal-regions-b2", 2, 3, FALSE, 4, TESS_OPTIMISER_SGD, .kind = TESS_LOSS_FOCAL, .gamma = 2.5f,
          .regions = nested),
    /* A case's numbers depend on its place: new ones go to the end. */
    {"conv-3x3x3-c31-b3", 3, {5, 4, 7}, 2, body_conv, CONV (3, 3, 3, 1, 1, 1, 1, 1, 1), 31, TRUE, 0, 3, TRUE, 0},
    {"conv-1x3x3-s1x2x2-c15-b2",
     2,
     {3, 9, 11},
     3,
     body_conv,
     CONV (1, 3, 3, 1, 2, 2, 0, 1, 1),
     15,
     FALSE,
     0,
     3,
     TRUE,
     0},
    {"conv-transpose-2x2x2-c15-b2",
     2,
     {4, 6, 8},
     2,
     body_conv_transpose,
     CONV (2, 2, 2, 2, 2, 2, 0, 0, 0),
     15,
     TRUE,
     0,
     3,
     TRUE,
     0},
    {"chance-c5-b3", 3, {5, 7, 3}, 1, body_chance, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 5, TRUE, 0, 3, TRUE, 12},
    {"chance-c3-b2", 2, {4, 5, 7}, 3, body_chance, CONV (0, 0, 0, 0, 0, 0, 0, 0, 0), 3, TRUE, 0, 3, TRUE, 0},
};

guint
op_table_n (void)
{
  return G_N_ELEMENTS (cases);
}

const char *
op_table_name (guint i)
{
  return cases[i].name;
}

/* Three levels, anisotropic above or of slices, deep supervision. */
static TessGraph *
build_unet (const Case *c, TessDType act_dtype, GError **error)
{
  TessNetworkSpec spec = {
      .architecture = c->residual ? TESS_NETWORK_RESIDUAL_UNET : TESS_NETWORK_PLAIN_UNET,
      .slice_axis = c->slices ? 1 : 0,
      .stem_features = c->residual ? c->width + 1 : 0,
      .n_stages = 3,
      .n_channels = (guint)c->channels,
      .n_classes = c->n_classes,
      .features = {c->width, c->width + 3, 2 * c->width},
      .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
      .convs_encoder = {2, 2, 2},
      .convs_decoder = {2, 1},
      .leaky_slope = (double)c->slope,
      .norm_eps = 1e-5,
  };
  const TessProgramSpec program = {
      .kind = TESS_PROGRAM_TRAIN,
      .batch = c->n,
      .dhw = {c->dhw[0], c->dhw[1], c->dhw[2]},
      .act_dtype = act_dtype,
      .deep_supervision = TRUE,
      .dice_smooth = 1e-5f,
      .batch_dice = c->batch_dice,
  };
  g_autoptr (TessNetwork) network = NULL;

  if (c->residual)
    spec.convs_encoder[0] = spec.convs_encoder[2] = 1;
  for (guint s = 0; c->slices && s < spec.n_stages; s++)
    spec.kernel[s][0] = spec.stride[s][0] = 1;
  network = tess_network_build (&spec, &program, error);
  return network != NULL ? tess_graph_ref (network->graph) : NULL;
}

TessGraph *
op_table_build (guint i, TessDType act_dtype, GError **error)
{
  const Case *c = &cases[i];
  g_autoptr (TessGraph) graph = NULL;
  Builder b = {.c = c, .error = error};
  gint64 dim[5] = {c->n, c->dhw[0], c->dhw[1], c->dhw[2], c->channels};

  if (c->body == NULL)
    return build_unet (c, act_dtype, error);

  b.graph = graph = tess_graph_new (act_dtype);
  b.image = tess_graph_add_tensor (graph, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  dim[4] = 1;
  b.labels = tess_graph_add_tensor (graph, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, dim);
  if (!c->body (&b))
    return NULL;
  for (TessId id = 0; id < graph->tensors->len; id++)
    tess_graph_mark_output (graph, id);
  if (!tess_graph_append_backward (graph, error))
    return NULL;
  for (TessId id = 0; id < graph->tensors->len; id++)
    if (tess_graph_tensor (graph, id)->grad != TESS_NONE)
      tess_graph_mark_output (graph, tess_graph_tensor (graph, id)->grad);
  if (!tess_graph_append_optimiser (graph, c->optimiser, error))
    return NULL;
  for (TessId id = 0; id < graph->tensors->len; id++)
    if (tess_graph_tensor (graph, id)->dtype == TESS_DTYPE_F64)
      tess_graph_mark_output (graph, id);
  if (!tess_graph_place (graph, error))
    return NULL;
  return g_steal_pointer (&graph);
}

static double
fill_value (const TessTensor *t, double u, guint32 bits, guint n_labels)
{
  switch (t->role) {
  case TESS_ROLE_INPUT:
    return 1.5 * u;
  case TESS_ROLE_LABEL:
    return tess_philox_below (bits, n_labels);
  case TESS_ROLE_MOMENTUM:
    /* Squares have no sign. */
    return g_str_has_suffix (t->name, ".variance") ? 0.1 * fabs (u) : 0.1 * u;
  case TESS_ROLE_PARAM:
    if (t->init_fan > 0)
      return u * sqrt (6.0 / t->init_fan);
    return t->init_fan < 0 ? 1.0 + 0.3 * u : 0.3 * u;
  default:
    return 0;
  }
}

void
op_table_fill (guint i, const TessGraph *graph, guint8 *const arenas[TESS_N_ARENAS])
{
  guint n_labels = cases[i].n_labels > 0 ? cases[i].n_labels : cases[i].n_classes;

  for (TessId id = 0; id < graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (graph, id);

    if (t->role != TESS_ROLE_INPUT && t->role != TESS_ROLE_LABEL && t->role != TESS_ROLE_PARAM &&
        t->role != TESS_ROLE_MOMENTUM)
      continue;
    for (gsize k = 0; k < (gsize)tess_tensor_n_elements (t); k++) {
      TessPhilox4 r = tess_philox (7, i, id, 0, (guint32)k);

      ref_set (t, arenas, k, fill_value (t, tess_philox_range (r.v[0], -1, 1), r.v[1], n_labels));
    }
  }
}

void
op_table_args (guint i, TessStepArgs *args)
{
  *args = (TessStepArgs){
      .learning_rate = 0.05,
      .momentum = 0.9,
      .weight_decay = 0.01,
      .clip_norm = cases[i].clip_norm,
      .head_weight = {0.7, 0.3},
      .param_version = 1,
      .beta1 = 0.9,
      .beta2 = 0.99,
      .epsilon = 1e-8,
      .step = 3,
      .seed = G_GUINT64_CONSTANT (0x123456789abcdef),
  };
}

gboolean
op_table_uses (const TessGraph *graph, TessOpKind kind)
{
  for (guint i = 0; i < graph->ops->len; i++)
    if (tess_graph_op (graph, i)->kind == kind)
      return TRUE;
  return FALSE;
}

static gboolean
is_metrics (const TessGraph *graph, TessId id)
{
  for (guint i = 0; i < graph->ops->len; i++)
    if (tess_graph_op (graph, i)->kind == TESS_OP_LOSS && tess_graph_op (graph, i)->out[0] == id)
      return TRUE;
  return FALSE;
}

/* Loss values relative, counts within the few voxels whose two best classes nearly tie. */
static gboolean
compare_metrics (const TessTensor *a, guint8 *const arenas_a[TESS_N_ARENAS], const TessTensor *b,
                 guint8 *const arenas_b[TESS_N_ARENAS], double *error)
{
  gboolean counts_agree = TRUE;
  double voxels = 0;

  *error = 0;
  for (gsize i = 0; i < 3; i++) {
    double x = ref_get (a, arenas_a, i), y = ref_get (b, arenas_b, i);

    if (isnan (y))
      *error = HUGE_VAL;
    else if (x != y)
      *error = MAX (*error, (x - y) * (x - y) / (x * x));
  }
  for (gsize i = 3; i < (gsize)tess_tensor_n_elements (a); i++)
    if (i % 3 != 1) /* tp and fn over the classes: every voxel once */
      voxels += ref_get (a, arenas_a, i);
  for (gsize i = 3; i < (gsize)tess_tensor_n_elements (a); i++)
    if (!(fabs (ref_get (a, arenas_a, i) - ref_get (b, arenas_b, i)) <= 2 + voxels / 500))
      counts_agree = FALSE;
  return counts_agree;
}

gboolean
op_table_compare (const TessGraph *ref_graph, guint8 *const ref_arenas[TESS_N_ARENAS], const TessGraph *graph,
                  guint8 *const arenas[TESS_N_ARENAS], double tolerance, double *worst, GError **error)
{
  double largest = 0;
  TessId first_bad = TESS_NONE;
  double bad_error = 0;

  g_assert_cmpuint (ref_graph->tensors->len, ==, graph->tensors->len);
  for (TessId id = 0; id < graph->tensors->len; id++) {
    const TessTensor *a = tess_graph_tensor (ref_graph, id), *b = tess_graph_tensor (graph, id);
    gboolean good = TRUE;
    double nmse;

    if (a->role == TESS_ROLE_ACT || a->role == TESS_ROLE_INPUT || a->role == TESS_ROLE_LABEL)
      continue;
    if (is_metrics (graph, id))
      good = compare_metrics (a, ref_arenas, b, arenas, &nmse);
    else
      nmse = ref_nmse (a, ref_arenas, b, arenas);
    largest = MAX (largest, nmse);
    if ((!good || nmse > tolerance) && first_bad == TESS_NONE) {
      first_bad = id;
      bad_error = nmse;
    }
  }
  if (worst != NULL)
    *worst = largest;
  if (first_bad != TESS_NONE)
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 "tensor %u (%s): NMSE %.3g against the reference, allowed %.3g", first_bad,
                 tess_graph_tensor (graph, first_bad)->name, bad_error, tolerance);
  return first_bad == TESS_NONE;
}
