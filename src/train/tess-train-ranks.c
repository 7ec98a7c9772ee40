#include "tess-trainer-private.h"

#include <inttypes.h>
#include <string.h>

/* Processes that train together. Each draws its part of every batch; loss and gradient are those of the whole batch
 * (TessStepArgs.communicator), so all ranks hold the same parameters and see the same numbers, and what follows from
 * the numbers alone needs no word between them. What does need one: files, clocks and signals. */

gboolean
tess_training_is_first (const TessTraining *t)
{
  return t->ranks->rank == 0;
}

/* local: taken. What fails here fails together. */
gboolean
tess_training_agree (TessTraining *t, GError *local, GError **error)
{
  gboolean together, ok = tess_communicator_agree (t->ranks, local, &together, error);

  if (!ok)
    t->together = together;
  return ok;
}

gboolean
tess_training_first_says (TessTraining *t, gboolean *answer, GError **error)
{
  return t->ranks->broadcast (t->ranks, 0, answer, sizeof *answer, error);
}

/* By the cards' names, as a process may be shown only some of its machine's. */
gboolean
tess_training_count_sharing (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;
  double mine[TESS_CARD_ID_SIZE];
  g_autofree double *all = NULL;
  TessDeviceInfo info = {0};
  GError *local = NULL;

  t->n_sharing = t->ranks->n_local;
  if (t->ranks->size == 1)
    return TRUE;
  o->backend->device_info (o->device, &info, &local);
  if (!tess_training_agree (t, local, error))
    return FALSE;
  for (guint i = 0; i < TESS_CARD_ID_SIZE; i++)
    mine[i] = info.card[i];
  all = tess_communicator_gather (t->ranks, mine, TESS_CARD_ID_SIZE, error);
  if (all == NULL)
    return FALSE;
  if (strcmp (o->backend->id, "cpu") == 0)
    return TRUE;
  t->n_sharing = 0;
  for (guint i = 0; i < t->ranks->size; i++)
    t->n_sharing += memcmp (all + i * TESS_CARD_ID_SIZE, mine, sizeof mine) == 0;
  return TRUE;
}

/* The cases of a dataset that is not the same everywhere would be other ones for other ranks. */
static gboolean
same_dataset (TessTraining *t, GError **error)
{
  g_autofree char *mine = tess_dataset_identity (t->dataset);
  g_autoptr (GBytes) own = g_bytes_new (mine, strlen (mine));
  g_autoptr (GBytes) first = tess_communicator_share (t->ranks, tess_training_is_first (t) ? own : NULL, error);
  GError *local = NULL;

  if (first == NULL)
    return FALSE;
  if (!g_bytes_equal (own, first))
    g_set_error (&local, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: is not the dataset that process 0 sees there; all processes need the same files"),
                 t->options->dataset_dir);
  return tess_training_agree (t, local, error);
}

/* The planner looks at the machine, so only one rank may ask it. */
gboolean
tess_training_share_plan (TessTraining *t, GError **error)
{
  g_autoptr (GBytes) own = NULL, first = NULL;
  g_autofree char *text = NULL;
  GError *local = NULL;
  TessPlan *plan;

  if (t->ranks->size == 1)
    return TRUE;
  if (tess_training_is_first (t)) {
    text = tess_plan_to_text (t->plan);
    own = g_bytes_new (text, strlen (text) + 1);
  }
  first = tess_communicator_share (t->ranks, own, error);
  if (first == NULL)
    return FALSE;
  plan = tess_plan_from_text (g_bytes_get_data (first, NULL), t->options->run_dir, &local);
  if (plan != NULL) {
    g_clear_pointer (&t->plan, tess_plan_unref);
    t->plan = plan;
  }
  return tess_training_agree (t, local, error) && same_dataset (t, error);
}

gboolean
tess_training_share_batch (TessTraining *t, GError **error)
{
  gint64 batch = t->plan->training.batch_size, size = t->ranks->size;

  if (batch % size != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("a batch of %" PRId64 " cannot be shared evenly by %" PRId64
                    " processes; start another number of them, or change the plan's batch_size"),
                 batch, size);
    return FALSE;
  }
  t->share = tess_plan_dup (t->plan);
  t->share->training.batch_size = batch / size;
  return TRUE;
}

gboolean
tess_training_turn (TessTraining *t, TessTurn *turn, GError **error)
{
  double numbers[3] = {turn->stop, turn->budget_used, turn->learning_rate};

  if (!tess_training_is_first (t))
    numbers[1] = numbers[2] = 0.0;
  if (!t->ranks->sum_f64 (t->ranks, numbers, G_N_ELEMENTS (numbers), error))
    return FALSE;
  *turn = (TessTurn){numbers[0], numbers[1], numbers[2]};
  return TRUE;
}
