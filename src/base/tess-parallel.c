#include "tess-parallel.h"

#include <omp.h>
#include <sched.h>

#define SUM_BLOCK 65536 /* fixed, so that a sum does not depend on the number of threads */

static _Thread_local guint wanted_threads; /* 0 = all cores */

/* Cores this process may run on. */
guint
tess_parallel_n_cores (void)
{
  cpu_set_t set;
  int n = 0;

  CPU_ZERO (&set);
  if (sched_getaffinity (0, sizeof set, &set) == 0)
    n = CPU_COUNT (&set);
  if (n < 1)
    n = (int)g_get_num_processors ();
  return (guint)MAX (n, 1);
}

void
tess_parallel_set_threads (guint n_threads)
{
  wanted_threads = n_threads;
}

guint
tess_parallel_get_threads (void)
{
  return wanted_threads ? wanted_threads : tess_parallel_n_cores ();
}

static guint
threads_for (gsize n, gsize min_per_thread)
{
  gsize most = n / MAX (min_per_thread, (gsize)1);

  if (omp_in_parallel ()) /* an inner loop runs on its caller's thread */
    return 1;
  return (guint)CLAMP (most, (gsize)1, (gsize)tess_parallel_get_threads ());
}

/**
 * tess_parallel_for:
 *
 * Calls @func over contiguous shares of [0, @n) that together cover it once, on at most
 * tess_parallel_get_threads() threads, each with at least @min_per_thread items (but for a single share).
 * Returns when all are done. Nested calls run serially.
 */
void
tess_parallel_for (gsize n, gsize min_per_thread, TessParallelFunc func, gpointer user_data)
{
  guint n_threads = threads_for (n, min_per_thread);

  if (n == 0)
    return;
  if (n_threads == 1) {
    func (0, n, user_data);
    return;
  }
#pragma omp parallel num_threads(n_threads)
  {
    /* The runtime may give fewer threads than asked for. */
    gsize i = (gsize)omp_get_thread_num (), k = (gsize)omp_get_num_threads ();
    gsize share = n / k, rest = n % k;
    gsize begin = i * share + MIN (i, rest), end = begin + share + (i < rest ? 1 : 0);

    if (begin < end)
      func (begin, end, user_data);
  }
}

/**
 * tess_parallel_sum:
 *
 * Sum of @block over fixed blocks of [0, @n), added in block order: the same bits for any number of threads.
 */
double
tess_parallel_sum (gsize n, double (*block) (gsize begin, gsize end, gpointer user_data), gpointer user_data)
{
  gsize n_blocks = n / SUM_BLOCK + (n % SUM_BLOCK ? 1 : 0);
  guint n_threads = threads_for (n_blocks, 1);
  g_autofree double *parts = NULL;
  double sum = 0.0;

  if (n_blocks == 0)
    return 0.0;
  parts = g_new (double, n_blocks);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
  for (gsize b = 0; b < n_blocks; b++)
    parts[b] = block (b * SUM_BLOCK, MIN (n, (b + 1) * SUM_BLOCK), user_data);
  for (gsize b = 0; b < n_blocks; b++)
    sum += parts[b];
  return sum;
}
