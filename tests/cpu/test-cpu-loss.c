/* Losses, their gradients and Adam against nnU-Net's classes and PyTorch (tests/reference/losses.py): the naive
 * reference and the processor's backend. */
#include "op-run.h"
#include "ref.h"
#include "tess-cpu-backend.h"
#include "tess-cpu-kernels.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define MAX_LEVELS 3

typedef struct {
  JsonObject *o;
  TessGraph *graph;
  guint n_levels;
  gint64 dhw[3];
  TessId labels, logits[MAX_LEVELS], metrics[MAX_LEVELS];
  guint64 regions[256];
} Case;

static JsonNode *root;

static double
get (JsonObject *o, const char *name)
{
  return json_object_get_double_member (o, name);
}

static JsonArray *
list (JsonObject *o, const char *name)
{
  return json_object_get_array_member (o, name);
}

static double
at (JsonArray *a, guint i)
{
  return json_array_get_double_element (a, i);
}

static TessLossAttr
attributes (Case *c)
{
  static const char *const kinds[] = {"dice-ce", "dice", "tversky", "focal"};
  JsonArray *regions = list (c->o, "regions");
  TessLossAttr attr = {
      .n_classes = (guint)get (c->o, "n"),
      .smooth = (float)get (c->o, "smooth"),
      .batch_dice = json_object_get_boolean_member (c->o, "batch_dice"),
      .background = json_object_get_boolean_member (c->o, "background"),
      .ignore = (guint)get (c->o, "ignore"),
      .alpha = (float)get (c->o, "alpha"),
      .beta = (float)get (c->o, "beta"),
      .gamma = (float)get (c->o, "gamma"),
  };

  while (strcmp (kinds[attr.kind], json_object_get_string_member (c->o, "kind")) != 0)
    attr.kind++;
  for (guint r = 0; r < json_array_get_length (regions); r++) {
    JsonArray *members = json_array_get_array_element (regions, r);

    for (guint i = 0; i < json_array_get_length (members); i++)
      c->regions[json_array_get_int_element (members, i)] |= (guint64)1 << r;
    attr.regions = c->regions;
  }
  return attr;
}

/* The logits are parameters, so that they get a gradient. */
static void
case_build (Case *c)
{
  g_autoptr (GError) error = NULL;
  TessLossAttr attr = attributes (c);
  JsonArray *heads = list (c->o, "heads"), *dhw = list (c->o, "dhw");
  gint64 dim[5] = {BATCH, 0, 0, 0, 1};

  c->graph = tess_graph_new (TESS_DTYPE_F32);
  c->n_levels = json_array_get_length (heads);
  for (guint a = 0; a < 3; a++)
    c->dhw[a] = dim[a + 1] = json_array_get_int_element (dhw, a);
  c->labels = tess_graph_add_tensor (c->graph, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, dim);
  for (guint h = 0; h < c->n_levels; h++) {
    g_autofree char *name = g_strdup_printf ("z%u", h);
    TessId labels = c->labels;

    dhw = list (json_array_get_object_element (heads, h), "dhw");
    for (guint a = 0; a < 3; a++)
      dim[a + 1] = json_array_get_int_element (dhw, a);
    dim[4] = attr.n_classes;
    c->logits[h] = tess_graph_param (c->graph, name, 5, dim, 1);
    if (h > 0)
      labels = tess_graph_label_resize (c->graph, labels, dim + 1, &error);
    g_assert_no_error (error);
    attr.head = h;
    c->metrics[h] = tess_graph_loss (c->graph, c->logits[h], labels, &attr, &error);
    g_assert_no_error (error);
    tess_graph_mark_output (c->graph, c->metrics[h]);
  }
  tess_graph_append_backward (c->graph, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < c->graph->ops->len; i++)
    if (tess_graph_op (c->graph, i)->kind == TESS_OP_LOSS_BWD)
      tess_graph_mark_output (c->graph, tess_graph_op (c->graph, i)->out[0]);
  tess_graph_place (c->graph, &error);
  g_assert_no_error (error);
}

static void
case_fill (Case *c, guint8 *const *arenas)
{
  JsonArray *labels = list (c->o, "labels"), *heads = list (c->o, "heads");

  for (guint i = 0; i < json_array_get_length (labels); i++)
    ref_set (tess_graph_tensor (c->graph, c->labels), arenas, i, at (labels, i));
  for (guint h = 0; h < c->n_levels; h++) {
    JsonArray *logits = list (json_array_get_object_element (heads, h), "logits");

    for (guint i = 0; i < json_array_get_length (logits); i++)
      ref_set (tess_graph_tensor (c->graph, c->logits[h]), arenas, i, at (logits, i) / 256);
  }
}

static TessId
gradient_of (Case *c, guint level)
{
  for (guint i = 0; i < c->graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (c->graph, i);

    if (op->kind == TESS_OP_LOSS_BWD && op->in[0] == c->logits[level])
      return op->out[0];
  }
  g_assert_not_reached ();
}

