#include "ref.h"

#include <math.h>
#include <stdlib.h>

#include "ref-ops.h"

#define ALIGNMENT 256

guint8 **
ref_arenas_new (const TessGraph *graph)
{
  guint8 **arenas = g_new0 (guint8 *, TESS_N_ARENAS);

  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    gsize bytes = (graph->arena_bytes[a] / ALIGNMENT + 1) * ALIGNMENT;

    arenas[a] = aligned_alloc (ALIGNMENT, bytes);
    g_assert_nonnull (arenas[a]);
    memset (arenas[a], 0, bytes);
  }
  return arenas;
}

void
ref_arenas_free (guint8 **arenas)
{
  if (arenas == NULL)
    return;
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    free (arenas[a]);
  g_free (arenas);
}

double
ref_get (const TessTensor *tensor, guint8 *const arenas[TESS_N_ARENAS], gsize i)
{
  const guint8 *p = arenas[tensor->arena] + tensor->offset + i * tess_dtype_size (tensor->dtype);
  double d;
  float f;
  guint16 h;

  switch (tensor->dtype) {
  case TESS_DTYPE_F64:
    memcpy (&d, p, sizeof d);
    return d;
  case TESS_DTYPE_F32:
    memcpy (&f, p, sizeof f);
    return (double)f;
  case TESS_DTYPE_BF16:
    memcpy (&h, p, sizeof h);
    return (double)tess_bf16_to_float (h);
  case TESS_DTYPE_U8:
    return *p;
  default:
    g_assert_not_reached ();
  }
}

void
ref_set (const TessTensor *tensor, guint8 *const arenas[TESS_N_ARENAS], gsize i, double value)
{
  guint8 *p = arenas[tensor->arena] + tensor->offset + i * tess_dtype_size (tensor->dtype);
  float f = (float)value;
  guint16 h;

  switch (tensor->dtype) {
  case TESS_DTYPE_F64:
    memcpy (p, &value, sizeof value);
    return;
  case TESS_DTYPE_F32:
    memcpy (p, &f, sizeof f);
    return;
  case TESS_DTYPE_BF16:
    h = tess_float_to_bf16 (f);
    memcpy (p, &h, sizeof h);
    return;
  case TESS_DTYPE_U8:
    *p = (guint8)value;
    return;
  default:
    g_assert_not_reached ();
  }
}

RefDouble *
ref_double_new (const TessGraph *graph)
{
  RefDouble *ref = g_new0 (RefDouble, 1);

  ref->graph = graph;
  ref->values = g_new0 (double *, graph->tensors->len);
  for (TessId id = 0; id < graph->tensors->len; id++)
    ref->values[id] = g_new0 (double, (gsize)tess_tensor_n_elements (tess_graph_tensor (graph, id)));
  return ref;
}

void
ref_double_free (RefDouble *ref)
{
  if (ref == NULL)
    return;
  for (TessId id = 0; id < ref->graph->tensors->len; id++)
    g_free (ref->values[id]);
  g_free (ref->values);
  g_free (ref);
}

void
ref_double_load (RefDouble *ref, guint8 *const arenas[TESS_N_ARENAS])
{
  for (TessId id = 0; id < ref->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (ref->graph, id);

    if (t->role != TESS_ROLE_ACT)
      for (gsize i = 0; i < (gsize)tess_tensor_n_elements (t); i++)
        ref->values[id][i] = ref_get (t, arenas, i);
  }
}

gboolean
ref_double_run (RefDouble *ref, guint first, guint last, const TessStepArgs *args, GError **error)
{
  ref->kinks = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  for (guint i = first; i < last; i++)
    if (!ref_op_run (ref->graph, tess_graph_op (ref->graph, i), ref->values, args, &ref->kinks, error))
      return FALSE;
  return TRUE;
}

static gboolean
updates (TessOpKind kind)
{
  return kind == TESS_OP_SGD || kind == TESS_OP_ADAM;
}

