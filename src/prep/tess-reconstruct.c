#include "tess-reconstruct.h"

#include "tess-format.h"

#include <float.h>
#include <math.h>

/* The labels that compete at a voxel with the one that came first there lie side by side: a head, then its class's
 * capacity of rivals. */
typedef union {
  struct {
    guint64 seen; /* a bit of every rival's hash: most labels that are not here need no look at the rivals */
    guint32 n, size_class;
  } head;
  struct {
    guint64 bits;
    double weight;
  } rival;
} Unit;

#define POOL_FIRST_SIZE 65536u
#define N_SIZE_CLASSES 40u

struct _TessReconstruction {
  TessDType dtype;
  gsize item;
  const TessPatchGrid *grid;
  const float *weights;
  gboolean vote;
  guint64 n_voxels;
  /* One entry a voxel. Fresh pages cost nothing until they are written: `difference` and `rivals` stay untouched
   * where all patches agree. */
  guint8 *first;      /* value of the first patch there; the result once a voxel is settled */
  double *weight;     /* mean: of all patches; vote: of those that say `first`; 0 = nothing yet */
  double *difference; /* mean: sum of weight * (value - first) */
  guint32 *rivals;    /* vote: where its rivals are in the pool, 0 = none */
  Unit *pool;
  guint64 pool_size, pool_used;
  guint32 unused[N_SIZE_CLASSES]; /* blocks given back, chained through head.n */
  guint64 next_patch;             /* patches come in order: G_MAXUINT64 once they did not */
  gint64 settled_z;               /* planes below have no rivals left */
  gboolean failed;
};

/* ---- cutting ---- */

/* patch: box's size in voxels of the volume's dtype, x fastest. */
void
tess_patch_cut (const TessVolume *volume, gint64 channel, const TessBox *box, void *patch)
{
  const gint64 *dim = tess_volume_dim (volume);
  gsize item = tess_dtype_size (tess_volume_dtype (volume));
  const guint8 *data = (const guint8 *)tess_volume_data (volume) + (gsize)(channel * dim[0] * dim[1] * dim[2]) * item;
  gint64 width = box->hi[0] - box->lo[0];
  gint64 x0 = CLAMP (box->lo[0], 0, dim[0]), x1 = CLAMP (box->hi[0], x0, dim[0]);
  guint8 *to = patch;

  for (gint64 z = box->lo[2]; z < box->hi[2]; z++)
    for (gint64 y = box->lo[1]; y < box->hi[1]; y++) {
      gint64 row = dim[0] * (CLAMP (y, 0, dim[1] - 1) + dim[1] * CLAMP (z, 0, dim[2] - 1));
      const guint8 *from = data + (gsize)row * item;

      for (gint64 x = box->lo[0]; x < MIN (x0, box->hi[0]); x++, to += item)
        memcpy (to, from, item);
      if (x1 > x0) {
        memcpy (to, from + (gsize)x0 * item, (gsize)(x1 - x0) * item);
        to += (gsize)(x1 - x0) * item;
      }
      for (gint64 x = MAX (x1, box->lo[0]); x < box->hi[0]; x++, to += item)
        memcpy (to, from + (gsize)(dim[0] - 1) * item, item);
    }
  g_assert (to == (guint8 *)patch + (gsize)(width * (box->hi[1] - box->lo[1]) * (box->hi[2] - box->lo[2])) * item);
}

/* ---- mean ---- */

/* value - first as a double, for bits that differ. Where first is infinite or NaN nothing finite can move it. */
static inline double
real_difference (double value, double first)
{
  if (isfinite (first))
    return value - first;
  return isnan (first) || isfinite (value) || value == first ? 0.0 : (double)NAN;
}

static inline double
difference_f32 (guint32 value, guint32 first)
{
  float v, f;

  memcpy (&v, &value, 4);
  memcpy (&f, &first, 4);
  return real_difference (v, f);
}

/* Halved, so that the difference of two large values of opposite sign does not overflow. */
static inline double
difference_f64 (guint64 value, guint64 first)
{
  double v, f;

  memcpy (&v, &value, 8);
  memcpy (&f, &first, 8);
  return real_difference (0.5 * v, 0.5 * f);
}

