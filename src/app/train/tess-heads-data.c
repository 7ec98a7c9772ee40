#include "tess-heads-data.h"

#include <math.h>
#include <string.h>

/* TP grey-green, FP orange, FN violet: the same in Results. */
const guint8 tess_heads_error_colours[3][3] = {{0x8f, 0xb0, 0x94}, {0xf2, 0x8e, 0x2b}, {0xb0, 0x6a, 0xe0}};

#define TINT 0.62 /* of a label's colour over the image */
#define DIM 0.55  /* of the image under the errors */

/* From display axes to the snapshot's index axes. */
typedef struct {
  int axis[3];      /* index axis (x, y, z) a display axis lies along */
  gboolean flip[3]; /* runs against it */
} Turn;

TessHeadsData *
tess_heads_data_ref (TessHeadsData *data)
{
  g_atomic_ref_count_inc (&data->refs);
  return data;
}

void
tess_heads_data_unref (TessHeadsData *data)
{
  if (!data || !g_atomic_ref_count_dec (&data->refs))
    return;
  for (guint l = 0; l < data->n_levels; l++) {
    TessHeadsLevel *level = &data->levels[l];

    for (guint c = 0; level->p && c < data->n_classes; c++)
      g_free (level->p[c]);
    g_free ((gpointer)level->p);
    g_free (level->image);
    g_free (level->truth);
    g_free (level->prediction);
  }
  g_free (data->case_id);
  g_free (data);
}

/* Display axes: x to the patient's left, y posterior, z superior, so that pictures are radiological when x runs to the
 * right and y down. Without codes the scan's own axes as they are. */
static gboolean
find_turn (const char *codes, Turn *turn)
{
  static const char *const directions[3] = {"LR", "PA", "SI"}; /* wanted, its opposite */
  gboolean all = strlen (codes) == 3;

  *turn = (Turn){.axis = {0, 1, 2}};
  for (int d = 0; all && d < 3; d++) {
    int found = -1;

    for (int a = 0; a < 3; a++)
      if (strchr (directions[d], codes[a]))
        found = a;
    all = found >= 0;
    turn->axis[d] = found;
    turn->flip[d] = found >= 0 && codes[found] == directions[d][1];
  }
  if (!all)
    *turn = (Turn){.axis = {0, 1, 2}};
  return all;
}

/* Offset in a volume {D, H, W} of the source voxel nearest-exact to display voxel (x, y, z): the rule by which the loss
 * resizes labels, source = floor ((i + 0.5) * in / out). */
typedef struct {
  gint64 *offset[3]; /* per display axis: of index i */
} Map;

static void
map_init (Map *map, const Turn *turn, const gint64 source_dhw[3], const gint64 dim[3])
{
  const gint64 n[3] = {source_dhw[2], source_dhw[1], source_dhw[0]};
  const gint64 step[3] = {1, n[0], n[0] * n[1]};

  for (int d = 0; d < 3; d++) {
    int a = turn->axis[d];

    map->offset[d] = g_new (gint64, dim[d]);
    for (gint64 i = 0; i < dim[d]; i++) {
      gint64 at = turn->flip[d] ? dim[d] - 1 - i : i;

      map->offset[d][i] = step[a] * MIN ((2 * at + 1) * n[a] / (2 * dim[d]), n[a] - 1);
    }
  }
}

static void
map_clear (Map *map)
{
  for (int d = 0; d < 3; d++)
    g_free (map->offset[d]);
}

static guint8 *
gather (const guint8 *source, const Map *map, const gint64 dim[3])
{
  guint8 *out = g_malloc ((gsize)(dim[0] * dim[1] * dim[2])), *o = out;

  for (gint64 z = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++) {
      const guint8 *row = source + map->offset[2][z] + map->offset[1][y];

      for (gint64 x = 0; x < dim[0]; x++)
        *o++ = row[map->offset[0][x]];
    }
  return out;
}

static int
compare_floats (const void *a, const void *b)
{
  float x = *(const float *)a, y = *(const float *)b;

  return (x > y) - (x < y);
}

/* The first channel as grey: percentiles 1 and 99 of at most 20000 of its voxels are black and white. */
static guint8 *
grey_image (const TessSnapshot *s)
{
  gsize n = (gsize)(s->dhw[0] * s->dhw[1] * s->dhw[2]), step = n / 20000 + 1, m = 0;
  g_autofree float *sample = g_new (float, n / step + 1);
  guint8 *grey = g_malloc (n);
  float lower, upper;

  for (gsize i = 0; i < n; i += step) {
    float v = tess_f16_to_float (s->image[i]);

    if (isfinite (v))
      sample[m++] = v;
  }
  qsort (sample, m, sizeof (float), compare_floats);
  lower = m ? sample[(gsize)(0.01 * (double)(m - 1))] : 0.0f;
  upper = m ? sample[(gsize)(0.99 * (double)(m - 1))] : 1.0f;
  upper = upper > lower ? upper : lower + 1.0f;
  for (gsize i = 0; i < n; i++) {
    float v = (tess_f16_to_float (s->image[i]) - lower) / (upper - lower);

    grey[i] = (guint8)(CLAMP (isfinite (v) ? v : 0.0f, 0.0f, 1.0f) * 255.0f + 0.5f);
  }
  return grey;
}

