#include "tess-schedule.h"

#include <math.h>
#include <string.h>

#define N_TRAIN 11u
#define N_VAL 3u

static const guint train[N_TRAIN] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13};
static const guint val[N_VAL] = {3, 7, 11};

static TessPlan *
make_plan (gint64 pool, gint64 patches)
{
  TessPlan *plan = tess_plan_new ();

  plan->training.batch_size = 3;
  plan->training.iterations_per_epoch = 7;
  plan->training.validation_iterations = 4;
  plan->training.pool_cases = pool;
  plan->training.pool_patches = patches;
  return plan;
}

static TessScheduledSample
get (TessSchedule *s, gboolean validation, gint64 epoch, gint64 sample)
{
  TessSamplePosition position = {validation, epoch, sample};
  TessScheduledSample out;

  tess_schedule_get (s, &position, &out);
  return out;
}

/* The same answer whatever was asked before, and from another object. */
static void
test_pure (void)
{
  for (gint64 pool = 0; pool <= 4; pool += 4) {
    g_autoptr (TessPlan) plan = make_plan (pool, 5);
    g_autoptr (TessSchedule) a = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);
    g_autoptr (TessSchedule) b = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);
    g_autoptr (GRand) rand = g_rand_new_with_seed (3);

    for (guint i = 0; i < 2000; i++) {
      gboolean validation = g_rand_boolean (rand);
      gint64 epoch = g_rand_int_range (rand, 0, 30), sample = g_rand_int_range (rand, 0, validation ? 12 : 21);
      TessScheduledSample x = get (a, validation, epoch, sample), y;

      get (b, !validation, 29 - epoch, 0);
      y = get (b, validation, epoch, sample);
      g_assert_cmpuint (x.case_index, ==, y.case_index);
      g_assert_cmpint (x.key.foreground, ==, y.key.foreground);
      g_assert_cmpuint (x.key.epoch, ==, y.key.epoch);
      g_assert_cmpuint (x.key.sample, ==, y.key.sample);
      g_assert_true (x.key.random && x.key.augment == !validation);
    }
  }
}

/* Without a pool: every case once in n samples, another order each time. */
static void
test_cycles (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 1);
  g_autoptr (TessSchedule) s = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);
  guint order[20][N_TRAIN], same = 0;

  for (guint cycle = 0; cycle < 20; cycle++) {
    guint seen[14] = {0};

    for (guint i = 0; i < N_TRAIN; i++) {
      gint64 g = cycle * N_TRAIN + i;
      TessScheduledSample x = get (s, FALSE, g / 21, g % 21);

      order[cycle][i] = x.case_index;
      seen[x.case_index]++;
    }
    for (guint i = 0; i < N_TRAIN; i++)
      g_assert_cmpuint (seen[train[i]], ==, 1);
    same += cycle > 0 && memcmp (order[cycle], order[cycle - 1], sizeof order[0]) == 0;
  }
  g_assert_cmpuint (same, ==, 0);
}

/* With a pool of K and p patches: at most K + 1 cases in any K samples' reach, every case is used, about p patches a
 * stay, and one case leaves at a time. */
static void
test_pool (void)
{
  const gint64 K = 4, p = 10, n = 21 * 200;
  g_autoptr (TessPlan) plan = make_plan (K, p);
  g_autoptr (TessSchedule) s = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);
  g_autofree guint *used = g_new (guint, n);
  guint count[14] = {0}, forced[14] = {0};
  guint previous[14], stays = 0, single = 0;
  gint64 entered[14], stay[14] = {0};

  g_assert_cmpuint (tess_schedule_pool (s), ==, K);
  for (guint c = 0; c < 14; c++) {
    previous[c] = 0;
    entered[c] = -1000;
  }
  for (gint64 g = 0; g < n; g++) {
    TessScheduledSample x = get (s, FALSE, g / 21, g % 21);

    used[g] = x.case_index;
    count[x.case_index]++;
    forced[x.case_index] += x.key.foreground;
  }
  for (guint i = 0; i < N_TRAIN; i++) { /* each about equally often, and not always in the same place of a batch */
    g_assert_cmpfloat_with_epsilon (count[train[i]], (double)n / N_TRAIN, 2.0 * p);
    g_assert_cmpfloat_with_epsilon ((double)forced[train[i]] / count[train[i]], 1.0 / 3.0, 0.12);
  }
  for (gint64 g = 0; g + p <= n; g++) { /* a window of p samples: the K of the pool and the one that came */
    guint there[14] = {0}, distinct = 0;

    for (gint64 i = 0; i < p; i++)
      distinct += there[used[g + i]]++ == 0;
    g_assert_cmpuint (distinct, <=, K + 1);
  }
  for (gint64 g = 0; g < n; g++) { /* length of stays: a case not seen for 3 K samples has left */
    guint c = used[g];

    if (g - entered[c] > 3 * K) {
      if (stay[c] > 0 && previous[c]++ > 0) {
        /* the last of one cycle may be among the first of the next */
        g_assert_true (ABS (stay[c] - p) <= 2 || ABS (stay[c] - 2 * p) <= 4);
        single += ABS (stay[c] - p) <= 2;
        stays++;
      }
      stay[c] = 0;
    }
    entered[c] = g;
    stay[c]++;
  }
  g_assert_cmpuint (stays, >, 100);
  g_assert_cmpuint (single, >, stays / 2);
}