#define DIFFERENCE_SMALL(value, first) ((double)(value) - (double)(first))
/* Subtracted as integers: a double does not hold 64 bits, but the difference of neighbours it does. */
#define DIFFERENCE_64(value, first)                                                                                    \
  ((value) > (first) ? (double)((guint64)(value) - (guint64)(first)) : -(double)((guint64)(first) - (guint64)(value)))
#define DIFFERENCE_F16(value, first) real_difference (tess_f16_to_float (value), tess_f16_to_float (first))
#define DIFFERENCE_BF16(value, first) real_difference (tess_bf16_to_float (value), tess_bf16_to_float (first))

/* A weight always counts for something, so that weight == 0 can mean "nothing yet". */
static inline double
weight_at (const float *w, gint64 i)
{
  return w ? MAX (w[i], FLT_MIN) : 1.0;
}

/* Floating-point types go by their bits: equal bits agree, NaN or not, and no conversion touches a payload. */
#define DEFINE_MEAN(name, type, DIFFERENCE)                                                                            \
  static void mean_##name (type *first, double *weight, double *difference, const type *value, const float *w,         \
                           gint64 n)                                                                                   \
  {                                                                                                                    \
    for (gint64 i = 0; i < n; i++) {                                                                                   \
      double wi = weight_at (w, i);                                                                                    \
                                                                                                                       \
      if (weight[i] == 0.0)                                                                                            \
        first[i] = value[i];                                                                                           \
      else if (value[i] != first[i])                                                                                   \
        difference[i] += wi * DIFFERENCE (value[i], first[i]);                                                         \
      weight[i] += wi;                                                                                                 \
    }                                                                                                                  \
  }

DEFINE_MEAN (u8, guint8, DIFFERENCE_SMALL)
DEFINE_MEAN (i8, gint8, DIFFERENCE_SMALL)
DEFINE_MEAN (u16, guint16, DIFFERENCE_SMALL)
DEFINE_MEAN (i16, gint16, DIFFERENCE_SMALL)
DEFINE_MEAN (u32, guint32, DIFFERENCE_SMALL)
DEFINE_MEAN (i32, gint32, DIFFERENCE_SMALL)
DEFINE_MEAN (u64, guint64, DIFFERENCE_64)
DEFINE_MEAN (i64, gint64, DIFFERENCE_64)
DEFINE_MEAN (f32, guint32, difference_f32)
DEFINE_MEAN (f64, guint64, difference_f64)
DEFINE_MEAN (f16, guint16, DIFFERENCE_F16)
DEFINE_MEAN (bf16, guint16, DIFFERENCE_BF16)

static void
mean_row (TessReconstruction *r, guint64 at, const guint8 *patch, const float *w, gint64 n)
{
  void *first = r->first + at * r->item;
  const void *value = patch;
  double *weight = r->weight + at, *difference = r->difference + at;

  switch (r->dtype) {
  case TESS_DTYPE_U8:
    mean_u8 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_I8:
    mean_i8 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_U16:
    mean_u16 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_I16:
    mean_i16 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_U32:
    mean_u32 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_I32:
    mean_i32 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_U64:
    mean_u64 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_I64:
    mean_i64 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_F32:
    mean_f32 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_F64:
    mean_f64 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_F16:
    mean_f16 (first, weight, difference, value, w, n);
    break;
  case TESS_DTYPE_BF16:
    mean_bf16 (first, weight, difference, value, w, n);
    break;
  case TESS_N_DTYPES:
    break;
  }
}

__extension__ typedef __int128 Wide;

static inline Wide
shifted (Wide first, double mean, Wide lo, Wide hi)
{
  Wide value = first + (Wide)rint (mean); /* |mean| < 2^65 */

  return CLAMP (value, lo, hi);
}

