/* A volume as an HDF5 file. Chunks are packed here by all cores and written one after the other; the helper makes what
 * stands before and behind them, and sees no voxel. Memory besides the volume: a few chunks. */
#include "tess-hdf5-private.h"

#include "tess-codec-wire.h"
#include "tess-deflate.h"
#include "tess-parallel.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIDE 64                         /* voxels of a chunk along an axis */
#define LEAST_CHUNK ((gint64)512 << 10) /* bytes; flat volumes have wider chunks */
#define PER_THREAD 4
#define LEVEL 4 /* as the file says; it has no meaning for reading */

typedef struct {
  TessVolume *volume;
  TessDType dtype;
  gsize size;
  guint n_axes; /* z, y, x, with the channel in front where there are several */
  TessHdf5Grid grid;
  gsize chunk_bytes, bound;
  guint32 *sizes; /* of the packed chunks */
  /* A round: */
  guint64 first;
  guint8 **packed; /* by chunk of the round */
} Write;

/* Blocks of about 64 x 64 x 64, wider where the volume is thin. */
static void
choose_chunks (Write *write)
{
  const gint64 *dim = tess_volume_dim (write->volume);
  gint64 shape[4] = {tess_volume_n_channels (write->volume), dim[2], dim[1], dim[0]};
  gint64 chunk[4] = {1, MIN (dim[2], SIDE), MIN (dim[1], SIDE), MIN (dim[0], SIDE)};
  gboolean wider = TRUE;

  while (wider && chunk[1] * chunk[2] * chunk[3] * (gint64)write->size < LEAST_CHUNK) {
    wider = FALSE;
    for (guint k = 3; k >= 1; k--)
      if (chunk[k] < shape[k]) {
        chunk[k] = MIN (2 * chunk[k], shape[k]);
        wider = TRUE;
      }
  }
  write->n_axes = shape[0] > 1 ? 4 : 3;
  tess_hdf5_grid_init (&write->grid, write->n_axes, shape + 4 - write->n_axes, chunk + 4 - write->n_axes);
  write->chunk_bytes = (gsize)(chunk[1] * chunk[2] * chunk[3]) * write->size;
  write->bound = tess_zlib_bound (write->chunk_bytes);
}

/* n stored numbers from linear index `first`; bfloat16 as float32. */
static void
take_row (const Write *write, gsize first, gsize n, guint8 *out)
{
  const guint8 *data = tess_volume_data (write->volume);

  if (tess_volume_dtype (write->volume) != TESS_DTYPE_BF16) {
    memcpy (out, data + first * write->size, n * write->size);
    return;
  }
  for (gsize i = 0; i < n; i++) {
    guint16 brain;
    float wide;

    memcpy (&brain, data + (first + i) * sizeof brain, sizeof brain);
    wide = tess_bf16_to_float (brain);
    memcpy (out + i * sizeof wide, &wide, sizeof wide);
  }
}

/* A chunk's numbers; zeros beyond the volume. */
static void
take_block (const Write *write, guint64 i, guint8 *out)
{
  const gint64 *dim = tess_volume_dim (write->volume);
  guint z = write->n_axes - 3;
  TessHdf5Block block;
  gint64 slice0;

  tess_hdf5_grid_block (&write->grid, i, &block);
  memset (out, 0, write->chunk_bytes);
  slice0 = z ? block.start[0] * dim[2] : 0; /* of the channel */
  for (gint64 k = 0; k < block.count[z]; k++)
    for (gint64 j = 0; j < block.count[z + 1]; j++) {
      gint64 row = (slice0 + block.start[z] + k) * dim[1] + block.start[z + 1] + j;
      gint64 to = (k * write->grid.chunk[z + 1] + j) * write->grid.chunk[z + 2];

      take_row (write, (gsize)(row * dim[0] + block.start[z + 2]), (gsize)block.count[z + 2],
                out + (gsize)to * write->size);
    }
}

static void
pack_some (gsize begin, gsize end, gpointer user_data)
{
  Write *write = user_data;
  g_autofree guint8 *plain = g_malloc (write->chunk_bytes), *shuffled = g_malloc (write->chunk_bytes);

  for (gsize i = begin; i < end; i++) {
    take_block (write, write->first + i, plain);
    tess_hdf5_shuffle (plain, write->chunk_bytes, write->size, shuffled);
    write->sizes[write->first + i] =
        (guint32)tess_zlib_pack (shuffled, write->chunk_bytes, write->packed[i], write->bound);
  }
}

static gboolean
write_chunks (Write *write, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  guint per_round = (guint)MIN ((guint64)tess_parallel_get_threads () * PER_THREAD, write->grid.n);
  gboolean done = TRUE;

  write->packed = g_new0 (guint8 *, per_round);
  for (guint i = 0; i < per_round; i++)
    write->packed[i] = g_malloc (write->bound);
  for (write->first = 0; write->first < write->grid.n && done; write->first += per_round) {
    guint n = (guint)MIN (per_round, write->grid.n - write->first);

    done = tess_progress_check (progress, error);
    if (done)
      tess_parallel_for (n, 1, pack_some, write);
    for (guint i = 0; i < n && done; i++)
      done = tess_atomic_file_write (file, write->packed[i], write->sizes[write->first + i], error);
    tess_progress_set (progress, (double)(write->first + n) / (double)write->grid.n);
  }
  for (guint i = 0; i < per_round; i++)
    g_free (write->packed[i]);
  g_free (write->packed);
  return done;
}

