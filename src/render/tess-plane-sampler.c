#include "tess-plane-sampler.h"
#include "tess-parallel.h"

#include <math.h>
#include <string.h>

/* Where a coordinate on one axis lies: between two voxels, or (nearest) at one. */
typedef struct {
  gint64 at;
  int up; /* 1, or 0 at the last voxel */
  double f;
} Tap;

typedef struct {
  const TessLayer *layer;
  const void *data; /* first voxel of the channel */
  gint64 dim[3];
  double origin[3], du[3], dv[3]; /* pane pixel -> voxel index */
  double half[3];                 /* tess_layer_rounding() */
  double slope, intercept;
  int width, height;
  float *values;
  gint32 *labels;
  Tap *taps;                 /* one a column, where the pane's sides run along two axes of the volume; else NULL */
  int across, down, through; /* these axes: to the right, down, and the third */
} Job;

static gboolean
job_init (Job *job, const TessLayer *layer, const TessPaneMap *map, int width, gint64 readable)
{
  TessAffine inverse;
  const TessVolume *volume = layer->volume;

  if (!tess_affine_invert (tess_volume_affine (volume), &inverse) || readable < 1)
    return FALSE;
  job->layer = layer;
  job->width = width;
  job->slope = tess_volume_slope (volume);
  job->intercept = tess_volume_intercept (volume);
  job->data = (const char *)tess_volume_data (volume) +
              (gsize)(layer->channel * tess_volume_n_voxels (volume)) * tess_dtype_size (tess_volume_dtype (volume));
  tess_affine_apply (&inverse, map->origin, job->origin);
  tess_layer_rounding (layer, job->half);
  for (int a = 0; a < 3; a++) {
    job->dim[a] = a == 2 ? readable : tess_volume_dim (volume)[a];
    job->du[a] = job->dv[a] = 0.0;
    for (int b = 0; b < 3; b++) {
      job->du[a] += inverse.m[a][b] * map->u[b];
      job->dv[a] += inverse.m[a][b] * map->v[b];
    }
  }
  return TRUE;
}

/* Pixels [first,last) of a row whose index coordinate lies in the volume's field of view, where a voxel is nearest: on
 * every axis in [-half, n - half). */