/* first + mean difference, where there is one, rounded to the dtype. */
static void
mean_settle (TessReconstruction *r, guint64 i)
{
  double mean = r->difference[i] / r->weight[i];
  guint8 *at = r->first + i * r->item;

#define SETTLE_INT(type, lo, hi)                                                                                       \
  {                                                                                                                    \
    type v;                                                                                                            \
    memcpy (&v, at, sizeof v);                                                                                         \
    v = (type)shifted (v, mean, lo, hi);                                                                               \
    memcpy (at, &v, sizeof v);                                                                                         \
  }                                                                                                                    \
  break
#define SETTLE_HALF(from, to)                                                                                          \
  {                                                                                                                    \
    guint16 v;                                                                                                         \
    memcpy (&v, at, sizeof v);                                                                                         \
    v = to ((float)((double)from (v) + mean));                                                                         \
    memcpy (at, &v, sizeof v);                                                                                         \
  }                                                                                                                    \
  break

  switch (r->dtype) {
  case TESS_DTYPE_U8:
    SETTLE_INT (guint8, 0, G_MAXUINT8);
  case TESS_DTYPE_I8:
    SETTLE_INT (gint8, G_MININT8, G_MAXINT8);
  case TESS_DTYPE_U16:
    SETTLE_INT (guint16, 0, G_MAXUINT16);
  case TESS_DTYPE_I16:
    SETTLE_INT (gint16, G_MININT16, G_MAXINT16);
  case TESS_DTYPE_U32:
    SETTLE_INT (guint32, 0, G_MAXUINT32);
  case TESS_DTYPE_I32:
    SETTLE_INT (gint32, G_MININT32, G_MAXINT32);
  case TESS_DTYPE_U64:
    SETTLE_INT (guint64, 0, G_MAXUINT64);
  case TESS_DTYPE_I64:
    SETTLE_INT (gint64, G_MININT64, G_MAXINT64);
  case TESS_DTYPE_F16:
    SETTLE_HALF (tess_f16_to_float, tess_float_to_f16);
  case TESS_DTYPE_BF16:
    SETTLE_HALF (tess_bf16_to_float, tess_float_to_bf16);
  case TESS_DTYPE_F32: {
    float v;
    memcpy (&v, at, sizeof v);
    v = (float)((double)v + mean);
    memcpy (at, &v, sizeof v);
    break;
  }
  case TESS_DTYPE_F64: {
    double v;
    memcpy (&v, at, sizeof v);
    v = v + mean + mean; /* the difference was halved */
    memcpy (at, &v, sizeof v);
    break;
  }
  case TESS_N_DTYPES:
    break;
  }
}

/* ---- vote ---- */

static inline guint64
bits_at (const guint8 *at, gsize item)
{
  guint64 bits = 0;

  memcpy (&bits, at, item); /* little endian, as all that runs this */
  return bits;
}

/* The order of labels as numbers. */
static gboolean
bits_less (TessDType dtype, guint64 a, guint64 b)
{
  switch (dtype) {
  case TESS_DTYPE_I8:
    return (gint8)a < (gint8)b;
  case TESS_DTYPE_I16:
    return (gint16)a < (gint16)b;
  case TESS_DTYPE_I32:
    return (gint32)a < (gint32)b;
  case TESS_DTYPE_I64:
    return (gint64)a < (gint64)b;
  case TESS_DTYPE_F32: {
    guint32 u = (guint32)a, v = (guint32)b;
    float x, y;

    memcpy (&x, &u, 4);
    memcpy (&y, &v, 4);
    return x < y;
  }
  case TESS_DTYPE_F64: {
    double x, y;

    memcpy (&x, &a, 8);
    memcpy (&y, &b, 8);
    return x < y;
  }
  case TESS_DTYPE_F16:
    return tess_f16_to_float ((guint16)a) < tess_f16_to_float ((guint16)b);
  case TESS_DTYPE_BF16:
    return tess_bf16_to_float ((guint16)a) < tess_bf16_to_float ((guint16)b);
  default:
    return a < b;
  }
}

/* 2 4 6 8 12 16 24 32 48 ... */
static guint32
capacity (guint32 size_class)
{
  return size_class < 2 ? 2 * (size_class + 1) : (size_class % 2 ? 4u : 3u) << (size_class / 2);
}

