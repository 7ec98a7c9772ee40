/* Parallel loops, threads, the queue. */
#include "tess-parallel.h"
#include "tess-philox.h"
#include "tess-thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct {
  atomic_int *touched;
  atomic_int shares;
} Cover;

static void
cover_cb (gsize begin, gsize end, gpointer user_data)
{
  Cover *cover = user_data;

  g_assert_cmpuint (begin, <, end);
  atomic_fetch_add (&cover->shares, 1);
  for (gsize i = begin; i < end; i++)
    atomic_fetch_add (&cover->touched[i], 1);
}

static void
test_for (void)
{
  for (gsize n = 0; n < 40; n++)
    for (guint threads = 1; threads <= 5; threads++)
      for (gsize least = 0; least < 12; least += 5) {
        g_autofree atomic_int *touched = g_new0 (atomic_int, n + 1);
        Cover cover = {.touched = touched};

        tess_parallel_set_threads (threads);
        g_assert_cmpuint (tess_parallel_get_threads (), ==, threads);
        tess_parallel_for (n, least, cover_cb, &cover);
        for (gsize i = 0; i < n; i++)
          g_assert_cmpint (touched[i], ==, 1);
        g_assert_cmpuint ((guint)cover.shares, <=, MIN (threads, MAX (1, n / MAX (least, 1))));
      }
  tess_parallel_set_threads (0);
  g_assert_cmpuint (tess_parallel_get_threads (), ==, tess_parallel_n_cores ());
}

static double
block_cb (gsize begin, gsize end, gpointer user_data)
{
  const float *values = user_data;
  double sum = 0.0;

  for (gsize i = begin; i < end; i++)
    sum += (double)values[i] * 1e-3 + 1e9 * (double)(values[i] > 0.5f);
  return sum;
}

static void
test_sum (void)
{
  gsize n = 1000003;
  g_autofree float *values = g_new (float, n);
  double first = 0.0;

  for (gsize i = 0; i < n; i++)
    values[i] = tess_philox_unit (tess_philox (1, 0, 0, 0, (uint32_t)i).v[0]);
  for (guint threads = 1; threads <= 7; threads++) {
    double sum;

    tess_parallel_set_threads (threads);
    sum = tess_parallel_sum (n, block_cb, values);
    if (threads == 1)
      first = sum;
    g_assert_cmpint (memcmp (&sum, &first, sizeof sum), ==, 0);
  }
  tess_parallel_set_threads (0);
  g_assert_cmpfloat (tess_parallel_sum (0, block_cb, values), ==, 0.0);
}

static void
settings_cb (gpointer data)
{
  int *out = data;

  errno = 0;
  out[0] = getpriority (PRIO_PROCESS, (id_t)gettid ());
  out[1] = (int)tess_parallel_get_threads ();
  tess_parallel_set_threads (3);
  out[2] = (int)tess_parallel_get_threads ();
}

static void
test_thread (void)
{
  int here = getpriority (PRIO_PROCESS, 0), out[3] = {0};
  TessThread *thread;

  tess_parallel_set_threads (2);
  thread = tess_thread_new ("a name longer than the kernel takes", 5, settings_cb, out);
  tess_thread_join (thread);
  g_assert_cmpint (out[0], ==, MIN (here + 5, 19));
  g_assert_cmpint (out[1], ==, (int)tess_parallel_n_cores ()); /* set per thread, not inherited */
  g_assert_cmpint (out[2], ==, 3);
  g_assert_cmpuint (tess_parallel_get_threads (), ==, 2);
  g_assert_cmpint (getpriority (PRIO_PROCESS, 0), ==, here);
  tess_parallel_set_threads (0);
}

#define N_ITEMS 20000

typedef struct {
  TessQueue *queue;
  int first;
  atomic_int *seen;
} Worker;

static void
produce_cb (gpointer data)
{
  Worker *worker = data;

  for (int i = worker->first; i < N_ITEMS; i += 2)
    g_assert_true (tess_queue_push (worker->queue, GINT_TO_POINTER (i + 1)));
}

static void
consume_cb (gpointer data)
{
  Worker *worker = data;
  gpointer item;

  while ((item = tess_queue_pop (worker->queue)))
    atomic_fetch_add (&worker->seen[GPOINTER_TO_INT (item) - 1], 1);
}

static void
test_queue (void)
{
  g_autofree atomic_int *seen = g_new0 (atomic_int, N_ITEMS);
  TessQueue *queue = tess_queue_new (3);
  Worker workers[4];
  TessThread *threads[4];

  for (int i = 0; i < 4; i++) {
    workers[i] = (Worker){.queue = queue, .first = i, .seen = seen};
    threads[i] = tess_thread_new ("test", 0, i < 2 ? produce_cb : consume_cb, &workers[i]);
  }
  tess_thread_join (threads[0]);
  tess_thread_join (threads[1]);
  g_assert_cmpuint (tess_queue_length (queue), <=, 3);
  tess_queue_close (queue);
  tess_thread_join (threads[2]);
  tess_thread_join (threads[3]);
  for (int i = 0; i < N_ITEMS; i++)
    g_assert_cmpint (seen[i], ==, 1);
  g_assert_false (tess_queue_push (queue, queue));
  g_assert_null (tess_queue_pop (queue));
  tess_queue_free (queue);
}

static void
blocked_push_cb (gpointer data)
{
  TessQueue *queue = data;

  g_assert_false (tess_queue_push (queue, queue)); /* full, then closed */
}

static void
test_queue_order (void)
{
  TessQueue *queue = tess_queue_new (4);
  TessThread *thread;

  g_assert_null (tess_queue_try_pop (queue));
  for (int round = 0; round < 3; round++) {
    for (int i = 1; i <= 4; i++)
      g_assert_true (tess_queue_push (queue, GINT_TO_POINTER (i)));
    for (int i = 1; i <= 3; i++)
      g_assert_cmpint (GPOINTER_TO_INT (i == 2 ? tess_queue_try_pop (queue) : tess_queue_pop (queue)), ==, i);
    g_assert_cmpuint (tess_queue_length (queue), ==, 1);
    g_assert_cmpint (GPOINTER_TO_INT (tess_queue_pop (queue)), ==, 4);
  }
  for (int i = 1; i <= 4; i++)
    tess_queue_push (queue, GINT_TO_POINTER (i));
  thread = tess_thread_new ("blocked", 0, blocked_push_cb, queue);
  g_usleep (20000);
  tess_queue_close (queue);
  tess_thread_join (thread);
  for (int i = 1; i <= 4; i++) /* closing lets what is inside out */
    g_assert_cmpint (GPOINTER_TO_INT (tess_queue_pop (queue)), ==, i);
  g_assert_null (tess_queue_pop (queue));
  tess_queue_free (queue);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/parallel/for", test_for);
  g_test_add_func ("/base/parallel/sum", test_sum);
  g_test_add_func ("/base/thread", test_thread);
  g_test_add_func ("/base/queue/threads", test_queue);
  g_test_add_func ("/base/queue/order", test_queue_order);
  return g_test_run ();
}
