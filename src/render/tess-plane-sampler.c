#include "tess-plane-sampler.h"
#include "tess-parallel.h"

#include <math.h>

typedef struct {
  const TessLayer *layer;
  const void *data; /* first voxel of the channel */
  gint64 dim[3];
  double origin[3], du[3], dv[3]; /* pane pixel -> voxel index */
  double slope, intercept;
  int width;
  float *values;
  gint32 *labels;
} Job;

static gboolean
job_init (Job *job, const TessLayer *layer, const TessPaneMap *map, int width)
{
  TessAffine inverse;
  const TessVolume *volume = layer->volume;

  if (!tess_affine_invert (tess_volume_affine (volume), &inverse))
    return FALSE;
  job->layer = layer;
  job->width = width;
  job->slope = tess_volume_slope (volume);
  job->intercept = tess_volume_intercept (volume);
  job->data = (const char *)tess_volume_data (volume) +
              (gsize)(layer->channel * tess_volume_n_voxels (volume)) * tess_dtype_size (tess_volume_dtype (volume));
  tess_affine_apply (&inverse, map->origin, job->origin);
  for (int a = 0; a < 3; a++) {
    job->dim[a] = tess_volume_dim (volume)[a];
    job->du[a] = job->dv[a] = 0.0;
    for (int b = 0; b < 3; b++) {
      job->du[a] += inverse.m[a][b] * map->u[b];
      job->dv[a] += inverse.m[a][b] * map->v[b];
    }
  }
  return TRUE;
}

/* Pixels [first,last) of a row whose index coordinate lies in the volume's field of view [-0.5, n-0.5) on every axis.
 */
static void
clip_row (const Job *job, const double p0[3], int *first, int *last)
{
  double lo = 0.0, hi = job->width;

  for (int a = 0; a < 3; a++) {
    double below = -0.5 - p0[a], above = (double)job->dim[a] - 0.5 - p0[a];

    if (fabs (job->du[a]) < 1e-12) {
      if (below > 0.0 || above <= 0.0)
        hi = 0.0;
    } else {
      double t0 = below / job->du[a], t1 = above / job->du[a];

      lo = fmax (lo, fmin (t0, t1));
      hi = fmin (hi, fmax (t0, t1));
    }
  }
  *first = (int)fmin (fmax (ceil (lo), 0.0), job->width);
  *last = (int)fmin (fmax (ceil (hi), *first), job->width);
}

/* One row for every stored type: the loops differ in nothing but the type of the voxels. */
#define DEFINE_ROW(name, type)                                                                                         \
  static void row_linear_##name (const Job *job, const double p0[3], int first, int last, float *out)                  \
  {                                                                                                                    \
    const type *data = job->data;                                                                                      \
    const gint64 sy = job->dim[0], sz = job->dim[0] * job->dim[1];                                                     \
                                                                                                                       \
    for (int i = first; i < last; i++) {                                                                               \
      gint64 at[3], up[3];                                                                                             \
      double f[3];                                                                                                     \
                                                                                                                       \
      for (int a = 0; a < 3; a++) {                                                                                    \
        double p = fmin (fmax (p0[a] + i * job->du[a], 0.0), (double)(job->dim[a] - 1));                               \
                                                                                                                       \
        at[a] = (gint64)p;                                                                                             \
        f[a] = p - (double)at[a];                                                                                      \
        up[a] = at[a] + 1 < job->dim[a] ? 1 : 0;                                                                       \
      }                                                                                                                \
      const type *v = data + at[0] + at[1] * sy + at[2] * sz;                                                          \
      const gint64 x = up[0], y = up[1] * sy, z = up[2] * sz;                                                          \
      double c00 = (double)v[0] + f[0] * ((double)v[x] - (double)v[0]);                                                \
      double c10 = (double)v[y] + f[0] * ((double)v[y + x] - (double)v[y]);                                            \
      double c01 = (double)v[z] + f[0] * ((double)v[z + x] - (double)v[z]);                                            \
      double c11 = (double)v[z + y] + f[0] * ((double)v[z + y + x] - (double)v[z + y]);                                \
      double c0 = c00 + f[1] * (c10 - c00), c1 = c01 + f[1] * (c11 - c01);                                             \
                                                                                                                       \
      out[i] = (float)(job->slope * (c0 + f[2] * (c1 - c0)) + job->intercept);                                         \
    }                                                                                                                  \
  }                                                                                                                    \
  static void row_nearest_##name (const Job *job, const double p0[3], int first, int last, float *out)                 \
  {                                                                                                                    \
    const type *data = job->data;                                                                                      \
                                                                                                                       \
    for (int i = first; i < last; i++) {                                                                               \
      gint64 at[3];                                                                                                    \
                                                                                                                       \
      for (int a = 0; a < 3; a++)                                                                                      \
        at[a] = CLAMP ((gint64)floor (p0[a] + i * job->du[a] + 0.5), 0, job->dim[a] - 1);                              \
      out[i] =                                                                                                         \
          (float)(job->slope * (double)data[at[0] + job->dim[0] * (at[1] + job->dim[1] * at[2])] + job->intercept);    \
    }                                                                                                                  \
  }

