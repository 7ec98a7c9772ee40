#include <math.h>

#include "op-table.h"
#include "tess-philox.h"

/* The reference's backward against its own forward: 4-point central differences in double,
 * f' = (8 (f(+e) - f(-e)) - (f(+2e) - f(-2e))) / 12 e. */

static double
total_loss (RefDouble *ref, const TessStepArgs *args, guint64 *kinks)
{
  g_autoptr (GError) error = NULL;
  double loss = 0;

  ref_double_run (ref, 0, ref->graph->n_forward, args, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < ref->graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (ref->graph, i);

    if (op->kind == TESS_OP_LOSS)
      loss += args->head_weight[op->attr.loss.head] * ref->values[op->out[0]][0];
  }
  *kinks = ref->kinks;
  return loss;
}

/* FALSE when a leaky ReLU's input changes its side between the four points: the loss has a kink there. */
static gboolean
difference (RefDouble *ref, const TessStepArgs *args, double *value, double e, double *derivative)
{
  const double at[4] = {e, -e, 2 * e, -2 * e};
  double f[4], here = *value;
  guint64 kinks[4];

  for (int i = 0; i < 4; i++) {
    *value = here + at[i];
    f[i] = total_loss (ref, args, &kinks[i]);
  }
  *value = here;
  *derivative = (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * e);
  return kinks[0] == kinks[1] && kinks[1] == kinks[2] && kinks[2] == kinks[3];
}

static void
check_param (RefDouble *ref, const TessStepArgs *args, TessId id, guint *n_checked)
{
  const TessTensor *t = tess_graph_tensor (ref->graph, id);
  gint64 n = tess_tensor_n_elements (t);
  const double *gradient = ref->values[t->grad];
  /* A whole U-Net has many parameters, and a large volume takes long. */
  gint64 few = ref->graph->ops->len > 40 || ref->graph->arena_bytes[TESS_ARENA_IO] > (1 << 21) ? 1 : 4;
  double scale = 0;

  for (gint64 i = 0; i < n; i++)
    scale = MAX (scale, fabs (gradient[i]));
  for (gint64 k = 0; k < MIN (n, few); k++) {
    gint64 i = n <= 4 ? k : (gint64)tess_philox_below (tess_philox (11, 0, id, 0, (guint32)k).v[0], (guint32)n);
    double derivative = 0, e = 1e-3;
    gboolean agree = FALSE;

    /* A smaller step where there is a kink within reach, or where the truncation error, which goes with e^4, counts;
     * the rounding error goes with 1e-16 / e. */
    for (; !agree && e > 1e-7; e /= 10)
      agree = difference (ref, args, &ref->values[id][i], e, &derivative) &&
              fabs (derivative - gradient[i]) <= 1e-7 * scale + 1e-9;
    if (!agree)
      g_error ("%s[%d]: backward %.12g, difference %.12g (step %g)", t->name, (int)i, gradient[i], derivative, e);
    (*n_checked)++;
  }
}

static void
test_gradient (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data), n_checked = 0;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessGraph) graph = op_table_build (i, TESS_DTYPE_F32, &error);
  g_autoptr (RefDouble) ref = NULL;
  guint8 **arenas;
  TessStepArgs args;
  guint64 kinks;

  g_assert_no_error (error);
  arenas = ref_arenas_new (graph);
  op_table_fill (i, graph, arenas);
  op_table_args (i, &args);
  ref = ref_double_new (graph);
  ref_double_load (ref, arenas);

  total_loss (ref, &args, &kinks);
  for (guint k = graph->n_forward; k < graph->ops->len; k++)
    if (tess_graph_op (graph, k)->kind != TESS_OP_SGD && tess_graph_op (graph, k)->kind != TESS_OP_ADAM) {
      ref_double_run (ref, k, k + 1, &args, &error);
      g_assert_no_error (error);
    }
  for (TessId id = 0; id < graph->tensors->len; id++)
    /* Of a U-Net every other parameter, in the two cases the ones and the others. */
    if (tess_graph_tensor (graph, id)->role == TESS_ROLE_PARAM && (graph->ops->len <= 40 || (id + i) % 2 == 0))
      check_param (ref, &args, id, &n_checked);
  g_assert_cmpuint (n_checked, >, 0);
  ref_arenas_free (arenas);
}

/* In the arenas, with memory shared by lifetime and float storage, the same numbers come out as in doubles of their
 * own: a tensor overwritten too early would show. In bf16 they come out near. */