/* An empty block, 0 when there is no memory for one. Unit 0 is never used. */
static guint32
block_new (TessReconstruction *r, guint32 size_class)
{
  guint64 units = (guint64)capacity (size_class) + 1;
  guint32 at = r->unused[size_class];

  if (at != 0)
    r->unused[size_class] = r->pool[at].head.n;
  else {
    if (r->pool_size == 0 || r->pool_size - r->pool_used < units) {
      guint64 size = MIN (MAX (r->pool_size * 3 / 2, POOL_FIRST_SIZE + units), G_MAXUINT32);
      Unit *pool = size - r->pool_used >= units ? g_try_renew (Unit, r->pool, size) : NULL;

      if (!pool)
        return 0;
      r->pool = pool;
      r->pool_size = size;
      r->pool_used = MAX (r->pool_used, 1);
    }
    at = (guint32)r->pool_used;
    r->pool_used += units;
  }
  r->pool[at].head.seen = 0;
  r->pool[at].head.n = 0;
  r->pool[at].head.size_class = size_class;
  return at;
}

static void
block_free (TessReconstruction *r, guint32 at)
{
  guint32 size_class = r->pool[at].head.size_class;

  r->pool[at].head.n = r->unused[size_class];
  r->unused[size_class] = at;
}

/* Room for one more rival at voxel i. */
static guint32
block_with_room (TessReconstruction *r, guint64 i)
{
  guint32 at = r->rivals[i], larger, size_class;

  if (at == 0)
    return r->rivals[i] = block_new (r, 0);
  size_class = r->pool[at].head.size_class;
  if (r->pool[at].head.n < capacity (size_class))
    return at;
  larger = size_class + 1 < N_SIZE_CLASSES ? block_new (r, size_class + 1) : 0;
  if (larger == 0)
    return 0;
  memcpy (&r->pool[larger + 1], &r->pool[at + 1], r->pool[at].head.n * sizeof (Unit));
  r->pool[larger].head.n = r->pool[at].head.n;
  r->pool[larger].head.seen = r->pool[at].head.seen;
  block_free (r, at);
  return r->rivals[i] = larger;
}

static void
vote_rival (TessReconstruction *r, guint64 i, guint64 bits, double weight)
{
  guint64 hash = G_GUINT64_CONSTANT (1) << ((bits * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 58);
  guint32 at = r->rivals[i];
  Unit *head;

  if (at != 0 && (r->pool[at].head.seen & hash) != 0)
    for (guint32 k = at + 1; k <= at + r->pool[at].head.n; k++)
      if (r->pool[k].rival.bits == bits) {
        r->pool[k].rival.weight += weight;
        return;
      }
  at = block_with_room (r, i);
  if (at == 0) {
    r->failed = TRUE;
    return;
  }
  head = &r->pool[at];
  head->head.seen |= hash;
  head->head.n++;
  head[head->head.n].rival.bits = bits;
  head[head->head.n].rival.weight = weight;
}

static void
vote_row (TessReconstruction *r, guint64 at, const guint8 *patch, const float *w, gint64 n)
{
  for (gint64 i = 0; i < n; i++, at++, patch += r->item) {
    double weight = weight_at (w, i);
    guint8 *first = r->first + at * r->item;

    if (r->weight[at] == 0.0)
      memcpy (first, patch, r->item);
    else if (memcmp (first, patch, r->item) != 0) {
      vote_rival (r, at, bits_at (patch, r->item), weight);
      continue;
    }
    r->weight[at] += weight;
  }
}

/* The heaviest label of voxel i becomes `first`, of equally heavy ones the lowest; its rivals' memory is free again. */
static void
vote_settle (TessReconstruction *r, guint64 i)
{
  guint32 block = r->rivals[i];
  guint8 *at = r->first + i * r->item;
  guint64 best = bits_at (at, r->item);
  double weight = r->weight[i];

  for (guint32 k = block + 1; k <= block + r->pool[block].head.n; k++) {
    guint64 bits = r->pool[k].rival.bits;

    if (r->pool[k].rival.weight > weight || (r->pool[k].rival.weight == weight && bits_less (r->dtype, bits, best))) {
      best = bits;
      weight = r->pool[k].rival.weight;
    }
  }
  block_free (r, block);
  r->rivals[i] = 0;
  memcpy (at, &best, r->item);
}

/* ---- the whole ---- */

/* Settles planes [settled_z, z). */
static void
settle_until (TessReconstruction *r, gint64 z)
{
  guint64 plane = (guint64)r->grid->dim[0] * (guint64)r->grid->dim[1];

  for (guint64 i = (guint64)r->settled_z * plane; i < (guint64)z * plane; i++) {
    if (r->vote) {
      if (r->rivals[i] != 0)
        vote_settle (r, i);
    } else if (r->difference[i] != 0.0) /* NaN too */
      mean_settle (r, i);
  }
  r->settled_z = MAX (r->settled_z, z);
}

/* dtype: of the patches and of the result. Memory: the dtype and 8 bytes a voxel, and up to 8 more where patches
 * disagree. The technique for the mean is to sum the weighted differences from the first value seen: agreeing patches
 * add exactly 0, so that nothing is ever rounded there. Errors: NO_MEMORY, BAD_SHAPE. */
TessReconstruction *
tess_reconstruction_new (TessDType dtype, const TessPatchGrid *grid, const float *weights, gboolean vote,
                         GError **error)
{
  g_autoptr (TessReconstruction) r = g_new0 (TessReconstruction, 1);
  guint64 bytes;

  r->dtype = dtype;
  r->item = tess_dtype_size (dtype);
  r->grid = grid;
  r->weights = weights;
  r->vote = vote;
  if (!g_uint64_checked_mul (&r->n_voxels, (guint64)grid->dim[0] * (guint64)grid->dim[1], (guint64)grid->dim[2]) ||
      !g_uint64_checked_mul (&bytes, r->n_voxels, sizeof (double))) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("the volume is too large to be put back together"));
    return NULL;
  }
  r->first = g_try_malloc0_n (r->n_voxels, r->item);
  r->weight = g_try_new0 (double, r->n_voxels);
  if (vote)
    r->rivals = g_try_new0 (guint32, r->n_voxels);
  else
    r->difference = g_try_new0 (double, r->n_voxels);
  if (!r->first || !r->weight || (vote ? r->rivals == NULL : r->difference == NULL)) {
    g_autofree char *size = tess_format_bytes (bytes * 2 + r->n_voxels * r->item);

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("putting the patches back needs %s of memory; free some or crop the volume"), size);
    return NULL;
  }
  return g_steal_pointer (&r);
}