static void
clip_row (const Job *job, const double p0[3], int *first, int *last)
{
  double lo = 0.0, hi = job->width;

  for (int a = 0; a < 3; a++) {
    double below = -job->half[a] - p0[a], above = (double)job->dim[a] - job->half[a] - p0[a];

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
        at[a] = CLAMP ((gint64)floor (p0[a] + i * job->du[a] + job->half[a]), 0, job->dim[a] - 1);                     \
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

static Tap
tap (const Job *job, int axis, double p)
{
  gint64 n = job->dim[axis];
  Tap t = {0};

  if (job->values && job->layer->linear) {
    p = fmin (fmax (p, 0.0), (double)(n - 1));
    t.at = (gint64)p;
    t.f = p - (double)t.at;
    t.up = t.at + 1 < n ? 1 : 0;
  } else {
    t.at = CLAMP ((gint64)floor (p + job->half[axis]), 0, n - 1);
  }
  return t;
}

/* Voxels by which a pane may lean against the axes of a volume and still count as along them: the affine of a file is
 * in single precision. Nobody sees so little; it is a tenth of what decides between two voxels (tess_layer_rounding()).
 */
#define LEAN 1e-4

/* The usual case: the pane shows the volume along its axes. Then a row of the picture lies in one line of voxels (or
 * between two or four), and each column at the same place of that line in all rows. */
static void
find_taps (Job *job)
{
  int across = -1, down = -1;

  for (int a = 0; a < 3; a++) {
    if (fabs (job->du[a]) * job->width > LEAN)
      across = across < 0 ? a : 3;
    if (fabs (job->dv[a]) * job->height > LEAN)
      down = down < 0 ? a : 3;
  }
  if (across < 0 || across > 2 || down < 0 || down > 2 || across == down)
    return;
  job->across = across;
  job->down = down;
  job->through = 3 - across - down;
  job->taps = g_new (Tap, job->width);
  for (int i = 0; i < job->width; i++)
    job->taps[i] = tap (job, across, job->origin[across] + i * job->du[across]);
}

/* The voxels [begin,end) of the line along `across` at two taps, interpolated where they lie between voxels. */
#define DEFINE_LINE(name, type)                                                                                        \
  static void line_##name (const Job *job, const Tap *down, const Tap *through, gint64 begin, gint64 end,              \
                           double *line)                                                                               \
  {                                                                                                                    \
    const gint64 stride[3] = {1, job->dim[0], job->dim[0] * job->dim[1]};                                              \
    const type *v = (const type *)job->data + down->at * stride[job->down] + through->at * stride[job->through];       \
    const gint64 s = stride[job->across], y = down->up * stride[job->down], z = through->up * stride[job->through];    \
                                                                                                                       \
    if (down->f == 0.0 && through->f == 0.0)                                                                           \
      for (gint64 k = begin; k < end; k++)                                                                             \
        line[k] = (double)v[k * s];                                                                                    \
    else if (through->f == 0.0)                                                                                        \
      for (gint64 k = begin; k < end; k++)                                                                             \
        line[k] = (double)v[k * s] + down->f * ((double)v[k * s + y] - (double)v[k * s]);                              \
    else                                                                                                               \
      for (gint64 k = begin; k < end; k++) {                                                                           \
        double c0 = (double)v[k * s] + down->f * ((double)v[k * s + y] - (double)v[k * s]);                            \
        double c1 = (double)v[k * s + z] + down->f * ((double)v[k * s + y + z] - (double)v[k * s + z]);                \
                                                                                                                       \
        line[k] = c0 + through->f * (c1 - c0);                                                                         \
      }                                                                                                                \
  }

DEFINE_LINE (u8, guint8)
DEFINE_LINE (i8, gint8)
DEFINE_LINE (u16, guint16)
DEFINE_LINE (i16, gint16)
DEFINE_LINE (u32, guint32)
DEFINE_LINE (i32, gint32)
DEFINE_LINE (u64, guint64)
DEFINE_LINE (i64, gint64)
DEFINE_LINE (f32, float)
DEFINE_LINE (f64, double)

typedef void (*LineFunc) (const Job *job, const Tap *down, const Tap *through, gint64 begin, gint64 end, double *line);

static const LineFunc line_funcs[TESS_N_DTYPES] = {
    [TESS_DTYPE_U8] = line_u8,   [TESS_DTYPE_I8] = line_i8,   [TESS_DTYPE_U16] = line_u16, [TESS_DTYPE_I16] = line_i16,
    [TESS_DTYPE_U32] = line_u32, [TESS_DTYPE_I32] = line_i32, [TESS_DTYPE_U64] = line_u64, [TESS_DTYPE_I64] = line_i64,
    [TESS_DTYPE_F32] = line_f32, [TESS_DTYPE_F64] = line_f64,
};

static gint32
as_label (double v)
{
  return isfinite (v) ? (gint32)CLAMP (floor (v + 0.5), 0.0, 0x7fffff) : -1;
}

/* Pixels [first,last) of a row whose taps are known; `line` holds as many numbers as the volume has voxels across. */
static void
row_along_axes (const Job *job, const double p0[3], int first, int last, double *line, gsize at)
{
  Tap down = tap (job, job->down, p0[job->down]), through = tap (job, job->through, p0[job->through]);
  const Tap *one = &job->taps[first], *other = &job->taps[last - 1];
  gint64 begin = MIN (one->at, other->at), end = MAX (one->at + one->up, other->at + other->up) + 1;

  line_funcs[tess_volume_dtype (job->layer->volume)](job, &down, &through, begin, end, line);
  for (gint64 k = begin; k < end; k++)
    line[k] = job->slope * line[k] + job->intercept;
  if (job->labels) {
    gint32 *out = job->labels + at;

    for (int i = first; i < last; i++)
      out[i] = i > first && job->taps[i].at == job->taps[i - 1].at ? out[i - 1] : as_label (line[job->taps[i].at]);
  } else if (job->layer->linear) {
    float *out = job->values + at;

    for (int i = first; i < last; i++) {
      const Tap *t = &job->taps[i];

      out[i] = (float)(line[t->at] + t->f * (line[t->at + t->up] - line[t->at]));
    }
  } else {
    float *out = job->values + at;

    for (int i = first; i < last; i++)
      out[i] = (float)line[job->taps[i].at];
  }
}

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
  g_autofree float *row = job->labels && !job->taps ? g_new (float, job->width) : NULL;
  g_autofree double *line = job->taps ? g_new (double, job->dim[job->across]) : NULL;

  for (gsize j = begin; j < end; j++) {
    gsize at = j * (gsize)job->width;
    double p0[3];
    int first, last;

    for (int a = 0; a < 3; a++)
      p0[a] = job->origin[a] + (double)j * job->dv[a];
    clip_row (job, p0, &first, &last);
    if (!func)
      first = last = 0;
    for (int i = 0; i < job->width; i++)
      if (i >= first && i < last)
        i = last - 1;
      else if (job->labels)
        job->labels[at + (gsize)i] = -1;
      else
        job->values[at + (gsize)i] = NAN;
    if (first == last)
      continue;
    if (job->taps) {
      row_along_axes (job, p0, first, last, line, at);
      continue;
    }
    func (job, p0, first, last, row ? row : job->values + at);
    for (int i = first; row && i < last; i++)
      job->labels[at + (gsize)i] = as_label (row[i]);
  }
}

