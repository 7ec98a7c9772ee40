#include "tess-run-alarms.h"

#include <inttypes.h>
#include <math.h>

#define ABSENT_EPOCHS 5u   /* of Dice 0 until a class counts as not found; at least a twentieth of all */
#define PLATEAU_EPOCHS 30u /* without a better running mean; at least a quarter of all */
#define LOADER_EPOCHS 3u
#define LOADER_SHARE 0.2
#define EMA_KEEP 0.9 /* nnU-Net's running mean of the Dice, as the trainer uses it */

static void
alarm_clear (gpointer data)
{
  g_free (((TessRunAlarm *)data)->sentence);
}

static void
add (GArray *alarms, TessAlarmKind kind, gint64 epoch, char *sentence)
{
  TessRunAlarm alarm = {kind, epoch, sentence};

  g_array_append_val (alarms, alarm);
}

static void
find_not_a_number (TessRunModel *model, GArray *alarms)
{
  guint n = tess_run_model_n_rows (model);

  for (guint i = 0; i < n; i++) {
    const TessEpochRecord *r = tess_run_model_row (model, i);

    if (!isfinite (r->train_loss)) {
      add (alarms, TESS_ALARM_NOT_A_NUMBER, r->epoch,
           g_strdup_printf (_ ("From epoch %" PRId64 " on the loss is not a number: the network is lost. Stop, and "
                               "train again with a lower learning rate (Change the plan)."),
                            r->epoch));
      return;
    }
  }
}

/* A run of zeros at the end of a class's Dice; undefined epochs neither break nor lengthen it. */
static void
find_never_found (TessRunModel *model, GArray *alarms)
{
  GPtrArray *names = tess_run_model_label_names (model);
  guint n = tess_run_model_n_rows (model), patience;
  TessTrainStatus status;

  tess_run_model_get_status (model, &status);
  patience = MAX (ABSENT_EPOCHS, (guint)(status.n_epochs / 20));
  for (guint c = 1; c < names->len; c++) {
    const char *name = g_ptr_array_index (names, c);
    gboolean found = FALSE;
    guint zeros = 0;
    gint64 since = 0;

    for (guint i = n; i-- > 0 && !found;) {
      const TessEpochRecord *r = tess_run_model_row (model, i);

      if (c >= r->n_labels || isnan (r->dice[c]))
        continue;
      found = r->dice[c] > 0.0;
      zeros += !found;
      since = found ? since : r->epoch;
    }
    if (zeros < patience)
      continue;
    add (alarms, TESS_ALARM_NEVER_FOUND, since,
         found ? g_strdup_printf (_ ("\"%s\" was found before, but not since epoch %" PRId64
                                     ": if it stays so, start again with a lower learning rate or more cases."),
                                  name, since)
               : g_strdup_printf (_ ("\"%s\" has not been found yet: small structures come late; if it stays so, add "
                                     "cases that show it."),
                                  name));
  }
}

gint64
tess_run_best_epoch (TessRunModel *model)
{
  double ema = NAN, best = NAN;
  gint64 best_epoch = 0;

  for (guint i = 0; i < tess_run_model_n_rows (model); i++) {
    const TessEpochRecord *r = tess_run_model_row (model, i);

    if (!isfinite (r->dice[0]))
      continue;
    ema = isfinite (ema) ? EMA_KEEP * ema + (1.0 - EMA_KEEP) * r->dice[0] : r->dice[0];
    if (!(ema <= best)) {
      best = ema;
      best_epoch = r->epoch;
    }
  }
  return best_epoch;
}

static void
find_plateau (TessRunModel *model, GArray *alarms)
{
  guint n = tess_run_model_n_rows (model);
  gint64 best = tess_run_best_epoch (model), last = n > 0 ? tess_run_model_row (model, n - 1)->epoch : 0;

  if (best > 0 && last - best >= MAX ((gint64)PLATEAU_EPOCHS, last / 4))
    add (alarms, TESS_ALARM_PLATEAU, best,
         g_strdup_printf (_ ("The validation Dice has not grown since epoch %" PRId64
                             ": more cases may help more than more epochs."),
                          best));
}

static void
find_loader (TessRunModel *model, GArray *alarms)
{
  guint n = tess_run_model_n_rows (model), slow = 0;
  double sum = 0.0;
  gint64 since = 0;

  for (guint i = n; i-- > 0;) {
    const TessEpochRecord *r = tess_run_model_row (model, i);

    if (!(r->loader_share > LOADER_SHARE))
      break;
    slow++;
    sum += r->loader_share;
    since = r->epoch;
  }
  if (slow >= LOADER_EPOCHS)
    add (alarms, TESS_ALARM_LOADER, since,
         g_strdup_printf (_ ("The network waits for data %.0f %% of the time: put the dataset on a faster disk, or "
                             "close other programs."),
                          100.0 * sum / slow));
}

static int
compare_alarms (gconstpointer a, gconstpointer b)
{
  gint64 x = ((const TessRunAlarm *)a)->epoch, y = ((const TessRunAlarm *)b)->epoch;

  return (x > y) - (x < y);
}

GArray *
tess_run_alarms (TessRunModel *model)
{
  GArray *alarms = g_array_new (FALSE, FALSE, sizeof (TessRunAlarm));

  g_array_set_clear_func (alarms, alarm_clear);
  find_not_a_number (model, alarms);
  find_never_found (model, alarms);
  find_plateau (model, alarms);
  find_loader (model, alarms);
  g_array_sort (alarms, compare_alarms);
  return alarms;
}