static void
find_prediction (TessHeadsLevel *level, guint n_classes, gboolean sigmoid)
{
  gsize n = (gsize)(level->dim[0] * level->dim[1] * level->dim[2]);
  g_autofree guint8 *best = g_memdup2 (level->p[0], n);

  level->prediction = g_malloc0 (n);
  for (guint c = 1; c < n_classes; c++)
    for (gsize i = 0; i < n; i++)
      if (sigmoid ? level->p[c][i] >= 128 : level->p[c][i] > best[i]) {
        best[i] = level->p[c][i];
        level->prediction[i] = (guint8)c;
      }
}

static void
find_dice (TessHeadsLevel *level, guint n_classes)
{
  gsize n = (gsize)(level->dim[0] * level->dim[1] * level->dim[2]);
  gsize both[256] = {0}, truth[256] = {0}, prediction[256] = {0};
  double sum = 0.0;
  guint there = 0;

  for (gsize i = 0; i < n; i++) {
    truth[level->truth[i]]++;
    prediction[level->prediction[i]]++;
    both[level->truth[i]] += level->truth[i] == level->prediction[i];
  }
  for (guint c = 1; c < n_classes; c++) {
    gsize size = truth[c] + prediction[c];

    level->dice[c] = size > 0 ? 2.0 * (double)both[c] / (double)size : NAN;
    if (size > 0) {
      sum += level->dice[c];
      there++;
    }
  }
  level->dice[0] = there > 0 ? sum / there : NAN;
}

static void
make_level (TessHeadsData *data, guint l, const TessSnapshot *s, const Turn *turn, const guint8 *grey)
{
  TessHeadsLevel *level = &data->levels[l];
  const TessSnapshotHead *head = &s->heads[l];
  gsize n = (gsize)(head->dhw[0] * head->dhw[1] * head->dhw[2]);
  guint8 **p = g_new0 (guint8 *, s->n_classes);
  Map full, own;

  for (int d = 0; d < 3; d++)
    level->dim[d] = head->dhw[2 - turn->axis[d]];
  map_init (&full, turn, s->dhw, level->dim);
  map_init (&own, turn, head->dhw, level->dim);
  level->image = gather (grey, &full, level->dim);
  level->truth = gather (s->truth, &full, level->dim);
  for (guint c = 0; c < s->n_classes; c++)
    p[c] = gather (head->probabilities + c * n, &own, level->dim);
  level->p = p;
  find_prediction (level, s->n_classes, s->sigmoid);
  find_dice (level, s->n_classes);
  map_clear (&full);
  map_clear (&own);
}

/**
 * tess_heads_data_new:
 * @codes: what tess_affine_orientation() says of the scan the patch is from, or ""
 *
 * Takes a few passes over the patch: for a worker, not for the main thread.
 */
TessHeadsData *
tess_heads_data_new (const TessSnapshot *snapshot, const char *codes, const double spacing[3])
{
  TessHeadsData *data = g_new0 (TessHeadsData, 1);
  g_autofree guint8 *grey = grey_image (snapshot);
  Turn turn;

  g_atomic_ref_count_init (&data->refs);
  data->oriented = find_turn (codes, &turn);
  data->epoch = snapshot->epoch;
  data->iteration = snapshot->iteration;
  data->case_id = g_strdup (snapshot->case_id);
  data->n_classes = snapshot->n_classes;
  data->n_levels = snapshot->n_heads;
  for (int d = 0; d < 3; d++) {
    data->dim[d] = snapshot->dhw[2 - turn.axis[d]];
    data->spacing[d] = spacing[turn.axis[d]];
  }
  for (guint l = 0; l < data->n_levels; l++)
    make_level (data, l, snapshot, &turn, grey);
  return data;
}

/* Display axes across, down and through a plane. Coronal and sagittal pictures have z upwards; sagittal ones the nose
 * to the left: y runs posterior, so across. */
static void
plane_axes (TessHeadsPlane plane, int *across, int *down, int *through, gboolean *upwards)
{
  *across = plane == TESS_HEADS_SAGITTAL ? 1 : 0;
  *down = plane == TESS_HEADS_AXIAL ? 1 : 2;
  *through = plane == TESS_HEADS_AXIAL ? 2 : plane == TESS_HEADS_CORONAL ? 1 : 0;
  *upwards = plane != TESS_HEADS_AXIAL;
}

gint64
tess_heads_n_slices (const TessHeadsData *data, TessHeadsPlane plane)
{
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  return data->dim[through];
}