/* What the helper needs to know. The affine is over the array's own axes z, y, x, as in our .npz. */
static void
make_plan (const Write *write, const char *labels, TessCodecHdf5Plan *plan)
{
  const TessAffine *affine = tess_volume_affine (write->volume);
  double spacing[3];

  memset (plan, 0, sizeof *plan);
  plan->is_float = !tess_dtype_is_integer (write->dtype);
  plan->is_signed = write->dtype == TESS_DTYPE_I8 || write->dtype == TESS_DTYPE_I16 || write->dtype == TESS_DTYPE_I32 ||
                    write->dtype == TESS_DTYPE_I64;
  plan->element_size = (guint32)write->size;
  plan->n_axes = write->n_axes;
  for (guint k = 0; k < write->n_axes; k++) {
    plan->shape[k] = (guint64)write->grid.shape[k];
    plan->chunk[k] = (guint64)write->grid.chunk[k];
  }
  plan->n_chunks = write->grid.n;
  plan->n_labels = labels ? strlen (labels) : 0;
  tess_affine_spacing (affine, spacing);
  for (int r = 0; r < 3; r++) {
    for (int k = 0; k < 3; k++)
      plan->affine[4 * r + k] = affine->m[r][2 - k];
    plan->affine[4 * r + 3] = affine->m[r][3];
    plan->spacing[r] = spacing[2 - r];
  }
  plan->affine[15] = 1;
  plan->slope = tess_volume_slope (write->volume);
  plan->intercept = tess_volume_intercept (write->volume);
  plan->is_label = tess_volume_intent (write->volume) == TESS_INTENT_LABEL;
  plan->level = LEVEL;
}

static gboolean
put_all (int fd, const void *data, gsize n)
{
  for (gsize done = 0; done < n;) {
    gssize put = write (fd, (const guint8 *)data + done, n - done);

    if (put <= 0)
      return FALSE;
    done += (gsize)put;
  }
  return TRUE;
}

/* The plan as a file in memory, for the helper; -1 with an error. */
static int
plan_file (const Write *write, const char *labels, GError **error)
{
  TessCodecHdf5Plan plan;
  int fd = memfd_create ("tessera-plan", MFD_CLOEXEC);

  make_plan (write, labels, &plan);
  if (fd >= 0 && put_all (fd, &plan, sizeof plan) && put_all (fd, write->sizes, write->grid.n * sizeof (guint32)) &&
      put_all (fd, labels, plan.n_labels))
    return fd;
  if (fd >= 0)
    close (fd);
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("%.1f GB of shared memory are not to be had; close other programs"), 1e-9 * (double)sizeof plan);
  return -1;
}

/* Before and behind the chunks. */
static gboolean
write_frame (const Write *write, const char *path, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  TessLabelTable *table = tess_volume_peek_labels (write->volume);
  g_autofree char *labels = table ? tess_hdf5_labels_text (table) : NULL;
  g_autoptr (TessCodec) codec = tess_codec_new (NULL);
  g_autoptr (JsonObject) answer = NULL;
  TessCodecJob job = {.path = path, .n = ((guint64)1 << 20) + 256 * write->grid.n + 4 * (labels ? strlen (labels) : 0)};
  const guint8 *memory = tess_codec_memory (codec, job.n, error);
  gint64 n;

  job.fd = memory ? plan_file (write, labels, error) : -1;
  if (job.fd < 0) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return FALSE;
  }
  answer = tess_codec_ask (codec, "hdf5-frame", &job, progress, error);
  close (job.fd);
  if (!answer || !tess_json_int (answer, path, "n", TESS_CODEC_HDF5_HEAD, (gint64)job.n, &n, error))
    return FALSE;
  return tess_atomic_file_write (file, memory + TESS_CODEC_HDF5_HEAD, (gsize)n - TESS_CODEC_HDF5_HEAD, error) &&
         tess_atomic_file_patch (file, 0, memory, TESS_CODEC_HDF5_HEAD, error);
}

/**
 * tess_hdf5_save:
 *
 * A dataset `image` (a label volume's: `labels`) of axes (z, y, x), or (channel, z, y, x), in shuffled and deflated
 * chunks of about 64 x 64 x 64, of the volume's own type (bfloat16: float32). Attributes: `affine` (4 x 4: indices z,
 * y, x -> world mm RAS+), `spacing` (mm along z, y, x), `slope` and `intercept` (real value = slope * stored +
 * intercept), `channel_axis` where there is one, `labels` (tess-hdf5-geometry.c). Readable from HDF5 1.8 on.
 *
 * Errors: IO, NO_MEMORY, UNSUPPORTED (no helper), CANCELLED.
 */
gboolean
tess_hdf5_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  static const guint8 head[TESS_CODEC_HDF5_HEAD];
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);
  g_autofree guint32 *sizes = NULL;
  Write write = {.volume = volume, .dtype = tess_volume_dtype (volume)};

  if (!file)
    return FALSE;
  if (write.dtype == TESS_DTYPE_BF16)
    write.dtype = TESS_DTYPE_F32;
  write.size = tess_dtype_size (write.dtype);
  choose_chunks (&write);
  write.sizes = sizes = g_new0 (guint32, write.grid.n);
  if (!tess_atomic_file_write (file, head, sizeof head, error) || !write_chunks (&write, file, progress, error) ||
      !write_frame (&write, path, file, progress, error) || !tess_atomic_file_commit (file, error))
    return FALSE;
  tess_progress_set (progress, 1.0);
  return TRUE;
}
