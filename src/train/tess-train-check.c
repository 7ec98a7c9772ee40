#include "tess-train-check.h"

#include <math.h>

/* What makes a training come out with labels missing although its loss falls: an activation that is applied twice, and
 * classes that can never win. */

#define SUM_TOLERANCE 1e-3f

/**
 * tess_logits_look_activated:
 * @logits: {n, channels}, channels fastest
 * @sigmoid: each channel stands alone
 *
 * Logits of a whole patch go below 0 or above 1 somewhere; a network that ends with a softmax or sigmoid of its own
 * does not.
 *
 * Returns: whether all values lie in [0, 1] and, without @sigmoid, sum to 1 in every voxel
 */
gboolean
tess_logits_look_activated (const float *logits, gsize n, guint channels, gboolean sigmoid)
{
  for (gsize i = 0; i < n; i++) {
    float sum = 0.0f;

    for (guint c = 0; c < channels; c++) {
      float v = logits[i * channels + c];

      if (!(v >= 0.0f && v <= 1.0f))
        return FALSE;
      sum += v;
    }
    if (!sigmoid && !(fabsf (sum - 1.0f) <= SUM_TOLERANCE))
      return FALSE;
  }
  return n > 0;
}

/* Notes what the way regions are painted hides. */
void
tess_training_check_plan (TessTraining *t)
{
  g_autoptr (GPtrArray) hidden = tess_plan_hidden_labels (t->plan);

  for (guint i = 0; i < hidden->len; i++)
    tess_training_note (t, "%s: %s", t->options->run_dir, (const char *)g_ptr_array_index (hidden, i));
}

static gboolean
is_present (const TessPlan *plan, guint output, const gboolean *present)
{
  for (guint v = 0; v < plan->n_labels; v++)
    if (present[v] && tess_plan_output_holds (plan, output, v))
      return TRUE;
  return FALSE;
}

/* Notes once the classes without any voxel in the labels of the training cases: as soon as every one of those has been
 * decoded, which costs nothing. */
void
tess_training_check_classes (TessTraining *t)
{
  const TessSplit *split = &t->run_dataset.split;
  guint offset = tess_plan_is_sigmoid (t->plan) ? 1 : 0;
  gboolean present[256];

  if (t->classes_checked || !tess_case_cache_labels (t->cache, split->train, split->n_train, present))
    return;
  t->classes_checked = TRUE;
  for (guint s = 1; s < t->n_scores; s++)
    if (!is_present (t->plan, s - offset, present))
      tess_training_note (t,
                          _ ("%s: no voxel of the training labels is %s, so it can never be found; check the labels, "
                             "or take it out of the dataset"),
                          t->options->run_dir, tess_plan_score_name (t->plan, s));
}

/* Notes once that the heads look as if they had an activation of their own. */
void
tess_training_check_heads (TessTraining *t)
{
  if (t->heads_noted || !tess_live_view_activated (t->view))
    return;
  t->heads_noted = TRUE;
  tess_training_note (
      t,
      tess_plan_is_sigmoid (t->plan)
          ? _ ("%s: the network's outputs all lie between 0 and 1, as if it had a sigmoid of its own; the "
               "loss applies one, so take it out of the network")
          : _ ("%s: the network's outputs lie between 0 and 1 and sum to 1, as if it had a softmax of "
               "its own; the loss applies one, so take it out of the network"),
      t->options->run_dir);
}