/* A pool as large as the dataset is none. */
static void
test_pool_of_all (void)
{
  g_autoptr (TessPlan) none = make_plan (0, 5), all = make_plan (N_TRAIN, 5);
  g_autoptr (TessSchedule) a = tess_schedule_new (none, train, N_TRAIN, val, N_VAL);
  g_autoptr (TessSchedule) b = tess_schedule_new (all, train, N_TRAIN, val, N_VAL);

  for (gint64 g = 0; g < 100; g++)
    g_assert_cmpuint (get (a, FALSE, g / 21, g % 21).case_index, ==, get (b, FALSE, g / 21, g % 21).case_index);
}

static void
test_validation (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 5), pool = make_plan (2, 5);
  g_autoptr (TessSchedule) s = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);
  g_autoptr (TessSchedule) t = tess_schedule_new (pool, train, N_TRAIN, val, N_VAL);
  gboolean seen[14] = {FALSE};

  for (gint64 i = 0; i < 12; i++) {
    TessScheduledSample first = get (s, TRUE, 0, i);

    g_assert_true (first.case_index == 3 || first.case_index == 7 || first.case_index == 11);
    g_assert_false (first.key.augment);
    for (gint64 e = 1; e < 5; e++) {
      TessScheduledSample x = get (s, TRUE, e, i);

      g_assert_cmpuint (x.case_index, ==, first.case_index);
      g_assert_cmpuint (x.key.epoch, ==, first.key.epoch);
      g_assert_cmpuint (x.key.sample, ==, first.key.sample);
    }
  }
  /* With a pool: runs of 5 samples share a case, and the epochs go through all of them. */
  for (gint64 e = 0; e < 3; e++)
    for (gint64 i = 0; i < 12; i++) {
      TessScheduledSample x = get (t, TRUE, e, i);

      seen[x.case_index] = TRUE;
      g_assert_cmpuint (x.case_index, ==, get (t, TRUE, e, i / 5 * 5).case_index);
    }
  g_assert_true (seen[3] && seen[7] && seen[11]);
}

/* Expected: nnU-Net's `not sample_idx < round (batch_size * (1 - 0.33))`, Python 3. */
static void
test_forced (void)
{
  static const gint64 batch[] = {1, 2, 3, 4, 5, 9, 12}, n_forced[] = {0, 1, 1, 1, 2, 3, 4};
  g_autoptr (TessPlan) plan = tess_plan_new ();

  for (guint i = 0; i < G_N_ELEMENTS (batch); i++) {
    gint64 n = 0;

    plan->training.batch_size = batch[i];
    for (gint64 place = 0; place < batch[i]; place++)
      n += tess_schedule_forced_foreground (plan, place);
    g_assert_cmpint (n, ==, n_forced[i]);
    g_assert_cmpint (tess_schedule_forced_foreground (plan, batch[i] - 1), ==, n_forced[i] > 0);
  }
}

/* A batch of one cannot be split: the share holds over many batches. */
static void
test_forced_single (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 1);
  guint n = 0;

  plan->training.batch_size = 1;
  {
    g_autoptr (TessSchedule) s = tess_schedule_new (plan, train, N_TRAIN, val, N_VAL);

    for (gint64 g = 0; g < 7 * 300; g++)
      n += get (s, FALSE, g / 7, g % 7).key.foreground;
  }
  g_assert_cmpfloat_with_epsilon (n / 2100.0, 0.33, 0.04);
}

/* nnU-Net's PolyLRScheduler: 0.01 (1 - e / E)^0.9. */
static void
test_rate (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();

  g_assert_cmpfloat (tess_schedule_learning_rate (plan, 0.0), ==, 0.01);
  g_assert_cmpfloat_with_epsilon (tess_schedule_learning_rate (plan, 0.5), 0.005358867312681466, 1e-15);
  g_assert_cmpfloat_with_epsilon (tess_schedule_learning_rate (plan, 0.999), 1.9952623149688812e-05, 1e-15);
  g_assert_cmpfloat (tess_schedule_learning_rate (plan, 1.0), ==, 0.0);
  g_assert_cmpfloat (tess_schedule_learning_rate (plan, 1.5), ==, 0.0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/schedule/pure", test_pure);
  g_test_add_func ("/train/schedule/cycles", test_cycles);
  g_test_add_func ("/train/schedule/pool", test_pool);
  g_test_add_func ("/train/schedule/pool-of-all", test_pool_of_all);
  g_test_add_func ("/train/schedule/validation", test_validation);
  g_test_add_func ("/train/schedule/forced", test_forced);
  g_test_add_func ("/train/schedule/forced-single", test_forced_single);
  g_test_add_func ("/train/schedule/rate", test_rate);
  return g_test_run ();
}
