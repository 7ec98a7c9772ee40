#include "tess-predictor.h"

#include "tess-device-case.h"
#include "tess-format-registry.h"
#include "tess-format.h"
#include "tess-logit-band.h"
#include "tess-parallel.h"
#include "tess-planner.h"
#include "tess-thread.h"

#include <inttypes.h>
#include <string.h>

struct _TessPredictor {
  TessPlan *plan;
  TessSession *session;
  int program;
  guint device, n_threads;
  gboolean ahead;     /* the next tile is drawn while the device computes */
  gint64 tile[3];     /* x, y, z: what a patch has logits for, in its middle; of most networks the whole patch */
  float *weights;     /* {D,H,W} of a tile; NULL = uniform */
  gsize n_image;      /* floats */
  guint64 near_bytes; /* of the last scan's sums, where the device had no room for them */
  guint mirrored[8], n_mirrored; /* how each tile is drawn in turn: axes flipped; first none */
};

/* The program's ends must be what the plan says; a wrong one would be read out of bounds. */
static gboolean
check_program (TessPredictor *p, GError **error)
{
  const TessNetwork *network = tess_session_network (p->session, p->program);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);
  const TessTensor *logits = tess_graph_tensor (network->graph, network->logits[0]);
  const gint64 *patch = p->plan->patch;
  gboolean within = TRUE;
  gsize n_logits;

  for (guint a = 0; a < 3; a++) {
    p->tile[a] = logits->dim[3 - a];
    within = within && p->tile[a] <= patch[a] && (patch[a] - p->tile[a]) % 2 == 0;
  }
  p->n_image = (gsize)(patch[0] * patch[1] * patch[2]) * p->plan->n_channels;
  n_logits = (gsize)(p->tile[0] * p->tile[1] * p->tile[2]) * tess_plan_n_outputs (p->plan);
  if (within && image->bytes == p->n_image * sizeof (float) && logits->bytes == n_logits * sizeof (float))
    return TRUE;
  g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                       _ ("the network's input and output are not of the patch's size"));
  return FALSE;
}

/**
 * tess_predictor_new:
 * @model: a loaded model; needed only during this call
 * @backend: what computes
 * @device: its device's index
 * @n_threads: of the processor; 0 = all cores
 * @act_dtype: TESS_DTYPE_F32 or TESS_DTYPE_BF16
 *
 * Builds the batch-1 program of the model's network on the device and copies the weights there.
 *
 * Returns: (transfer full): the predictor, or NULL (NO_MEMORY, UNSUPPORTED, DEVICE_LOST, BAD_SHAPE).
 */
TessPredictor *
tess_predictor_new (TessModel *model, const TessBackendIface *backend, guint device, guint n_threads,
                    TessDType act_dtype, GError **error)
{
  g_autoptr (TessPredictor) p = g_new0 (TessPredictor, 1);
  TessNetworkSpec network_spec;
  TessProgramSpec program_spec;

  p->plan = tess_plan_ref (model->plan);
  p->device = device;
  p->n_mirrored = 1;
  p->n_threads = n_threads;
  /* On the processor itself a thread drawing ahead would only take cores from the convolutions. */
  p->ahead = strcmp (backend->id, "cpu") != 0;
  tess_plan_network_spec (p->plan, &network_spec);
  tess_plan_program_spec (p->plan, TESS_PROGRAM_INFER, 1, act_dtype, FALSE, &program_spec);
  p->session = tess_session_new (backend, device, n_threads, &network_spec, error);
  if (!p->session)
    return NULL;
  p->program = tess_session_add_program (p->session, &program_spec, error);
  if (p->program < 0 || !check_program (p, error) || !tess_session_bind (p->session, 0, error) ||
      !tess_model_copy_params (model, p->session, FALSE, error))
    return NULL;
  if (p->plan->inference.gaussian)
    p->weights = tess_patch_weights_gaussian (p->tile);
  return g_steal_pointer (&p);
}

void
tess_predictor_free (TessPredictor *p)
{
  if (!p)
    return;
  g_clear_pointer (&p->session, tess_session_free);
  g_clear_pointer (&p->plan, tess_plan_unref);
  g_free (p->weights);
  g_free (p);
}

guint
tess_predictor_set_mirror (TessPredictor *p, guint axes)
{
  for (guint a = 0; a < 3; a++)
    if (p->plan->patch[a] == 1 || !(p->plan->augmentation.mirror_probability[a] > 0.0))
      axes &= ~(1u << a);
  axes &= 7u;
  p->n_mirrored = 0;
  for (guint set = 0; set < 8; set++)
    if ((set & ~axes) == 0)
      p->mirrored[p->n_mirrored++] = set;
  return axes;
}

