#include "tess-cpu-vector.h"

#include <omp.h>
#include <string.h>

/* The weights' gradient of a convolution, where oneDNN has nothing better than a matrix product of patches it first
 * copies out: dW[k][c][o] is the sum over all voxels of x, moved by k and padded with zeros, times dy.
 *
 * Input planes are copied into rows with their padding, a group of planes at a time, so that for one (kd, kh) the
 * columns of the sum, (kw, c), lie side by side in memory: kw * Cx of them for every output voxel. A tile of TILE
 * columns times VL channels of dy stays in registers while it goes through a chunk of rows. Every tile belongs to
 * one thread and goes through the rows in their order: the result does not depend on the number of threads. */

void TESS_KERNEL (conv_weights) (const TessCpuConvWeights *a);

#define TILE 6
#define CHUNK_BYTES ((gsize)24 << 10) /* of rows of x and dy: they stay in the first-level cache */
#define CHUNK_VOXELS 40               /* but no fewer of dy's than make up for fetching and storing the sums */
#define CHUNK_ROWS 64

typedef struct {
  const TessCpuConvWeights *a;
  TessCpuConvWeightsPlan plan;
  gsize tiles;     /* of columns */
  float *sums;     /* {KD * KH, columns, Cy} */
  float *group[2]; /* packed planes; while one is read the next is written */
} Work;

typedef struct {
  const float *x[CHUNK_ROWS], *y[CHUNK_ROWS];
  guint n;
} Rows;

/* Adds to m x (v * VL) sums what the rows hold. */
ALWAYS_INLINE void
tile (const Work *w, const Rows *rows, gsize column, gsize channel, float *sums, const guint m, const guint v)
{
  const TessCpuConvWeights *a = w->a;
  const gsize n = (gsize)a->to[2], step_x = (gsize)a->stride[2] * a->x_channels, step_y = a->y_channels;
  VFloat s[TILE][2];

#pragma GCC unroll 6
  for (guint i = 0; i < m; i++)
#pragma GCC unroll 2
    for (guint j = 0; j < v; j++)
      s[i][j] = v_load (sums + i * step_y + j * VL);
  for (guint r = 0; r < rows->n; r++) {
    const float *x = rows->x[r] + column, *y = rows->y[r] + channel;

    for (gsize q = 0; q < n; q++, x += step_x, y += step_y) {
      VFloat t[2];

#pragma GCC unroll 2
      for (guint j = 0; j < v; j++)
        t[j] = v_load (y + j * VL);
#pragma GCC unroll 6
      for (guint i = 0; i < m; i++)
#pragma GCC unroll 2
        for (guint j = 0; j < v; j++)
          s[i][j] += x[i] * t[j];
    }
  }
#pragma GCC unroll 6
  for (guint i = 0; i < m; i++)
#pragma GCC unroll 2
    for (guint j = 0; j < v; j++)
      v_store (sums + i * step_y + j * VL, s[i][j]);
}

#define TILE_CASE(m)                                                                                                   \
  case m:                                                                                                              \
    if (wide)                                                                                                          \
      tile (w, rows, column, channel, sums, m, 2);                                                                     \
    else                                                                                                               \
      tile (w, rows, column, channel, sums, m, 1);                                                                     \
    break;

static void
any_tile (const Work *w, const Rows *rows, gsize column, gsize channel, float *sums)
{
  gboolean wide = channel + 2 * VL <= w->a->y_channels;

  switch (MIN (TILE, w->plan.columns - column)) {
    TILE_CASE (1)
    TILE_CASE (2)
    TILE_CASE (3)
    TILE_CASE (4)
    TILE_CASE (5)
    TILE_CASE (6)
  }
}

/* The rows through tiles [first, end) of one (kd, kh). */
static void
add_rows (const Work *w, Rows *rows, float *sums, gsize first, gsize end)
{
  const gsize channels = w->a->y_channels;

  for (gsize t = first; t < end; t++)
    for (gsize c = 0; c < channels; c += 2 * VL)
      any_tile (w, rows, t * TILE, c, sums + t * TILE * channels + c);
  rows->n = 0;
}

/* The output index that input index i meets under tap k; -1: none. */
static gint64
meets (const TessCpuConvWeights *a, guint axis, gint64 i, int k)
{
  gint64 at = i + a->pad[axis] - k;

  return at >= 0 && at % a->stride[axis] == 0 && at / a->stride[axis] < a->to[axis] ? at / a->stride[axis] : -1;
}

