#include "tess-train-state.h"

#include "tess-json.h"

#include <math.h>

void
tess_train_checkpoint_init (TessTrainCheckpoint *c)
{
  *c = (TessTrainCheckpoint){.ema = NAN, .best = NAN};
}

typedef struct {
  const char *name;
  gsize offset;
} Field;

#define FIELD(name)                                                                                                    \
  {                                                                                                                    \
#name, G_STRUCT_OFFSET(TessTrainCheckpoint, name)                                                                  \
  }

static const Field ints[] = {
    FIELD (epoch), FIELD (iteration), FIELD (total), FIELD (best_epoch), FIELD (n_epochs),
};
static const Field doubles[] = {
    FIELD (loss_sum),    FIELD (ema),           FIELD (best),      FIELD (elapsed), FIELD (epoch_seconds),
    FIELD (epoch_steps), FIELD (epoch_waiting), FIELD (last_rate), FIELD (minutes),
};

char *
tess_train_checkpoint_to_text (const TessTrainCheckpoint *c)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *o = json_object_new ();

  json_node_take_object (node, o);
  for (guint i = 0; i < G_N_ELEMENTS (ints); i++)
    json_object_set_int_member (o, ints[i].name, G_STRUCT_MEMBER (gint64, c, ints[i].offset));
  for (guint i = 0; i < G_N_ELEMENTS (doubles); i++) {
    double value = G_STRUCT_MEMBER (double, c, doubles[i].offset);

    if (isfinite (value))
      json_object_set_double_member (o, doubles[i].name, value);
  }
  json_object_set_int_member (o, "n_threads", c->n_threads);
  json_object_set_string_member (o, "precision", c->precision);
  json_object_set_string_member (o, "backend", c->backend);
  return tess_json_to_text (node, FALSE);
}

gboolean
tess_train_checkpoint_from_text (TessTrainCheckpoint *c, const char *text, const char *origin, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_parse (text, -1, origin, error);
  const char *precision, *backend;
  gint64 n_threads;
  JsonObject *o;

  tess_train_checkpoint_init (c);
  if (!root || !tess_json_root (root, origin, &o, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (ints); i++)
    if (!tess_json_int (o, origin, ints[i].name, 0, G_MAXINT64, &G_STRUCT_MEMBER (gint64, c, ints[i].offset), error))
      return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (doubles); i++)
    if (!tess_json_double_opt (o, origin, doubles[i].name, &G_STRUCT_MEMBER (double, c, doubles[i].offset), error))
      return FALSE;
  if (!tess_json_int (o, origin, "n_threads", 0, G_MAXUINT, &n_threads, error) ||
      !tess_json_string (o, origin, "precision", &precision, error) ||
      !tess_json_string (o, origin, "backend", &backend, error))
    return FALSE;
  c->n_threads = (guint)n_threads;
  g_strlcpy (c->precision, precision, sizeof c->precision);
  g_strlcpy (c->backend, backend, sizeof c->backend);
  return TRUE;
}