/* Tiles of one scan in order, each as often as it is mirrored: drawn by the device out of a copy of the scan, where it
 * can and has room for one; else by the sampler's one function, here or one ahead on a thread of its own. */
typedef struct {
  float *image;
  GError *error;
} Tile;

typedef struct {
  TessPredictor *p;
  TessCase *c;
  TessPatchGrid *grid;
  TessDeviceCase *resident; /* NULL: drawn by the host */
  Tile tile[2];
  guint64 next;
  TessQueue *empty, *full; /* NULL when nothing is drawn ahead */
  TessThread *thread;
} Feed;

static TessSampleKey
tile_key (const Feed *feed, guint64 i)
{
  guint n = feed->p->n_mirrored;
  TessBox box = tess_patch_grid_box (feed->grid, i / n);
  const gint64 *size = feed->p->plan->patch, *part = feed->p->tile;

  return (TessSampleKey){.mirrored = feed->p->mirrored[i % n],
                         .origin = {box.lo[0] - (size[0] - part[0]) / 2, box.lo[1] - (size[1] - part[1]) / 2,
                                    box.lo[2] - (size[2] - part[2]) / 2}};
}

static void
draw_tile (Feed *feed, guint64 i, Tile *tile)
{
  const gint64 *size = feed->p->plan->patch;
  TessSampleKey key = tile_key (feed, i);
  TessPatchOut out = {.region = {{0, 0, 0}, {size[0], size[1], size[2]}}, .image = tile->image};

  tess_sampler_draw (feed->p->plan, feed->c, &key, &out, &tile->error);
}

static void
draw_ahead (gpointer data)
{
  Feed *feed = data;
  guint64 n = tess_patch_grid_n (feed->grid) * feed->p->n_mirrored;

  tess_parallel_set_threads (feed->p->n_threads);
  for (guint64 i = 0; i < n; i++) {
    Tile *tile = tess_queue_pop (feed->empty);

    if (!tile)
      return;
    draw_tile (feed, i, tile);
    if (!tess_queue_push (feed->full, tile))
      return;
  }
}

/* FALSE without an error: the host draws. */
static gboolean
make_resident (Feed *feed, GError **error)
{
  const TessBackendIface *backend = tess_session_backend (feed->p->session);
  GError *local = NULL;

  if (tess_device_case_bytes (feed->c) > tess_device_case_room (backend, feed->p->device))
    return FALSE;
  feed->resident = tess_device_case_new (backend, tess_session_device (feed->p->session), feed->c, &local);
  if (g_error_matches (local, TESS_ERROR, TESS_ERROR_NO_MEMORY))
    g_clear_error (&local);
  if (local)
    g_propagate_error (error, local);
  return feed->resident != NULL;
}

static gboolean
feed_init (Feed *feed, TessPredictor *p, TessCase *c, TessPatchGrid *grid, GError **error)
{
  guint n_tiles = p->ahead ? 2 : 1;
  GError *local = NULL;

  *feed = (Feed){.p = p, .c = c, .grid = grid};
  if (make_resident (feed, &local))
    return TRUE;
  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  for (guint i = 0; i < n_tiles; i++) {
    feed->tile[i].image = g_try_malloc_n (p->n_image, sizeof (float));
    if (!feed->tile[i].image) {
      g_set_error_literal (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                           _ ("not enough memory for one patch; close other programs"));
      return FALSE;
    }
  }
  if (p->ahead) {
    feed->empty = tess_queue_new (n_tiles);
    feed->full = tess_queue_new (n_tiles);
    for (guint i = 0; i < n_tiles; i++)
      tess_queue_push (feed->empty, &feed->tile[i]);
    feed->thread = tess_thread_new ("tiles", 0, draw_ahead, feed);
  }
  return TRUE;
}