static void
test_arenas (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  const TessDType dtypes[2] = {TESS_DTYPE_F32, TESS_DTYPE_BF16};
  const double tolerances[2] = {1e-11, 0.2 /* a sign turned by rounding turns a gradient */};

  for (int d = 0; d < 2; d++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessGraph) graph = op_table_build (i, dtypes[d], &error);
    g_autoptr (RefDouble) ref = NULL;
    guint8 **arenas;
    TessStepArgs args;
    double worst = 0;

    g_assert_no_error (error);
    arenas = ref_arenas_new (graph);
    op_table_fill (i, graph, arenas);
    op_table_args (i, &args);
    ref = ref_double_new (graph);
    ref_double_load (ref, arenas);
    ref_double_run (ref, 0, graph->ops->len, &args, &error);
    g_assert_no_error (error);
    memset (arenas[TESS_ARENA_ACT], 0xff, graph->arena_bytes[TESS_ARENA_ACT]); /* NaN: nothing is read unwritten */
    ref_run (graph, arenas, &args, &error);
    g_assert_no_error (error);

    for (TessId id = 0; id < graph->tensors->len; id++) {
      const TessTensor *t = tess_graph_tensor (graph, id);
      double miss = 0, scale = 0;

      if (t->role == TESS_ROLE_ACT)
        continue;
      for (gsize k = 0; k < (gsize)tess_tensor_n_elements (t); k++) {
        double x = ref->values[id][k], y = ref_get (t, arenas, k);

        miss += (x - y) * (x - y);
        scale += x * x;
      }
      if (!(miss <= tolerances[d] * scale))
        g_error ("%s in %s: NMSE %g", t->name, tess_dtype_name (dtypes[d]), miss / scale);
      worst = MAX (worst, miss / scale);
    }
    g_test_message ("%s: largest NMSE %.3g", tess_dtype_name (dtypes[d]), worst);
    ref_arenas_free (arenas);
  }
}

static guint
count_nan (TessGraph *graph, guint8 **arenas)
{
  guint n = 0;

  for (TessId id = 0; id < graph->tensors->len; id++)
    for (gsize k = 0; k < (gsize)tess_tensor_n_elements (tess_graph_tensor (graph, id)); k++)
      n += isnan (ref_get (tess_graph_tensor (graph, id), arenas, k)) ? 1 : 0;
  return n;
}

/* op_table_compare accepts equality, and refuses one changed element and a NaN. */
static void
test_compare (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessGraph) graph = op_table_build (0, TESS_DTYPE_F32, &error);
  guint8 **a, **b;
  TessId id = 0;
  double before, worst;

  g_assert_no_error (error);
  a = ref_arenas_new (graph);
  b = ref_arenas_new (graph);
  op_table_fill (0, graph, a);
  op_table_fill (0, graph, b);
  g_assert_true (op_table_compare (graph, a, graph, b, 0, &worst, &error));
  g_assert_cmpfloat (worst, ==, 0);

  while (tess_graph_tensor (graph, id)->role != TESS_ROLE_PARAM)
    id++;
  before = ref_get (tess_graph_tensor (graph, id), b, 1);
  ref_set (tess_graph_tensor (graph, id), b, 1, before * 1.01);
  g_assert_false (op_table_compare (graph, a, graph, b, 1e-10, &worst, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  ref_set (tess_graph_tensor (graph, id), b, 1, NAN);
  g_assert_cmpuint (count_nan (graph, b), ==, 1);
  g_assert_false (op_table_compare (graph, a, graph, b, 1e10, NULL, &error));
  ref_arenas_free (a);
  ref_arenas_free (b);
}

/* Together the cases hold every op. */
static void
test_complete (void)
{
  gboolean seen[TESS_N_OPS] = {FALSE};

  for (guint i = 0; i < op_table_n (); i++) {
    g_autoptr (TessGraph) graph = op_table_build (i, TESS_DTYPE_BF16, NULL);

    for (guint kind = 0; kind < TESS_N_OPS; kind++)
      seen[kind] = seen[kind] || op_table_uses (graph, kind);
  }
  for (guint kind = 0; kind < TESS_N_OPS; kind++)
    if (!seen[kind])
      g_error ("no case has the op %s", tess_op_name (kind));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < op_table_n (); i++) {
    g_autofree char *gradient = g_strdup_printf ("/nn/ref/gradient/%s", op_table_name (i));
    g_autofree char *arenas = g_strdup_printf ("/nn/ref/arenas/%s", op_table_name (i));

    g_test_add_data_func (gradient, GUINT_TO_POINTER (i), test_gradient);
    g_test_add_data_func (arenas, GUINT_TO_POINTER (i), test_arenas);
  }
  g_test_add_func ("/nn/ref/compare", test_compare);
  g_test_add_func ("/nn/ref/complete", test_complete);
  return g_test_run ();
}
