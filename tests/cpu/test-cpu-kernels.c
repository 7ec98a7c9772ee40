#include "tess-cpu-kernels.h"

#include "../random-number.h"

#include <math.h>
#include <string.h>

/* The kernels of every instruction set this processor has, against each other: the op table runs only the widest. */

static guint32 state = 1;

static float
next (void)
{
  return random_number (&state);
}

/* n random values, float32 or bfloat16; room for 64 bytes more, which nobody may touch. */
static void *
values (gsize n, gboolean bf16)
{
  guint8 *data = g_malloc0 (n * 4 + 64);

  for (gsize i = 0; i < n; i++)
    if (bf16)
      ((guint16 *)(gpointer)data)[i] = tess_float_to_bf16 (next ());
    else
      ((float *)(gpointer)data)[i] = next ();
  return data;
}

static double
get (const void *data, gsize i, gboolean bf16)
{
  return bf16 ? (double)tess_bf16_to_float (((const guint16 *)data)[i]) : (double)((const float *)data)[i];
}

static void
assert_close (const void *a, const void *b, gsize n, gboolean bf16)
{
  double difference = 0, scale = 1e-30;

  for (gsize i = 0; i < n; i++) {
    double x = get (a, i, bf16), y = get (b, i, bf16);

    difference += (x - y) * (x - y);
    scale += x * x;
  }
  g_assert_cmpfloat (difference, <=, scale * (bf16 ? 1e-5 : 1e-11));
  g_assert_cmpmem ((const guint8 *)a + n * (bf16 ? 2 : 4), 64, (const guint8 *)b + n * (bf16 ? 2 : 4), 64);
}

static const gsize channel_counts[] = {1, 3, 8, 16, 17, 24, 40};

static void
test_norm (gconstpointer data)
{
  gboolean bf16 = GPOINTER_TO_UINT (data);
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);

  for (guint k = 0; k < G_N_ELEMENTS (channel_counts); k++) {
    gsize n = 2, v = 7 * 9 * 11, c = channel_counts[k], size = n * v * c;
    g_autofree void *x = values (size, bf16), *dy = values (size, bf16), *gamma = values (c, FALSE);
    g_autofree void *beta = values (c, FALSE), *scratch = g_malloc (tess_cpu_norm_scratch (n, v, c));
    void *y[2], *dx[2], *stats[2], *dgamma[2], *dbeta[2];

    for (guint t = 0; t < n_tables; t++) {
      guint j = t == 0 ? 0 : 1;
      TessCpuNorm a = {.n_threads = 1 + t,
                       .bf16 = bf16,
                       .n = n,
                       .voxels = v,
                       .channels = c,
                       .x = x,
                       .dy = dy,
                       .gamma = gamma,
                       .beta = beta,
                       .eps = 1e-5f,
                       .slope = 0.1f,
                       .scratch = scratch};

      a.y = y[j] = g_malloc0 (size * 4 + 64);
      a.dx = dx[j] = g_malloc0 (size * 4 + 64);
      a.stats = stats[j] = g_malloc0 (n * c * 8 + 64);
      a.dgamma = dgamma[j] = g_malloc0 (c * 4 + 64);
      a.dbeta = dbeta[j] = g_malloc0 (c * 4 + 64);
      tables[t]->norm_forward (&a);
      tables[t]->norm_backward (&a);
      if (j == 0)
        continue;
      assert_close (y[0], y[1], size, bf16);
      assert_close (dx[0], dx[1], size, bf16);
      assert_close (stats[0], stats[1], n * c * 2, FALSE);
      assert_close (dgamma[0], dgamma[1], c, FALSE);
      assert_close (dbeta[0], dbeta[1], c, FALSE);
      for (void **p = (void *[]){y[1], dx[1], stats[1], dgamma[1], dbeta[1], NULL}; *p != NULL; p++)
        g_free (*p);
    }
    for (void **p = (void *[]){y[0], dx[0], stats[0], dgamma[0], dbeta[0], NULL}; *p != NULL; p++)
      g_free (*p);
  }
}