/* The next tile into the program's input. */
static gboolean
feed_next (Feed *feed, GError **error)
{
  TessPredictor *p = feed->p;
  TessId image = tess_session_network (p->session, p->program)->image;
  guint64 i = feed->next++;
  Tile *tile = feed->thread ? tess_queue_pop (feed->full) : &feed->tile[0];
  gboolean ok;

  if (feed->resident) {
    TessSampleKey key = tile_key (feed, i);
    TessDevicePatch out = {0};

    out.image = tess_session_tensor (p->session, p->program, image, &out.image_offset);
    return tess_device_case_draw (feed->resident, p->plan, feed->c, &key, &out, error);
  }
  if (!feed->thread)
    draw_tile (feed, i, tile);
  if (tile->error) {
    g_propagate_error (error, g_steal_pointer (&tile->error));
    return FALSE;
  }
  ok = tess_session_write (p->session, p->program, image, tile->image, p->n_image * sizeof (float), error);
  if (feed->thread)
    tess_queue_push (feed->empty, tile);
  return ok;
}

static void
feed_clear (Feed *feed)
{
  if (feed->thread) {
    tess_queue_close (feed->empty);
    tess_queue_close (feed->full);
    tess_thread_join (feed->thread);
  }
  g_clear_pointer (&feed->resident, tess_device_case_free);
  g_clear_pointer (&feed->empty, tess_queue_free);
  g_clear_pointer (&feed->full, tess_queue_free);
  for (guint i = 0; i < 2; i++) {
    g_free (feed->tile[i].image);
    g_clear_error (&feed->tile[i].error);
  }
}

/* From the scan to the band's sums. */
static gboolean
predict_tile (TessPredictor *p, Feed *feed, const TessBox *box, guint mirrored, TessLogitBand *band, GError **error)
{
  TessStepArgs args = {0};
  gsize offset;
  TessBuffer *logits =
      tess_session_tensor (p->session, p->program, tess_session_network (p->session, p->program)->logits[0], &offset);

  return feed_next (feed, error) && tess_session_run (p->session, p->program, &args, error) &&
         tess_logit_band_add (band, box, logits, offset, mirrored, error);
}

/* Tiles come in rows of one z start; a slice is finished once the next row starts above it. */
static gboolean
predict_rows (TessPredictor *p, Feed *feed, TessLogitBand *band, TessProgress *progress, GError **error)
{
  const TessPatchGrid *grid = feed->grid;
  guint64 n = tess_patch_grid_n (grid), n_row = n / grid->n[2], i = 0;

  for (guint z = 0; z < grid->n[2]; z++) {
    if (!tess_logit_band_open (band, grid->start[2][z] + grid->size[2], error))
      return FALSE;
    for (guint64 end = i + n_row; i < end; i++) {
      TessBox box = tess_patch_grid_box (grid, i);

      for (guint k = 0; k < p->n_mirrored; k++)
        if (!tess_progress_check (progress, error) || !predict_tile (p, feed, &box, p->mirrored[k], band, error))
          return FALSE;
      tess_progress_set (progress, (double)(i + 1) / (double)n);
    }
    if (!tess_logit_band_finish (band, z + 1 < grid->n[2] ? grid->start[2][z + 1] : grid->dim[2], error))
      return FALSE;
  }
  return TRUE;
}

/* One volume a channel: a volume of several channels counts as all of them. */
static GPtrArray *
split_channels (TessPredictor *p, TessVolume *const *images, guint n_images, GError **error)
{
  g_autoptr (GPtrArray) split = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_unref);
  gint64 n = 0;

  for (guint i = 0; i < n_images; i++)
    n += tess_volume_n_channels (images[i]);
  if (n != p->plan->n_channels) {
    g_autoptr (GString) names = g_string_new (NULL);

    for (guint c = 0; c < p->plan->n_channels; c++)
      g_string_append_printf (names, "%s%s", c ? ", " : "", p->plan->channels[c].name);
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("the model was trained on %u channels (%s), but the scan has %" PRId64
                    "; give one file for each, in that order"),
                 p->plan->n_channels, names->str, n);
    return NULL;
  }
  for (guint i = 0; i < n_images; i++)
    for (gint64 c = 0; c < tess_volume_n_channels (images[i]); c++)
      g_ptr_array_add (split, tess_volume_n_channels (images[i]) == 1 ? tess_volume_ref (images[i])
                                                                      : tess_volume_new_channel (images[i], c));
  return g_steal_pointer (&split);
}

/* An empty label map on exactly the scan's grid, with the plan's label names and the source's header, so that a
 * writer of the same format gives back the same codes. */
