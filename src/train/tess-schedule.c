#include "tess-schedule.h"

#include "tess-philox.h"

#include <math.h>

/* Purposes of this room's random numbers (the sampler's own transforms count from 0). */
enum {
  DRAW_ORDER_TRAIN = 0x7e550001,
  DRAW_ORDER_VALIDATION,
  DRAW_ORDER_SLOTS,
  DRAW_FORCED,
};

/* The epoch in the keys of validation patches: no training epoch reaches it, and it never changes. */
#define VALIDATION_EPOCH G_MAXUINT32

/* One shuffled order of 0..n-1, kept until another cycle is asked for. */
typedef struct {
  guint32 purpose, n;
  gint64 cycle; /* -1: none yet */
  guint32 *order;
} Order;

struct _TessSchedule {
  guint64 seed;
  gint64 batch, train_samples, val_samples; /* samples an epoch */
  TessPlan *plan;
  guint32 *train, *val;
  guint n_train, n_val;
  guint pool; /* 0: no rotation */
  gint64 pool_patches;
  Order train_order[2], val_order[2], slots;
};

/* Fisher-Yates with addressed random numbers: the order of a cycle is a pure function of (seed, purpose, cycle). */
static const guint32 *
order_get (Order *order, guint64 seed, gint64 cycle)
{
  if (order->cycle == cycle)
    return order->order;
  for (guint32 i = 0; i < order->n; i++)
    order->order[i] = i;
  for (guint32 i = order->n; i > 1; i--) {
    TessPhilox4 r = tess_philox (seed, (uint32_t)cycle, (uint32_t)(cycle >> 32), order->purpose, i);
    guint32 j = tess_philox_below (r.v[0], i), swap = order->order[i - 1];

    order->order[i - 1] = order->order[j];
    order->order[j] = swap;
  }
  order->cycle = cycle;
  return order->order;
}

static void
order_init (Order *order, guint32 purpose, guint n)
{
  *order = (Order){.purpose = purpose, .n = n, .cycle = -1, .order = g_new (guint32, MAX (n, 1))};
}

/**
 * tess_schedule_new:
 *
 * The order of the cases follows training.pool_cases and pool_patches of the plan, K and p:
 *
 * - K = 0 (or not fewer than the cases): sample g of the run takes case order(cycle)[g mod n], cycle = g div n: every
 *   case once a cycle, newly shuffled. (nnU-Net draws with replacement; this has the same mean and less variance.)
 * - else a rotating pool: a window of K cases slides over that same endless sequence, one case further every p
 *   samples; within each K samples every case of the window is drawn once, in a shuffled order. A case so gives p
 *   patches (one more or less) between entering and leaving, and the cases leave one at a time, not all at once. The
 *   K - 1 cases at the very beginning give fewer.
 *
 * Validation samples are drawn without augmentation under keys that are the same in every epoch. Without a pool their
 * cases are too, so that values of different epochs compare the same patches; with a pool p samples in a row share a
 * case and every epoch goes on in the sequence of validation cases, because decoding all of them would stall it.
 *
 * Returns: (transfer full): the schedule.
 */
TessSchedule *
tess_schedule_new (const TessPlan *plan, const guint *train, guint n_train, const guint *val, guint n_val)
{
  TessSchedule *schedule = g_new0 (TessSchedule, 1);

  schedule->seed = (guint64)plan->training.seed;
  schedule->batch = plan->training.batch_size;
  schedule->train_samples = plan->training.iterations_per_epoch * schedule->batch;
  schedule->val_samples = plan->training.validation_iterations * schedule->batch;
  schedule->plan = tess_plan_dup (plan);
  schedule->train = g_memdup2 (train, n_train * sizeof *train);
  schedule->val = g_memdup2 (val, n_val * sizeof *val);
  schedule->n_train = n_train;
  schedule->n_val = n_val;
  if (plan->training.pool_cases > 0 && plan->training.pool_cases < n_train)
    schedule->pool = (guint)plan->training.pool_cases;
  schedule->pool_patches = MAX (plan->training.pool_patches, 1);
  for (guint i = 0; i < 2; i++) {
    order_init (&schedule->train_order[i], DRAW_ORDER_TRAIN, n_train);
    order_init (&schedule->val_order[i], DRAW_ORDER_VALIDATION, n_val);
  }
  order_init (&schedule->slots, DRAW_ORDER_SLOTS, schedule->pool);
  return schedule;
}