DEFINE_ROW (u8, guint8)
DEFINE_ROW (i8, gint8)
DEFINE_ROW (u16, guint16)
DEFINE_ROW (i16, gint16)
DEFINE_ROW (u32, guint32)
DEFINE_ROW (i32, gint32)
DEFINE_ROW (u64, guint64)
DEFINE_ROW (i64, gint64)
DEFINE_ROW (f32, float)
DEFINE_ROW (f64, double)

typedef void (*RowFunc) (const Job *job, const double p0[3], int first, int last, float *out);

static const RowFunc row_funcs[TESS_N_DTYPES][2] = {
    [TESS_DTYPE_U8] = {row_nearest_u8, row_linear_u8},    [TESS_DTYPE_I8] = {row_nearest_i8, row_linear_i8},
    [TESS_DTYPE_U16] = {row_nearest_u16, row_linear_u16}, [TESS_DTYPE_I16] = {row_nearest_i16, row_linear_i16},
    [TESS_DTYPE_U32] = {row_nearest_u32, row_linear_u32}, [TESS_DTYPE_I32] = {row_nearest_i32, row_linear_i32},
    [TESS_DTYPE_U64] = {row_nearest_u64, row_linear_u64}, [TESS_DTYPE_I64] = {row_nearest_i64, row_linear_i64},
    [TESS_DTYPE_F32] = {row_nearest_f32, row_linear_f32}, [TESS_DTYPE_F64] = {row_nearest_f64, row_linear_f64},
};

static void
rows_cb (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  RowFunc func = row_funcs[tess_volume_dtype (job->layer->volume)][job->values && job->layer->linear ? 1 : 0];
  g_autofree float *row = job->labels ? g_new (float, job->width) : NULL;

  for (gsize j = begin; j < end; j++) {
    float *out = job->labels ? row : job->values + j * (gsize)job->width;
    double p0[3];
    int first, last;

    for (int a = 0; a < 3; a++)
      p0[a] = job->origin[a] + (double)j * job->dv[a];
    clip_row (job, p0, &first, &last);
    for (int i = 0; i < job->width; i++)
      if (i < first || i >= last)
        out[i] = NAN;
    if (func && first < last)
      func (job, p0, first, last, out);
    if (job->labels)
      for (int i = 0; i < job->width; i++)
        job->labels[j * (gsize)job->width + (gsize)i] =
            i < first || i >= last || !isfinite (row[i]) ? -1 : (gint32)CLAMP (lrintf (row[i]), 0, 0x7fffff);
  }
}

void
tess_plane_sample_values (const TessLayer *layer, const TessPaneMap *map, int width, int height, float *values)
{
  Job job = {.values = values};

  if (!job_init (&job, layer, map, width)) {
    for (gsize i = 0; i < (gsize)width * (gsize)height; i++)
      values[i] = NAN;
    return;
  }
  tess_parallel_for ((gsize)height, 16, rows_cb, &job);
}

void
tess_plane_sample_labels (const TessLayer *layer, const TessPaneMap *map, int width, int height, gint32 *values)
{
  Job job = {.labels = values};

  if (!job_init (&job, layer, map, width)) {
    for (gsize i = 0; i < (gsize)width * (gsize)height; i++)
      values[i] = -1;
    return;
  }
  tess_parallel_for ((gsize)height, 16, rows_cb, &job);
}