/* Runs the rows; FALSE when the volume has no place in the world, or nothing of it has been read yet. */
static gboolean
run (Job *job, const TessLayer *layer, const TessPaneMap *map, int width, int height, double zero)
{
  if (!job_init (job, layer, map, width, tess_layer_readable (layer)))
    return FALSE;
  job->height = height;
  job->intercept -= zero;
  find_taps (job);
  if (job->taps) /* takes a millisecond: less than waking other threads costs, and they may have other work */
    rows_cb (0, (gsize)height, job);
  else
    tess_parallel_for ((gsize)height, 16, rows_cb, job);
  g_free (job->taps);
  return TRUE;
}

void
tess_plane_sample_relative (const TessLayer *layer, const TessPaneMap *map, int width, int height, double zero,
                            float *values)
{
  Job job = {.values = values};

  if (!run (&job, layer, map, width, height, zero))
    for (gsize i = 0; i < (gsize)width * (gsize)height; i++)
      values[i] = NAN;
}

void
tess_plane_sample_values (const TessLayer *layer, const TessPaneMap *map, int width, int height, float *values)
{
  tess_plane_sample_relative (layer, map, width, height, 0.0, values);
}

void
tess_plane_sample_labels (const TessLayer *layer, const TessPaneMap *map, int width, int height, gint32 *values)
{
  Job job = {.labels = values};

  if (!run (&job, layer, map, width, height, 0.0))
    for (gsize i = 0; i < (gsize)width * (gsize)height; i++)
      values[i] = -1;
}

void
tess_plane_mark_edges (gint32 *labels, int width, int height)
{
  g_autofree gint32 *above = g_memdup2 (labels, (gsize)width * sizeof *labels); /* the row above, without marks */
  g_autofree gint32 *row = g_new (gint32, width);

  for (int j = 0; j < height; j++) {
    gint32 *out = labels + (gsize)j * (gsize)width;
    const gint32 *below = j + 1 < height ? out + width : row;
    gint32 *swap = above;

    memcpy (row, out, (gsize)width * sizeof *row);
    for (int i = 0; i < width; i++) {
      int differs = (row[i] ^ above[i]) | (row[i] ^ below[i]);

      differs |= i > 0 ? row[i] ^ row[i - 1] : 0;
      differs |= i + 1 < width ? row[i] ^ row[i + 1] : 0;
      if (row[i] >= 0)
        out[i] = TESS_PLANE_SLOT (row[i]) | (differs ? TESS_PLANE_EDGE : 0);
    }
    above = row;
    row = swap;
  }
}