static TessVolume *
output_new (TessPredictor *p, TessVolume *image, GError **error)
{
  TessVolume *out = tess_volume_new (TESS_DTYPE_U8, tess_volume_dim (image), 1, tess_volume_affine (image), error);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  static const guint8 clear[4] = {0, 0, 0, 0};

  if (!out)
    return NULL;
  for (guint i = 0; i < p->plan->n_labels; i++)
    tess_label_table_add (table, p->plan->labels[i].value, p->plan->labels[i].name,
                          p->plan->labels[i].value ? NULL : clear);
  tess_volume_set_intent (out, TESS_INTENT_LABEL);
  tess_volume_set_labels (out, table);
  for (guint i = 0; i < tess_formats_n (); i++) {
    const char *format = tess_formats_nth (i)->id;
    GBytes *header = tess_volume_peek_source_header (image, format);

    if (header)
      tess_volume_set_source_header (out, format, header);
  }
  return out;
}

/* For sums, on the device: a part of what is free there. Where that is the host's memory there is no other. */
static guint64
band_room (TessPredictor *p)
{
  const TessBackendIface *backend = tess_session_backend (p->session);

  return (backend->flags & TESS_BACKEND_SAMPLES) != 0 ? tess_device_case_room (backend, p->device) : G_MAXUINT64;
}

static void
paint_regions (const TessPlan *plan, TessLogitBand *band)
{
  guint8 labels[TESS_PLAN_MAX_REGIONS];

  for (guint i = 0; i < tess_plan_n_outputs (plan); i++)
    labels[i] = tess_plan_output_label (plan, i);
  tess_logit_band_set_regions (band, labels);
}

/**
 * tess_predictor_run:
 * @images: the scan's channels in plan order, all on one grid; a volume of several channels counts as all of them
 * @progress: (nullable): advances with every tile; cancelling takes effect after the tile in work
 *
 * Cuts the scan's target grid into overlapping tiles (nnU-Net's even spread, plan.inference.step), each what the
 * network gives for a patch (CASED's: its middle, so that patches reach beyond the scan, where there are zeros), draws
 * each with tess_sampler_draw() under identity augmentation - what is segmented is what was trained on and previewed -,
 * sums the logits under Gaussian or uniform weights, and takes the largest mean logit, the lower class in a tie; with
 * regions each paints its label where its mean logit is above 0, later ones over earlier ones. Where the plan's spacing
 * is not the scan's, the mean logits are interpolated linearly at the scan's voxels before that (as nnU-Net does on
 * export). Memory: depth of a patch + 1 slices of the target grid times classes + 1 floats, on the device where they
 * fit.
 *
 * Returns: (transfer full): uint8 labels {x,y,z} on the first image's grid, or NULL: MISMATCH (channels, grids),
 * NO_MEMORY, CANCELLED or the backend's error.
 */
TessVolume *
tess_predictor_run (TessPredictor *p, TessVolume *const *images, guint n_images, TessProgress *progress, GError **error)
{
  g_autoptr (GPtrArray) split = split_channels (p, images, n_images, error);
  g_autoptr (TessCase) c = NULL;
  g_autoptr (TessVolume) out = NULL;
  g_autoptr (TessPatchGrid) tiles = NULL;
  g_autoptr (TessLogitBand) band = NULL;
  guint threads_before = tess_parallel_get_threads ();
  TessGrid target;
  Feed feed;
  gboolean ok;

  if (!split || !tess_progress_check (progress, error))
    return NULL;
  tess_parallel_set_threads (p->n_threads);
  c = tess_case_new ("scan", (TessVolume *const *)split->pdata, split->len, NULL, p->plan->n_labels, error);
  if (c) {
    target = tess_sampler_target_grid (p->plan, c);
    tiles = tess_patch_grid_new_spread (target.dim, p->tile, p->plan->inference.step, error);
  }
  if (tiles)
    out = output_new (p, images[0], error);
  if (out)
    band = tess_logit_band_new (tess_session_backend (p->session), tess_session_device (p->session), &target, out,
                                tess_plan_n_outputs (p->plan), p->tile, p->weights, band_room (p), error);
  ok = band != NULL;
  p->near_bytes = ok && tess_logit_band_is_near (band) ? tess_logit_band_bytes (band) : 0;
  if (ok && tess_plan_is_sigmoid (p->plan))
    paint_regions (p->plan, band);
  if (ok) {
    ok = feed_init (&feed, p, c, tiles, error) && predict_rows (p, &feed, band, progress, error);
    feed_clear (&feed);
  }
  tess_parallel_set_threads (threads_before);
  if (!ok)
    return NULL;
  tess_volume_set_watermark (out, tess_volume_n_slices (out));
  return g_steal_pointer (&out);
}

guint64
tess_predictor_near_bytes (const TessPredictor *p)
{
  return p->near_bytes;
}
