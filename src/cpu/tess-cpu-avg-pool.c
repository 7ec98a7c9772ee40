#include "tess-cpu-vector.h"

/* Average pooling. Each plane of what is written is one thread's alone, so that nothing depends on their number. */

void TESS_KERNEL (avg_pool) (const TessCpuAvgPool *a);
void TESS_KERNEL (avg_pool_backward) (const TessCpuAvgPool *a);

/* Where one axis' sources of index i lie: [first, end). */
typedef struct {
  gint64 first[3], end[3];
} Sources;

/* y[q] reads the window that starts at q stride. */
ALWAYS_INLINE void
window_of (const TessCpuAvgPool *a, Sources *s, guint axis, gint64 q)
{
  s->first[axis] = q * a->stride[axis];
  s->end[axis] = s->first[axis] + a->kernel[axis];
}

/* dx[p] reads every window that holds p. */
ALWAYS_INLINE void
windows_with (const TessCpuAvgPool *a, Sources *s, guint axis, gint64 p)
{
  gint64 before = p - a->kernel[axis]; /* the last start that is too early */

  s->first[axis] = before < 0 ? 0 : before / a->stride[axis] + 1;
  s->end[axis] = MIN (p / a->stride[axis] + 1, a->coarse[axis]);
}

/* One target voxel: its channels are the sums over the sources times scale. */
ALWAYS_INLINE void
gather (const TessCpuAvgPool *a, const Sources *s, const gint64 dim[3], gint64 sample, float scale, gsize out,
        gboolean bf16)
{
  gsize c = 0;

  for (; c + VL <= a->channels; c += VL) {
    VFloat sum = {0};

    for (gint64 z = s->first[0]; z < s->end[0]; z++)
      for (gint64 y = s->first[1]; y < s->end[1]; y++)
        for (gint64 x = s->first[2]; x < s->end[2]; x++)
          sum += v_get (a->source, (gsize)(((sample * dim[0] + z) * dim[1] + y) * dim[2] + x) * a->channels + c, bf16);
    v_put (a->target, out + c, sum * scale, bf16);
  }
  for (; c < a->channels; c++) {
    float sum = 0;

    for (gint64 z = s->first[0]; z < s->end[0]; z++)
      for (gint64 y = s->first[1]; y < s->end[1]; y++)
        for (gint64 x = s->first[2]; x < s->end[2]; x++)
          sum += s_get (a->source, (gsize)(((sample * dim[0] + z) * dim[1] + y) * dim[2] + x) * a->channels + c, bf16);
    s_put (a->target, out + c, sum * scale, bf16);
  }
}

ALWAYS_INLINE void
pool (const TessCpuAvgPool *a, gboolean backward, gboolean bf16)
{
  const gint64 *from = backward ? a->coarse : a->fine, *to = backward ? a->fine : a->coarse;
  gsize planes = a->n * (gsize)to[0], plane_size = (gsize)(to[1] * to[2]) * a->channels;
  float scale = 1.0f / (float)(a->kernel[0] * a->kernel[1] * a->kernel[2]);

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (planes * plane_size > SMALL)
  for (gsize plane = 0; plane < planes; plane++) {
    gint64 i[3] = {(gint64)plane % to[0], 0, 0};
    gsize out = plane * plane_size;
    Sources s;

    (backward ? windows_with : window_of) (a, &s, 0, i[0]);
    for (i[1] = 0; i[1] < to[1]; i[1]++) {
      (backward ? windows_with : window_of) (a, &s, 1, i[1]);
      for (i[2] = 0; i[2] < to[2]; i[2]++, out += a->channels) {
        (backward ? windows_with : window_of) (a, &s, 2, i[2]);
        gather (a, &s, from, (gint64)plane / to[0], scale, out, bf16);
      }
    }
  }
}

void
TESS_KERNEL (avg_pool) (const TessCpuAvgPool *a)
{
  if (a->bf16)
    pool (a, FALSE, TRUE);
  else
    pool (a, FALSE, FALSE);
}

void
TESS_KERNEL (avg_pool_backward) (const TessCpuAvgPool *a)
{
  if (a->bf16)
    pool (a, TRUE, TRUE);
  else
    pool (a, TRUE, FALSE);
}