/* A tensor's values while one op runs on them; loaded once even when it is named twice. */
static void
load (const TessGraph *graph, TessId id, gboolean round, double **values, guint8 *const arenas[TESS_N_ARENAS])
{
  const TessTensor *t;
  gsize n;

  if (id == TESS_NONE || values[id] != NULL)
    return;
  t = tess_graph_tensor (graph, id);
  n = (gsize)tess_tensor_n_elements (t);
  values[id] = g_new (double, n);
  for (gsize i = 0; i < n; i++) {
    values[id][i] = ref_get (t, arenas, i);
    if (round)
      values[id][i] = (double)tess_bf16_to_float (tess_float_to_bf16 ((float)values[id][i]));
  }
}

static void
store (const TessGraph *graph, TessId id, double **values, guint8 *const arenas[TESS_N_ARENAS])
{
  const TessTensor *t;
  gsize n;

  if (id == TESS_NONE)
    return;
  t = tess_graph_tensor (graph, id);
  n = (gsize)tess_tensor_n_elements (t);
  for (gsize i = 0; i < n; i++)
    ref_set (t, arenas, i, values[id][i]);
}

static gboolean
run_one (const TessGraph *graph, const TessOp *op, double **values, guint8 *const arenas[TESS_N_ARENAS],
         const TessStepArgs *args, GError **error)
{
  gboolean round = graph->act_dtype == TESS_DTYPE_BF16 && tess_op_is_conv (op->kind);
  gboolean whole = op->kind == TESS_OP_GRAD_NORM || updates (op->kind); /* works on whole arenas */
  gboolean ok;
  guint64 kinks = 0;

  for (guint k = 0; k < op->n_in; k++)
    load (graph, op->in[k], round && k < 2 /* not the bias */, values, arenas);
  for (guint k = 0; k < op->n_out; k++)
    load (graph, op->out[k], FALSE, values, arenas);
  for (TessId id = 0; whole && id < graph->tensors->len; id++) {
    TessRole role = tess_graph_tensor (graph, id)->role;

    if (role == TESS_ROLE_GRAD || role == TESS_ROLE_PARAM || role == TESS_ROLE_MOMENTUM)
      load (graph, id, FALSE, values, arenas);
  }

  ok = ref_op_run (graph, op, values, args, &kinks, error);

  for (guint k = 0; ok && k < op->n_out; k++)
    store (graph, op->out[k], values, arenas);
  for (TessId id = 0; ok && updates (op->kind) && id < graph->tensors->len; id++) {
    TessRole role = tess_graph_tensor (graph, id)->role;

    if (role == TESS_ROLE_PARAM || role == TESS_ROLE_MOMENTUM)
      store (graph, id, values, arenas);
  }
  for (TessId id = 0; id < graph->tensors->len; id++)
    g_clear_pointer (&values[id], g_free);
  return ok;
}

gboolean
ref_run (const TessGraph *graph, guint8 *const arenas[TESS_N_ARENAS], const TessStepArgs *args, GError **error)
{
  g_autofree double **values = g_new0 (double *, graph->tensors->len + 1);

  g_assert_true (graph->placed);
  for (guint i = 0; i < graph->ops->len; i++)
    if (!run_one (graph, tess_graph_op (graph, i), values, arenas, args, error))
      return FALSE;
  return TRUE;
}

double
ref_nmse (const TessTensor *a, guint8 *const arenas_a[TESS_N_ARENAS], const TessTensor *b,
          guint8 *const arenas_b[TESS_N_ARENAS])
{
  double difference = 0, scale = 0;
  gsize n = (gsize)tess_tensor_n_elements (a);

  g_assert_cmpint (tess_tensor_n_elements (a), ==, tess_tensor_n_elements (b));
  for (gsize i = 0; i < n; i++) {
    double x = ref_get (a, arenas_a, i), y = ref_get (b, arenas_b, i);

    difference += (x - y) * (x - y);
    scale += x * x;
  }
  if (isnan (difference))
    return HUGE_VAL;
  if (difference == 0)
    return 0;
  return scale == 0 ? HUGE_VAL : difference / scale;
}