static void
test_loss (gconstpointer data)
{
  gboolean bf16 = GPOINTER_TO_UINT (data);
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);

  for (guint k_n = 2; k_n < 20; k_n += 5) {
    gsize n = 3, v = 4097 + k_n, size = n * v * k_n, n_metrics = TESS_METRICS_SIZE (k_n);
    g_autofree float *logits = values (size, FALSE);
    g_autofree guint8 *labels = g_malloc (n * v);
    g_autofree double *first = NULL;
    g_autofree void *first_gradient = NULL;

    for (gsize i = 0; i < size; i++)
      logits[i] *= 50;
    for (gsize i = 0; i < n * v; i++)
      labels[i] = (guint8)((guint)((next () + 1.0f) * 100) % (k_n + 1)); /* one class too many */
    for (guint t = 0; t < n_tables; t++) {
      g_autofree double *metrics = g_new0 (double, n_metrics), *sums = g_new0 (double, tess_cpu_loss_sums (n, k_n));
      g_autofree void *scratch = g_malloc (tess_cpu_loss_scratch (1 + t, n, v, k_n));
      g_autofree void *gradient = g_malloc0 (size * 4 + 64);
      TessCpuLoss a = {.n_threads = 1 + t,
                       .n = n,
                       .voxels = v,
                       .n_classes = k_n,
                       .batch_dice = k_n % 2 == 0,
                       .bf16_out = bf16,
                       .smooth = 1e-5f,
                       .weight = 0.5,
                       .logits = logits,
                       .labels = labels,
                       .metrics = metrics,
                       .sums = sums,
                       .dlogits = gradient,
                       .scratch = scratch};

      tables[t]->loss_forward (&a);
      tables[t]->loss_finish (&a);
      tables[t]->loss_backward (&a);
      if (t == 0) {
        first = g_steal_pointer (&metrics);
        first_gradient = g_steal_pointer (&gradient);
        continue;
      }
      for (gsize i = 0; i < n_metrics; i++)
        g_assert_cmpfloat (fabs (metrics[i] - first[i]), <=, 1e-5 * fabs (first[i]));
      assert_close (first_gradient, gradient, size, bf16);
    }
  }
}

#define N_OTHERS 12

/* One call of each of the others, on sizes that are no multiple of anything. */
static void
run_others (const TessCpuKernels *k, guint n_threads, gboolean bf16, gsize c, guint8 *out)
{
  gsize rows = 1031, n = rows * c, element = bf16 ? 2 : 4, part = n * 4 + 64;
  g_autofree void *a = values (n, bf16), *b = values (n, bf16), *wide = values (n, FALSE), *bias = values (c, FALSE);
  g_autofree void *columns = g_malloc (tess_cpu_columns_scratch (rows, c));
  g_autofree void *squares = g_malloc (tess_cpu_squares_scratch (n)), *both = g_malloc0 (2 * n * element);
  TessCpuSgd sgd = {
      .n_threads = n_threads, .n = n, .rate = 0.1, .momentum_factor = 0.9, .weight_decay = 0.01, .clip = 0.5};
  float sum;

  k->leaky (n_threads, bf16, n, a, 0.1f, out);
  k->leaky_backward (n_threads, bf16, n, a, b, 0.1f, out + part);
  k->add (n_threads, bf16, n, a, b, out + 2 * part);
  k->to_bf16 (n_threads, n, wide, out + 3 * part);
  k->add_bias (n_threads, bf16, rows, c, bias, wide, out + 4 * part);
  k->concat (n_threads, rows, c * element, c * element, a, b, both);
  k->split (n_threads, rows, c * element, c * element, both, out + 5 * part, out + 6 * part);
  g_assert_cmpmem (out + 5 * part, n * element, a, n * element);
  g_assert_cmpmem (out + 6 * part, n * element, b, n * element);
  k->column_sums (n_threads, bf16, rows, c, a, (float *)(gpointer)(out + 7 * part), columns);
  memcpy (out + 8 * part, wide, n * 4);
  memcpy (out + 9 * part, wide, n * 4);
  sgd.param = (float *)(gpointer)(out + 8 * part);
  sgd.momentum = (float *)(gpointer)(out + 9 * part);
  sgd.grad = wide;
  k->sgd (&sgd);
  sum = (float)k->sum_squares (n_threads, n, wide, squares);
  memcpy (out + 10 * part, &sum, sizeof sum);
  k->add_leaky (n_threads, bf16, n, a, b, 0.1f, out + 11 * part);
}

static void
test_others (gconstpointer data)
{
  gboolean bf16 = GPOINTER_TO_UINT (data);
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);

  for (guint i = 0; i < G_N_ELEMENTS (channel_counts); i++) {
    gsize n = 1031 * channel_counts[i], part = n * 4 + 64;
    gboolean is_bf16[N_OTHERS] = {bf16, bf16, bf16, TRUE, bf16, bf16, bf16, FALSE, FALSE, FALSE, FALSE, bf16};
    g_autofree guint8 *first = g_malloc0 (N_OTHERS * part);

    state = 1 + i;
    run_others (tables[0], 1, bf16, channel_counts[i], first);
    for (guint t = 1; t < n_tables; t++) {
      g_autofree guint8 *out = g_malloc0 (N_OTHERS * part);

      state = 1 + i;
      run_others (tables[t], 1 + t, bf16, channel_counts[i], out);
      for (guint k = 0; k < N_OTHERS; k++)
        assert_close (first + k * part, out + k * part, n, is_bf16[k]);
    }
  }
}