void
tess_schedule_free (TessSchedule *schedule)
{
  if (!schedule)
    return;
  tess_plan_unref (schedule->plan);
  g_free (schedule->train);
  g_free (schedule->val);
  for (guint i = 0; i < 2; i++) {
    g_free (schedule->train_order[i].order);
    g_free (schedule->val_order[i].order);
  }
  g_free (schedule->slots.order);
  g_free (schedule);
}

/* Entry q of an endless sequence of shuffled cycles. Even and odd cycles are cached apart, since a window of the pool
 * usually reaches over the end of one. */
static guint32
sequence_get (Order order[2], guint64 seed, gint64 q)
{
  gint64 cycle = q / order[0].n;

  return order_get (&order[cycle & 1], seed, cycle)[q % order[0].n];
}

static guint
training_case (TessSchedule *schedule, gint64 g)
{
  gint64 k = schedule->pool, q = g;

  if (k > 0) {
    gint64 slot = order_get (&schedule->slots, schedule->seed, g / k)[g % k];
    gint64 window = g / schedule->pool_patches;

    /* The one entry of [window, window + k) that belongs to this slot. */
    q = window + ((slot - window) % k + k) % k;
  }
  return schedule->train[sequence_get (schedule->train_order, schedule->seed, q)];
}

static guint
validation_case (TessSchedule *schedule, gint64 epoch, gint64 sample)
{
  gint64 q = sample;

  if (schedule->pool > 0) {
    gint64 cases_an_epoch = (schedule->val_samples + schedule->pool_patches - 1) / schedule->pool_patches;

    q = epoch * cases_an_epoch + sample / schedule->pool_patches;
  }
  return schedule->val[sequence_get (schedule->val_order, schedule->seed, q)];
}

gboolean
tess_schedule_forced_foreground (const TessPlan *plan, gint64 place)
{
  double first = rint ((double)plan->training.batch_size * (1.0 - plan->training.oversample_foreground));

  return (double)place >= first;
}

/* By the place in the batch; a batch of one, which that rule would never force, by a draw with the same share. */
static gboolean
is_forced (TessSchedule *schedule, guint32 epoch, guint32 sample)
{
  if (schedule->batch > 1)
    return tess_schedule_forced_foreground (schedule->plan, sample % schedule->batch);
  return tess_philox_unit (tess_philox (schedule->seed, epoch, sample, DRAW_FORCED, 0).v[0]) <
         schedule->plan->training.oversample_foreground;
}

/**
 * tess_schedule_get:
 * @position: epoch from 0, sample below iterations * batch of its kind
 *
 * Case and key of one sample.
 */
void
tess_schedule_get (TessSchedule *schedule, const TessSamplePosition *position, TessScheduledSample *out)
{
  gboolean validation = position->validation;
  guint32 epoch = validation ? VALIDATION_EPOCH : (guint32)position->epoch, sample = (guint32)position->sample;

  out->key = (TessSampleKey){
      .random = TRUE,
      .foreground = is_forced (schedule, epoch, sample),
      .augment = !validation,
      .seed = schedule->seed,
      .epoch = epoch,
      .sample = sample,
  };
  if (validation)
    out->case_index = validation_case (schedule, position->epoch, position->sample);
  else
    out->case_index = training_case (schedule, position->epoch * schedule->train_samples + position->sample);
}

guint
tess_schedule_pool (const TessSchedule *schedule)
{
  return schedule->pool > 0 ? schedule->pool : schedule->n_train;
}

/**
 * tess_schedule_learning_rate:
 * @progress: 0 at the start, 1 at the end
 *
 * Polynomial decay (nnU-Net's PolyLRScheduler): rate * (1 - progress)^exponent.
 */
double
tess_schedule_learning_rate (const TessPlan *plan, double progress)
{
  return plan->training.learning_rate * pow (1.0 - CLAMP (progress, 0.0, 1.0), plan->training.poly_exponent);
}