/* A group of planes, from input plane `first` of all samples' on, through tiles [from, end) of tap (kd, kh). */
static void
add_group (const Work *w, const float *group, gsize first, gsize n_planes, int kd, int kh, gsize from, gsize end)
{
  const TessCpuConvWeights *a = w->a;
  gsize row_x = w->plan.width * a->x_channels, row_y = (gsize)a->to[2] * a->y_channels;
  gsize near = CHUNK_BYTES / ((row_x + row_y) * sizeof (float)), least = (CHUNK_VOXELS - 1) / (gsize)a->to[2] + 1;
  gsize most = MIN (MAX (near, least), CHUNK_ROWS);
  float *sums = w->sums + (gsize)(kd * a->kernel[1] + kh) * w->plan.columns * a->y_channels;
  Rows rows = {.n = 0};

  for (gsize p = 0; p < n_planes; p++) {
    gint64 sample = (gint64)(first + p) / a->from[0], d = meets (a, 0, (gint64)(first + p) % a->from[0], kd);

    for (gint64 i = 0; d >= 0 && i < a->from[1]; i++) {
      gint64 h = meets (a, 1, i, kh);

      if (h < 0)
        continue;
      rows.x[rows.n] = group + p * w->plan.plane + (gsize)i * row_x;
      rows.y[rows.n++] = a->dy + (gsize)((sample * a->to[0] + d) * a->to[1] + h) * row_y;
      if (rows.n == most)
        add_rows (w, &rows, sums, from, end);
    }
  }
  if (rows.n > 0)
    add_rows (w, &rows, sums, from, end);
}

static void
pack_row (const Work *w, gsize plane, gsize row, float *out)
{
  const TessCpuConvWeights *a = w->a;
  const float *x = a->x + (plane * (gsize)a->from[1] + row) * (gsize)a->from[2] * a->x_channels;
  gsize before = (gsize)a->pad[2], n = MIN ((gsize)a->from[2], w->plan.width - before),
        after = w->plan.width - before - n;

  memset (out, 0, before * a->x_channels * sizeof *out);
  memcpy (out + before * a->x_channels, x, n * a->x_channels * sizeof *out);
  memset (out + (before + n) * a->x_channels, 0, after * a->x_channels * sizeof *out);
}

/* To PyTorch's order. */
static void
store_channels (const Work *w, gsize channel)
{
  const TessCpuConvWeights *a = w->a;
  gsize taps = (gsize)a->kernel[0] * (gsize)a->kernel[1], kw = (gsize)a->kernel[2], n = taps * kw;

  for (gsize c = 0; c < a->x_channels; c++)
    for (gsize t = 0; t < taps; t++)
      for (gsize k = 0; k < kw; k++) {
        const float *from = w->sums + (t * w->plan.columns + k * a->x_channels + c) * a->y_channels + channel;
        float *to = a->dw + (channel * a->x_channels + c) * n + t * kw + k;

        for (guint i = 0; i < VL; i++)
          to[i * a->x_channels * n] = from[i];
      }
}

static void
run_thread (const Work *w, gsize thread, gsize n_threads)
{
  const TessCpuConvWeights *a = w->a;
  const gsize n_planes = a->n * (gsize)a->from[0], rows = (gsize)a->from[1];
  const gsize units = (gsize)a->kernel[0] * (gsize)a->kernel[1] * w->tiles;
  const gsize first = units * thread / n_threads, end = units * (thread + 1) / n_threads;

  for (gsize u = first; u < end; u++) {
    gsize column = u % w->tiles * TILE, n = MIN (TILE, w->plan.columns - column);

    memset (w->sums + (u / w->tiles * w->plan.columns + column) * a->y_channels, 0, n * a->y_channels * sizeof (float));
  }
  for (gsize plane = 0, turn = 0; plane < n_planes; plane += w->plan.planes, turn ^= 1) {
    gsize n = MIN (w->plan.planes, n_planes - plane);
    float *group = w->group[turn];

#pragma omp for schedule(static) collapse(2)
    for (gsize p = 0; p < n; p++)
      for (gsize r = 0; r < rows; r++)
        pack_row (w, plane + p, r, group + p * w->plan.plane + r * w->plan.width * a->x_channels);
    for (gsize u = first; u < end;) {
      gsize tap = u / w->tiles, last = MIN (end, (tap + 1) * w->tiles);

      add_group (w, group, plane, n, (int)(tap / (gsize)a->kernel[1]), (int)(tap % (gsize)a->kernel[1]),
                 u - tap * w->tiles, last - tap * w->tiles);
      u = last;
    }
  }
#pragma omp barrier
#pragma omp for schedule(static)
  for (gsize c = 0; c < a->y_channels; c += VL)
    store_channels (w, c);
}

/**
 * conv_weights:
 *
 * dw {Cy, Cx, KD, KH, KW} of y = conv (x); x {n, from, Cx}, dy {n, to, Cy}, both NDHWC float32; Cy a multiple of 16,
 * no dilation. A transposed convolution is the same with x and dy in each other's place.
 */
void
TESS_KERNEL (conv_weights) (const TessCpuConvWeights *a)
{
  Work w = {.a = a, .plan = tess_cpu_conv_weights_plan (a)};

  w.tiles = (w.plan.columns + TILE - 1) / TILE;
  w.sums = a->scratch;
  w.group[0] = w.sums + w.plan.n_sums;
  w.group[1] = w.group[0] + w.plan.planes * w.plan.plane;
#pragma omp parallel num_threads(a->n_threads)
  run_thread (&w, (gsize)omp_get_thread_num (), (gsize)omp_get_num_threads ());
}
