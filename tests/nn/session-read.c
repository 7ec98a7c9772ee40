#include "session-read.h"

GPtrArray *
session_params_new (TessSession *session)
{
  GPtrArray *values = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < tess_session_n_params (session); i++)
    g_ptr_array_add (values, g_malloc (tess_session_param (session, i)->bytes));
  return values;
}

GPtrArray *
session_params (TessSession *session, TessState state, GError **error)
{
  g_autoptr (GPtrArray) values = session_params_new (session);

  if (!tess_session_get_params (session, state, (float *const *)values->pdata, error))
    return NULL;
  return g_steal_pointer (&values);
}

gboolean
session_append_params (TessSession *session, GArray *all, GError **error)
{
  g_autoptr (GPtrArray) values = session_params (session, TESS_STATE_PARAM, error);

  for (guint i = 0; values != NULL && i < values->len; i++)
    g_array_append_vals (all, values->pdata[i], (guint)(tess_session_param (session, i)->bytes / sizeof (float)));
  return values != NULL;
}

gboolean
session_loss (TessSession *session, int program, const TessStepArgs *args, double *loss, GError **error)
{
  const TessNetwork *network = tess_session_network (session, program);

  *loss = 0;
  for (guint h = 0; h < network->n_heads; h++) {
    gsize bytes = tess_graph_tensor (network->graph, network->metrics[h])->bytes;
    g_autofree double *metrics = g_malloc (bytes);

    if (!tess_session_read (session, program, network->metrics[h], metrics, bytes, error))
      return FALSE;
    *loss += args->head_weight[h] * metrics[0];
  }
  return TRUE;
}