static void
test_avg_pool (gconstpointer data)
{
  gboolean bf16 = GPOINTER_TO_UINT (data);
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);
  const int kernel[3] = {3, 2, 4}, stride[3] = {2, 2, 3};

  for (guint i = 0; i < G_N_ELEMENTS (channel_counts); i++) {
    gsize c = channel_counts[i], fine = 2 * 9 * 12 * 17 * c, coarse = 2 * 4 * 6 * 5 * c;
    g_autofree void *x = values (fine, bf16), *dy = values (coarse, bf16);
    void *first[2] = {NULL, NULL};

    for (guint t = 0; t < n_tables; t++) {
      g_autofree void *y = g_malloc0 (coarse * 4 + 64), *dx = g_malloc0 (fine * 4 + 64);
      TessCpuAvgPool a = {.n_threads = 1 + t,
                          .bf16 = bf16,
                          .n = 2,
                          .channels = c,
                          .fine = {9, 12, 17},
                          .coarse = {4, 6, 5},
                          .kernel = kernel,
                          .stride = stride};

      a.source = x;
      a.target = y;
      tables[t]->avg_pool (&a);
      a.source = dy;
      a.target = dx;
      tables[t]->avg_pool_backward (&a);
      if (t == 0) {
        first[0] = g_steal_pointer (&y);
        first[1] = g_steal_pointer (&dx);
        continue;
      }
      assert_close (first[0], y, coarse, bf16);
      assert_close (first[1], dx, fine, bf16);
    }
    g_free (first[0]);
    g_free (first[1]);
  }
}

/* What a single-pass variance would lose: mean 1e4, deviation 1, in float32. */
static void
test_large_mean (void)
{
  enum { N = 2, VOXELS = 9 * 10 * 11, C = 5 };
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);
  g_autofree float *x = values (N * VOXELS * C, FALSE), *y = g_new (float, N *VOXELS *C);
  float gamma[C] = {1, 1, 1, 1, 1}, beta[C] = {0}, stats[N * C * 2];
  g_autofree void *scratch = g_malloc (tess_cpu_norm_scratch (N, VOXELS, C));
  TessCpuNorm a = {.n_threads = 2,
                   .n = N,
                   .voxels = VOXELS,
                   .channels = C,
                   .x = x,
                   .y = y,
                   .gamma = gamma,
                   .beta = beta,
                   .stats = stats,
                   .eps = 1e-5f,
                   .slope = 1.0f,
                   .scratch = scratch};

  for (gsize i = 0; i < N * VOXELS * C; i++)
    x[i] += 1e4f;
  for (guint t = 0; t < n_tables; t++) {
    tables[t]->norm_forward (&a);
    for (gsize j = 0; j < N * C; j++) {
      const float *v = x + j / C * VOXELS * C + j % C;
      double mean = 0, variance = 0;

      for (gsize i = 0; i < VOXELS; i++)
        mean += (double)v[i * C] / VOXELS;
      for (gsize i = 0; i < VOXELS; i++)
        variance += ((double)v[i * C] - mean) * ((double)v[i * C] - mean) / VOXELS;
      g_assert_cmpfloat (fabs ((double)stats[j * 2] - mean), <, 1e-3);
      g_assert_cmpfloat (fabs ((double)stats[j * 2 + 1] * sqrt (variance + 1e-5) - 1), <, 1e-6);
    }
  }
}

/* One tap of the weights' gradient, in double. */
static double
weight_gradient (const TessCpuConvWeights *a, gsize o, gsize c, const int tap[3])
{
  double sum = 0;

  for (gint64 n = 0; n < (gint64)a->n; n++)
    for (gint64 d = 0; d < a->to[0]; d++)
      for (gint64 h = 0; h < a->to[1]; h++)
        for (gint64 w = 0; w < a->to[2]; w++) {
          const gint64 at[3] = {d * a->stride[0] + tap[0] - a->pad[0], h * a->stride[1] + tap[1] - a->pad[1],
                                w * a->stride[2] + tap[2] - a->pad[2]};
          gsize y = (gsize)(((n * a->to[0] + d) * a->to[1] + h) * a->to[2] + w) * a->y_channels + o;
          gsize x = (gsize)(((n * a->from[0] + at[0]) * a->from[1] + at[1]) * a->from[2] + at[2]) * a->x_channels + c;

          if (at[0] >= 0 && at[1] >= 0 && at[2] >= 0 && at[0] < a->from[0] && at[1] < a->from[1] && at[2] < a->from[2])
            sum += (double)a->x[x] * (double)a->dy[y];
        }
  return sum;
}