void
tess_heads_extent (const TessHeadsData *data, guint level, TessHeadsPlane plane, gint64 *columns, gint64 *rows)
{
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  *columns = data->levels[level].dim[across];
  *rows = data->levels[level].dim[down];
}

double
tess_heads_aspect (const TessHeadsData *data, TessHeadsPlane plane)
{
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  return (double)data->dim[down] * data->spacing[down] / ((double)data->dim[across] * data->spacing[across]);
}

gint64
tess_heads_slice (const TessHeadsData *data, guint level, TessHeadsPlane plane, gint64 slice)
{
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  return CLAMP ((2 * slice + 1) * data->levels[level].dim[through] / (2 * data->dim[through]), 0,
                data->levels[level].dim[through] - 1);
}

gsize
tess_heads_voxel (const TessHeadsData *data, guint level_index, TessHeadsPlane plane, gint64 slice, gboolean mirrored,
                  double x, double y, gint64 at[3])
{
  const TessHeadsLevel *level = &data->levels[level_index];
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  at[across] = CLAMP ((gint64)floor (x * (double)level->dim[across]), 0, level->dim[across] - 1);
  at[down] = CLAMP ((gint64)floor (y * (double)level->dim[down]), 0, level->dim[down] - 1);
  at[through] = tess_heads_slice (data, level_index, plane, slice);
  if (mirrored && across == 0)
    at[across] = level->dim[across] - 1 - at[across];
  if (upwards)
    at[down] = level->dim[down] - 1 - at[down];
  return (gsize)((at[2] * level->dim[1] + at[1]) * level->dim[0] + at[0]);
}

/* ---- painting ---- */

static guint32
rgb (double r, double g, double b)
{
  return 0xff000000u | (guint32)(r + 0.5) << 16 | (guint32)(g + 0.5) << 8 | (guint32)(b + 0.5);
}

static guint32
blend (double grey, const guint8 colour[3], double tint)
{
  return rgb (grey + (colour[0] - grey) * tint, grey + (colour[1] - grey) * tint, grey + (colour[2] - grey) * tint);
}

static guint32
voxel_colour (const TessHeadsLevel *level, TessHeadsColumn column, guint klass, gsize i, const guint8 (*colours)[3])
{
  double grey = level->image[i];
  guint8 truth = level->truth[i], prediction = level->prediction[i];

  switch (column) {
  case TESS_HEADS_TRUTH:
    return truth ? blend (grey, colours[truth], TINT) : rgb (grey, grey, grey);
  case TESS_HEADS_PREDICTION:
    return prediction ? blend (grey, colours[prediction], TINT) : rgb (grey, grey, grey);
  case TESS_HEADS_ERROR:
    if (!truth && !prediction)
      return rgb (grey * DIM, grey * DIM, grey * DIM);
    return blend (grey * DIM, tess_heads_error_colours[truth == prediction ? 0 : prediction ? 1 : 2], 0.85);
  case TESS_HEADS_PROBABILITY: {
    double p = level->p[klass][i] / 255.0;

    return rgb (p * colours[klass][0], p * colours[klass][1], p * colours[klass][2]);
  }
  case TESS_HEADS_IMAGE:
  default:
    return rgb (grey, grey, grey);
  }
}

/**
 * tess_heads_paint:
 *
 * A voxel becomes a block of equal pixels (or, in a small picture, the nearest one is taken); rows that show the same
 * voxels are copied.
 */
void
tess_heads_paint (const TessHeadsData *data, guint level_index, TessHeadsColumn column, guint klass,
                  TessHeadsPlane plane, gint64 slice, gboolean mirrored, const guint8 (*colours)[3], int width,
                  int height, guint32 *pixels)
{
  const TessHeadsLevel *level = &data->levels[level_index];
  const gint64 step[3] = {1, level->dim[0], level->dim[0] * level->dim[1]};
  gint64 columns, rows, own = tess_heads_slice (data, level_index, plane, slice), last = -1;
  g_autofree guint32 *line = NULL;
  int across, down, through;
  gboolean upwards;

  plane_axes (plane, &across, &down, &through, &upwards);
  mirrored = mirrored && across == 0;
  columns = level->dim[across];
  rows = level->dim[down];
  line = g_new (guint32, columns);
  for (int y = 0; y < height; y++) {
    gint64 row = (2 * (gint64)y + 1) * rows / (2 * height);
    guint32 *out = pixels + (gsize)y * (gsize)width;

    if (upwards)
      row = rows - 1 - row;
    if (row == last) {
      memcpy (out, out - width, (gsize)width * sizeof *out);
      continue;
    }
    last = row;
    for (gint64 c = 0; c < columns; c++)
      line[c] = voxel_colour (level, column, klass, (gsize)(own * step[through] + row * step[down] + c * step[across]),
                              colours);
    for (int x = 0; x < width; x++) {
      gint64 c = (2 * (gint64)x + 1) * columns / (2 * width);

      out[x] = line[mirrored ? columns - 1 - c : c];
    }
  }
}