/* Patch i of the grid, once each. In order, a plane is settled as soon as no later patch reaches it, so that votes
 * are held for the thickness of one patch only. */
void
tess_reconstruction_add (TessReconstruction *r, guint64 i, const void *patch)
{
  const TessPatchGrid *grid = r->grid;
  TessBox box = tess_patch_grid_box (grid, i), inside;
  TessBox all = {{0, 0, 0}, {grid->dim[0], grid->dim[1], grid->dim[2]}};

  r->next_patch = r->next_patch == i ? i + 1 : G_MAXUINT64;
  if (r->failed || !tess_box_intersect (&box, &all, &inside))
    return;
  if (r->next_patch != G_MAXUINT64)
    settle_until (r, inside.lo[2]);
  for (gint64 z = inside.lo[2]; z < inside.hi[2]; z++)
    for (gint64 y = inside.lo[1]; y < inside.hi[1]; y++) {
      gint64 n = inside.hi[0] - inside.lo[0];
      guint64 at = (guint64)(inside.lo[0] + grid->dim[0] * (y + grid->dim[1] * z));
      guint64 from =
          (guint64)(inside.lo[0] - box.lo[0] + grid->size[0] * (y - box.lo[1] + grid->size[1] * (z - box.lo[2])));
      const guint8 *row = (const guint8 *)patch + from * r->item;
      const float *w = r->weights ? r->weights + from : NULL;

      if (r->vote)
        vote_row (r, at, row, w, n);
      else
        mean_row (r, at, row, w, n);
    }
}

gboolean
tess_reconstruction_finish (TessReconstruction *r, void *target, GError **error)
{
  if (r->failed) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("there is not enough memory for the votes of this many different labels; take a larger stride"));
    return FALSE;
  }
  settle_until (r, r->grid->dim[2]);
  memcpy (target, r->first, r->n_voxels * r->item);
  return TRUE;
}

void
tess_reconstruction_free (TessReconstruction *r)
{
  if (!r)
    return;
  g_free (r->first);
  g_free (r->weight);
  g_free (r->difference);
  g_free (r->rivals);
  g_free (r->pool);
  g_free (r);
}
