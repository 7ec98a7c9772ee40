#include "tess-run-model-private.h"

#include <math.h>
#include <string.h>

/* What there is to be shown of a run: model, plan, log, snapshots. */

gboolean
tess_run_model_has_model (TessRunModel *self)
{
  return self->has_best;
}

char *
tess_run_model_dup_model (TessRunModel *self)
{
  return g_build_filename (self->run_dir, "best.safetensors", NULL);
}

const char *
tess_run_model_get_dataset_dir (TessRunModel *self)
{
  return self->dataset_dir;
}

const TessPlan *
tess_run_model_get_plan (TessRunModel *self)
{
  return self->plan;
}

const char *
tess_run_model_get_codes (TessRunModel *self)
{
  return self->codes;
}

const char *
tess_run_model_get_trouble (TessRunModel *self)
{
  return self->trouble;
}

char *
tess_run_model_next_note (TessRunModel *self)
{
  return self->trainer ? tess_trainer_next_note (self->trainer) : NULL;
}

guint
tess_run_model_n_rows (TessRunModel *self)
{
  return self->rows->len;
}

const TessEpochRecord *
tess_run_model_row (TessRunModel *self, guint row)
{
  g_return_val_if_fail (row < self->rows->len, NULL);
  return &g_array_index (self->rows, TessEpochRecord, row);
}

/* Dice of the class whose name follows "dice_". */
static double
dice_value (TessRunModel *self, const TessEpochRecord *r, const char *name)
{
  for (guint c = 1; c < self->label_names->len && c < r->n_labels; c++)
    if (strcmp (g_ptr_array_index (self->label_names, c), name) == 0)
      return r->dice[c];
  return NAN;
}

double
tess_run_model_value (TessRunModel *self, guint row, const char *column)
{
  const TessEpochRecord *r = row < self->rows->len ? &g_array_index (self->rows, TessEpochRecord, row) : NULL;
  const struct {
    const char *name;
    double value;
  } columns[] = {
      {"epoch", r ? (double)r->epoch : NAN}, {"iteration", r ? (double)r->iteration : NAN},
      {"loss", r ? r->train_loss : NAN},     {"val_loss", r ? r->val_loss : NAN},
      {"mean_dice", r ? r->dice[0] : NAN},   {"rate", r ? r->learning_rate : NAN},
      {"seconds", r ? r->seconds : NAN},     {"loader_share", r ? r->loader_share : NAN},
  };

  if (!r)
    return NAN;
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    if (strcmp (column, columns[i].name) == 0)
      return columns[i].value;
  return g_str_has_prefix (column, "dice_") ? dice_value (self, r, column + strlen ("dice_")) : NAN;
}

GPtrArray *
tess_run_model_label_names (TessRunModel *self)
{
  return self->label_names;
}

TessSnapshot *
tess_run_model_dup_newest (TessRunModel *self)
{
  return self->newest ? tess_snapshot_ref (self->newest) : NULL;
}

guint
tess_run_model_n_kept (TessRunModel *self)
{
  return self->kept->len;
}

gint64
tess_run_model_kept_epoch (TessRunModel *self, guint i)
{
  g_return_val_if_fail (i < self->kept->len, 0);
  return g_array_index (self->kept, gint64, i);
}

static void
load_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  TessSnapshot *snapshot = tess_snapshot_load (task_data, &error);

  if (snapshot)
    g_task_return_pointer (task, snapshot, (GDestroyNotify)tess_snapshot_unref);
  else
    g_task_return_error (task, error);
}

void
tess_run_model_load_kept_async (TessRunModel *self, guint i, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  g_autoptr (TessRunFolder) run = tess_run_folder_new (self->run_dir);

  g_return_if_fail (i < self->kept->len);
  g_task_set_task_data (task, tess_run_folder_snapshot (run, g_array_index (self->kept, gint64, i)), g_free);
  g_task_run_in_thread (task, load_thread);
}

TessSnapshot *
tess_run_model_load_kept_finish (TessRunModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