static float *
weight_gradients (const TessCpuConvWeights *a)
{
  const int *k = a->kernel;
  float *all = g_malloc0 (a->y_channels * a->x_channels * (gsize)(k[0] * k[1] * k[2]) * 4 + 64), *next_one = all;
  int tap[3];

  for (gsize o = 0; o < a->y_channels; o++)
    for (gsize c = 0; c < a->x_channels; c++)
      for (tap[0] = 0; tap[0] < k[0]; tap[0]++)
        for (tap[1] = 0; tap[1] < k[1]; tap[1]++)
          for (tap[2] = 0; tap[2] < k[2]; tap[2]++)
            *next_one++ = (float)weight_gradient (a, o, c, tap);
  return all;
}

/* Every instruction set equals the plain sum, and itself bit for bit with any number of threads. */
static void
test_conv_weights (void)
{
  static const struct {
    gsize n, x_channels, y_channels;
    gint64 from[3];
    int kernel[3], stride[3], pad[3];
  } cases[] = {
      {2, 5, 16, {4, 5, 7}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}},
      {3, 8, 48, {5, 4, 9}, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}},
      {1, 7, 32, {3, 9, 8}, {1, 3, 3}, {1, 2, 1}, {0, 1, 1}},
      {2, 6, 16, {6, 7, 9}, {2, 2, 2}, {2, 2, 2}, {0, 0, 0}}, /* as of a transposed one; a row is left over */
      {1, 16, 16, {1, 1, 1}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}},
      {1, 40, 16, {21, 30, 44}, {1, 1, 3}, {1, 1, 1}, {0, 0, 1}}, /* several groups of planes, several chunks of rows */
      {1, 9, 80, {4, 4, 5}, {3, 3, 5}, {1, 1, 3}, {2, 0, 4}},
  };
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  guint n_tables = tess_cpu_kernels_usable (tables);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    TessCpuConvWeights a = {.n = cases[i].n,
                            .x_channels = cases[i].x_channels,
                            .y_channels = cases[i].y_channels,
                            .kernel = cases[i].kernel,
                            .stride = cases[i].stride,
                            .pad = cases[i].pad};
    gsize n_x = a.n * a.x_channels, n_y = a.n * a.y_channels, n_w = a.x_channels * a.y_channels;
    g_autofree float *x = NULL, *dy = NULL, *expected = NULL;

    for (guint axis = 0; axis < 3; axis++) {
      a.from[axis] = cases[i].from[axis];
      a.to[axis] = (a.from[axis] + 2 * a.pad[axis] - a.kernel[axis]) / a.stride[axis] + 1;
      n_x *= (gsize)a.from[axis];
      n_y *= (gsize)a.to[axis];
      n_w *= (gsize)a.kernel[axis];
    }
    a.x = x = values (n_x, FALSE);
    a.dy = dy = values (n_y, FALSE);
    expected = weight_gradients (&a);
    for (guint t = 0; t < n_tables; t++) {
      g_autofree float *one = NULL;

      for (guint threads = 1; threads <= 4; threads++) {
        g_autofree float *dw = values (n_w, FALSE);
        gsize n_scratch = tess_cpu_conv_weights_scratch (&a) / sizeof (float);

        a.n_threads = threads;
        a.scratch = values (n_scratch, FALSE);
        a.dw = dw;
        memset ((guint8 *)a.scratch + 4 * n_scratch, 77, 64);
        tables[t]->conv_weights (&a);
        assert_close (expected, dw, n_w, FALSE);
        if (one)
          g_assert_cmpmem (one, n_w * sizeof *one, dw, n_w * sizeof *dw);
        else
          one = g_steal_pointer (&dw);
        for (guint j = 0; j < 64; j++)
          g_assert_cmpuint (((guint8 *)a.scratch)[4 * n_scratch + j], ==, 77);
        g_free (a.scratch);
      }
    }
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint bf16 = 0; bf16 < 2; bf16++) {
    const char *type = bf16 ? "bf16" : "f32";
    g_autofree char *norm = g_strdup_printf ("/cpu/kernels/norm/%s", type);
    g_autofree char *loss = g_strdup_printf ("/cpu/kernels/loss/%s", type);
    g_autofree char *others = g_strdup_printf ("/cpu/kernels/others/%s", type);
    g_autofree char *pool = g_strdup_printf ("/cpu/kernels/avg-pool/%s", type);

    g_test_add_data_func (norm, GUINT_TO_POINTER (bf16), test_norm);
    g_test_add_data_func (loss, GUINT_TO_POINTER (bf16), test_loss);
    g_test_add_data_func (others, GUINT_TO_POINTER (bf16), test_others);
    g_test_add_data_func (pool, GUINT_TO_POINTER (bf16), test_avg_pool);
  }
  g_test_add_func ("/cpu/kernels/norm/large-mean", test_large_mean);
  g_test_add_func ("/cpu/kernels/conv-weights", test_conv_weights);
  return g_test_run ();
}