static void
case_check (Case *c, guint8 *const *arenas, const TessStepArgs *args, const char *who)
{
  JsonArray *heads = list (c->o, "heads");
  double loss = 0, expected = get (c->o, "loss");

  for (guint h = 0; h < c->n_levels; h++) {
    const TessTensor *t = tess_graph_tensor (c->graph, gradient_of (c, h));
    JsonArray *gradient = list (json_array_get_object_element (heads, h), "gradient");
    double largest = 0;

    loss += args->head_weight[h] * ref_get (tess_graph_tensor (c->graph, c->metrics[h]), arenas, 0);
    for (guint i = 0; i < json_array_get_length (gradient); i++)
      largest = MAX (largest, fabs (at (gradient, i)));
    for (guint i = 0; i < (guint)tess_tensor_n_elements (t); i++) {
      double want = json_array_get_length (gradient) > 0 ? at (gradient, i) : 0, got = ref_get (t, arenas, i);

      if (!(fabs (want - got) <= 2e-6 * largest))
        g_error ("%s, level %u, gradient %u: %.9g instead of %.9g", who, h, i, got, want);
    }
  }
  if (!(fabs (loss - expected) <= 2e-6 * MAX (fabs (expected), 1)))
    g_error ("%s: loss %.9g instead of %.9g", who, loss, expected);
}

static void
test_loss (gconstpointer data)
{
  Case c = {.o = (JsonObject *)data};
  JsonArray *weights = list (c.o, "weights");
  TessStepArgs args = {.param_version = 1};
  g_autoptr (GError) error = NULL;
  guint8 **arenas;

  case_build (&c);
  for (guint h = 0; h < c.n_levels; h++)
    args.head_weight[h] = at (weights, h);
  arenas = ref_arenas_new (c.graph);
  case_fill (&c, arenas);
  ref_run (c.graph, arenas, &args, &error);
  g_assert_no_error (error);
  case_check (&c, arenas, &args, "reference");
  ref_arenas_free (arenas);
  arenas = ref_arenas_new (c.graph);
  case_fill (&c, arenas);
  op_run_graph (tess_cpu_backend (), c.graph, 2, arenas, &args);
  case_check (&c, arenas, &args, "cpu");
  ref_arenas_free (arenas);
  tess_graph_unref (c.graph);
}

/* A loss without its regions or with too many is refused. */
static void
test_refused (void)
{
  g_autoptr (TessGraph) g = tess_graph_new (TESS_DTYPE_F32);
  gint64 dim[5] = {1, 2, 2, 2, 65}, one[5] = {1, 2, 2, 2, 1};
  TessId many = tess_graph_param (g, "many", 5, dim, 1), single = tess_graph_param (g, "single", 5, one, 1);
  TessId labels = tess_graph_add_tensor (g, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, one);
  guint64 regions[256] = {0};
  TessLossAttr attr = {.n_classes = 65, .regions = regions};
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (tess_graph_loss (g, many, labels, &attr, &error), ==, TESS_NONE);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  attr = (TessLossAttr){.n_classes = 1};
  g_assert_cmpuint (tess_graph_loss (g, single, labels, &attr, &error), ==, TESS_NONE);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
}

static void
compare (JsonObject *o, const char *name, const float *values, guint n)
{
  JsonArray *expected = list (o, name);

  for (guint i = 0; i < n; i++)
    if (!(fabs ((double)values[i] - at (expected, i)) <= 1e-5 * MAX (fabs (at (expected, i)), 1e-2)))
      g_error ("%s[%u]: %.9g instead of %.9g", name, i, (double)values[i], at (expected, i));
}

/* Ten steps with every set of kernels. */
static void
test_adam (gconstpointer data)
{
  JsonObject *o = (JsonObject *)data;
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  JsonArray *gradients = list (o, "gradients");
  guint n = json_array_get_length (list (o, "start"));

  for (guint t = 0; t < tess_cpu_kernels_usable (tables); t++) {
    g_autofree float *p = g_new (float, n), *g = g_new (float, n), *m = g_new0 (float, n), *v = g_new0 (float, n);

    for (guint i = 0; i < n; i++)
      p[i] = (float)at (list (o, "start"), i);
    for (guint s = 0; s < json_array_get_length (gradients); s++) {
      const TessCpuAdam a = {
          .n_threads = 1,
          .n = n,
          .param = p,
          .mean = m,
          .variance = v,
          .grad = g,
          .rate = 0.01,
          .beta1 = 0.9,
          .beta2 = 0.99,
          .epsilon = 1e-8,
          .weight_decay = get (o, "decay"),
          .clip = 0.5,
          .decoupled = json_object_get_boolean_member (o, "decoupled"),
          .step = s + 1,
      };

      for (guint i = 0; i < n; i++)
        g[i] = 2 * (float)at (json_array_get_array_element (gradients, s), i);
      tables[t]->adam (&a);
    }
    compare (o, "end", p, n);
    compare (o, "mean", m, n);
    compare (o, "variance", v, n);
  }
}

int
main (int argc, char *argv[])
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  JsonObject *o;
  JsonArray *cases, *adam;
  int code;

  g_test_init (&argc, &argv, NULL);
  path = g_test_build_filename (G_TEST_DIST, "reference", "losses.json", NULL);
  root = tess_json_load (path, &error);
  g_assert_no_error (error);
  o = json_node_get_object (root);
  cases = list (o, "cases");
  adam = list (o, "adam");
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *c = json_array_get_object_element (cases, i);
    g_autofree char *name = g_strconcat ("/cpu/loss/", json_object_get_string_member (c, "name"), NULL);

    g_test_add_data_func (name, c, test_loss);
  }
  for (guint i = 0; i < json_array_get_length (adam); i++)
    g_test_add_data_func (i == 0 ? "/cpu/adam" : "/cpu/adamw", json_array_get_object_element (adam, i), test_adam);
  g_test_add_func ("/cpu/loss/refused", test_refused);
  code = g_test_run ();
  json_node_unref (root);
  return code;
}
