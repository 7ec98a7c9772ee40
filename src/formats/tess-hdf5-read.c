/* A dataset's chunks into a volume: where they lie is asked of the helper, they are read and unpacked here by all
 * cores. libhdf5 would do it by one, behind its lock. */
#include "tess-hdf5-private.h"

#include "tess-codec-wire.h"
#include "tess-parallel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((gsize)4 << 20)        /* of a dataset that lies in one piece */
#define ROUND ((gsize)64 << 20)       /* bytes between two looks at progress and cancel */
#define LARGE ((gsize)256 << 20)      /* chunks unpacked one at a time */
#define SPARSE ((guint64)64 << 20)    /* a volume of chunks that were never written may be this large */
#define MOST_EMPTY ((guint64)1 << 20) /* places for chunks in a file that need not have them all */
#define LEAST_PER_CHUNK 64            /* bytes of the file, with its entry in the index */
#define RATIO 1032                    /* deflate packs no better */
#define MOST_CHUNK ((guint64)G_MAXUINT32 - TESS_HDF5_SLACK)

typedef struct {
  TessHdf5File *file;
  TessHdf5Dataset *dataset;
  TessVolume *volume;
  gsize size; /* of an element */
  TessHdf5Grid grid;
  gint64 stride[TESS_NPY_MAX_AXES]; /* of the array's axes, in voxels of the volume */
  gsize chunk_bytes;
  gboolean whole; /* contiguous or compact: chunks are ours, cut from one piece */
  guint64 at;     /* where that begins */
  guint8 *inside; /* compact: its bytes */
  TessCodecHdf5Chunk *chunks;
  guint64 n_chunks;
} Read;

static gboolean
fail (const TessHdf5File *file, TessError code, const char *format, GError **error)
{
  g_autofree char *name = g_filename_display_name (file->path);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

static gboolean
fail_damaged (const TessHdf5File *file, GError **error)
{
  return fail (file, TESS_ERROR_FORMAT, _ ("%s: the HDF5 file is damaged; copy it again from its source"), error);
}

gboolean
tess_hdf5_grid_init (TessHdf5Grid *grid, guint n_axes, const gint64 *shape, const gint64 *chunk)
{
  grid->n_axes = n_axes;
  grid->n = 1;
  for (guint k = 0; k < n_axes; k++) {
    grid->shape[k] = shape[k];
    grid->chunk[k] = chunk[k];
    grid->along[k] = shape[k] / chunk[k] + (shape[k] % chunk[k] != 0);
    if (__builtin_mul_overflow (grid->n, (guint64)grid->along[k], &grid->n))
      return FALSE;
  }
  return TRUE;
}

void
tess_hdf5_grid_block (const TessHdf5Grid *grid, guint64 i, TessHdf5Block *block)
{
  for (guint k = grid->n_axes; k-- > 0;) {
    block->start[k] = (gint64)(i % (guint64)grid->along[k]) * grid->chunk[k];
    block->count[k] = MIN (grid->chunk[k], grid->shape[k] - block->start[k]);
    i /= (guint64)grid->along[k];
  }
}

static gboolean
array_bytes (const TessHdf5Dataset *dataset, const gint64 *lengths, guint64 *n)
{
  *n = tess_dtype_size (dataset->header.dtype);
  for (guint k = 0; k < dataset->header.n_axes; k++)
    if (__builtin_mul_overflow (*n, (guint64)lengths[k], n))
      return FALSE;
  return *n <= (guint64)1 << 62;
}

/**
 * tess_hdf5_check_size:
 *
 * Whether a file of this size can hold the voxels: before memory is taken for what it promises. Chunks that were never
 * written are allowed for, within reason.
 */
gboolean
tess_hdf5_check_size (TessHdf5File *file, TessHdf5Dataset *dataset, const TessNumpyLayout *layout, GError **error)
{
  guint64 need, most = file->size;
  g_autofree char *name = NULL;

  if (dataset->layout == TESS_HDF5_CHUNKED) {
    if (__builtin_mul_overflow (most, (guint64)RATIO, &most))
      most = G_MAXUINT64;
    most = MAX (most, SPARSE);
  } else {
    most = MAX (most, SPARSE / 1024); /* not written at all: zeros */
  }
  if (array_bytes (dataset, dataset->header.shape, &need) && need <= most)
    return TRUE;
  name = g_filename_display_name (file->path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: its header promises %" PRId64 " x %" PRId64 " x %" PRId64
                  " voxels, more than a file of this size can hold; it is incomplete or damaged, copy it again"),
               name, layout->dim[0], layout->dim[1], layout->dim[2]);
  return FALSE;
}

/* --- where the chunks are --------------------------------------------------------------------------------------- */

/* One piece of the file, in slabs of some megabytes. */
static gboolean
take_whole (Read *read, guint64 total, GError **error)
{
  const TessNpyHeader *header = &read->dataset->header;
  gint64 chunk[TESS_NPY_MAX_AXES];
  guint64 inner = read->size;

  if (!read->inside && (read->at > read->file->size || total > read->file->size - read->at))
    return fail (read->file, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"),
                 error);
  for (guint k = header->n_axes; k-- > 0;) {
    chunk[k] = (gint64)CLAMP (PIECE / inner, 1, (guint64)header->shape[k]);
    if (chunk[k] < header->shape[k]) {
      while (k-- > 0)
        chunk[k] = 1;
      break;
    }
    inner *= (guint64)chunk[k];
  }
  if (!tess_hdf5_grid_init (&read->grid, header->n_axes, header->shape, chunk) ||
      !array_bytes (read->dataset, chunk, &inner))
    return fail_damaged (read->file, error);
  read->chunk_bytes = (gsize)inner;
  read->n_chunks = read->grid.n;
  read->whole = TRUE;
  return TRUE;
}

/* What the helper says is checked here: order, place in the file, size. */
static gboolean
take_chunks (Read *read, GError **error)
{
  const TessHdf5Dataset *dataset = read->dataset;
  const TessCodecHdf5Chunk *table = read->chunks;

  for (guint64 i = 0; i < read->n_chunks; i++) {
    const TessCodecHdf5Chunk *c = &table[i];
    gboolean plain = dataset->n_filters == 0;

    if (c->index >= read->grid.n || (i > 0 && c->index <= table[i - 1].index) || c->n == 0 ||
        c->at > read->file->size || (plain && c->n != read->chunk_bytes) || read->chunk_bytes / RATIO > c->n)
      return fail_damaged (read->file, error);
    if (c->n > read->file->size - c->at)
      return fail (read->file, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"),
                   error);
  }
  return TRUE;
}

static gboolean
ask (Read *read, TessProgress *progress, GError **error)
{
  TessHdf5Dataset *dataset = read->dataset;
  TessCodecJob job = {.path = read->file->path, .at = dataset->object, .fd = read->file->fd};
  gboolean chunked = dataset->layout == TESS_HDF5_CHUNKED;
  const guint8 *memory;
  guint64 total, chunk = 0;
  gint64 n = 0;
  g_autoptr (JsonObject) answer = NULL;

  if (!array_bytes (dataset, dataset->header.shape, &total))
    return fail_damaged (read->file, error);
  if (chunked) {
    if (!tess_hdf5_grid_init (&read->grid, dataset->header.n_axes, dataset->header.shape, dataset->chunk) ||
        !array_bytes (dataset, dataset->chunk, &chunk) || chunk > MOST_CHUNK ||
        read->grid.n > MAX (MOST_EMPTY, read->file->size / LEAST_PER_CHUNK))
      return fail_damaged (read->file, error);
    read->chunk_bytes = (gsize)chunk;
  }
  job.n = dataset->layout == TESS_HDF5_COMPACT ? total : (chunked ? read->grid.n : 1) * sizeof (TessCodecHdf5Chunk);
  memory = tess_codec_memory (read->file->codec, job.n, error);
  if (!memory) {
    g_autofree char *name = g_filename_display_name (read->file->path);

    g_prefix_error (error, "%s: ", name);
    return FALSE;
  }
  answer = tess_codec_ask (read->file->codec, "hdf5-chunks", &job, progress, error);
  if (!answer)
    return FALSE;
  if (dataset->layout == TESS_HDF5_COMPACT) {
    if (!tess_json_int (answer, "", "inside", (gint64)total, (gint64)total, &n, NULL))
      return fail_damaged (read->file, error);
    read->inside = g_memdup2 (memory, total);
    return take_whole (read, total, error);
  }
  if (!tess_json_int (answer, "", "n", 0, (gint64)(job.n / sizeof (TessCodecHdf5Chunk)), &n, NULL))
    return fail_damaged (read->file, error);
  if (chunked) { /* a copy: what has been checked must not change any more */
    read->chunks = g_memdup2 (memory, (gsize)n * sizeof (TessCodecHdf5Chunk));
    read->n_chunks = (guint64)n;
    return take_chunks (read, error);
  }
  if (n == 0)
    return TRUE;
  read->at = ((const TessCodecHdf5Chunk *)(const void *)memory)->at;
  return take_whole (read, total, error);
}

/* --- reading them ------------------------------------------------------------------------------------------------ */

static gboolean
read_at (const TessHdf5File *file, guint64 at, guint8 *out, gsize n, GError **error)
{
  for (gsize done = 0; done < n;) {
    gssize got = pread (file->fd, out + done, n - done, (off_t)(at + done));

    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0) {
      tess_error_set_errno (error, file->path, errno, _ ("read"));
      return FALSE;
    }
    if (got == 0)
      return fail (file, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"), error);
    done += (gsize)got;
  }
  return TRUE;
}

#define PUT_LOOP(type)                                                                                                 \
  for (gint64 i = 0; i < n; i++)                                                                                       \
    memcpy (out + i * stride * (gint64)sizeof (type), in + i * (gint64)sizeof (type), sizeof (type));
static void
put_row (const guint8 *in, gint64 n, guint8 *out, gint64 stride, gsize size)
{
  if (stride == 1) {
    memcpy (out, in, (gsize)n * size);
    return;
  }
  switch (size) {
  case 1:
    PUT_LOOP (guint8)
    break;
  case 2:
    PUT_LOOP (guint16)
    break;
  case 4:
    PUT_LOOP (guint32)
    break;
  default:
    PUT_LOOP (guint64)
    break;
  }
}

/* in: the block's elements, in a chunk of that many along each axis. */
static void
put_block (const Read *read, const TessHdf5Block *block, const gint64 *chunk, const guint8 *in)
{
  guint last = read->grid.n_axes - 1;
  gint64 at[TESS_NPY_MAX_AXES] = {0};
  guint8 *data = tess_volume_data_mut (read->volume);

  for (;;) {
    gint64 from = 0, to = 0;
    guint k = last;

    for (guint i = 0; i <= last; i++) {
      from = from * chunk[i] + at[i];
      to += (block->start[i] + at[i]) * read->stride[i];
    }
    put_row (in + (gsize)from * read->size, block->count[last], data + (gsize)to * read->size, read->stride[last],
             read->size);
    while (k-- > 0) {
      if (++at[k] < block->count[k])
        break;
      at[k] = 0;
    }
    if (k == G_MAXUINT)
      return;
  }
}

typedef struct {
  guint8 *packed, *scratch, *out;
  gsize n_packed;
} Buffers;

static void
buffers_clear (Buffers *buffers)
{
  g_free (buffers->packed);
  g_free (buffers->scratch);
  g_free (buffers->out);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Buffers, buffers_clear)

/* Of a dataset in one piece: the block is a row of bytes there. */
static gboolean
read_slab (const Read *read, const TessHdf5Block *block, Buffers *buffers, GError **error)
{
  guint64 first = 0, n = read->size;

  for (guint k = 0; k < read->grid.n_axes; k++) {
    first = first * (guint64)read->grid.shape[k] + (guint64)block->start[k];
    n *= (guint64)block->count[k];
  }
  if (read->inside)
    memcpy (buffers->out, read->inside + first * read->size, n);
  else if (!read_at (read->file, read->at + first * read->size, buffers->out, n, error))
    return FALSE;
  if (read->dataset->header.swapped)
    tess_voxels_swap (buffers->out, n, read->size);
  put_block (read, block, block->count, buffers->out);
  return TRUE;
}

static gboolean
no_memory (const Read *read, GError **error)
{
  return fail (read->file, TESS_ERROR_NO_MEMORY, _ ("%s: there is not enough memory to read it; close other programs"),
               error);
}

static gboolean
read_chunk (const Read *read, const TessCodecHdf5Chunk *chunk, Buffers *buffers, GError **error)
{
  TessHdf5Block block;

  if (buffers->n_packed < chunk->n) {
    g_free (buffers->packed);
    buffers->n_packed = chunk->n;
    buffers->packed = g_try_malloc (chunk->n);
    if (!buffers->packed) {
      buffers->n_packed = 0;
      return no_memory (read, error);
    }
  }
  if (!read_at (read->file, chunk->at, buffers->packed, chunk->n, error))
    return FALSE;
  if (!tess_hdf5_unpack (read->dataset, chunk->mask, buffers->packed, chunk->n, buffers->scratch, buffers->out,
                         read->chunk_bytes))
    return fail (read->file, TESS_ERROR_FORMAT,
                 _ ("%s: its packed voxels are damaged; copy the file again from its source"), error);
  if (read->dataset->header.swapped)
    tess_voxels_swap (buffers->out, read->chunk_bytes, read->size);
  tess_hdf5_grid_block (&read->grid, chunk->index, &block);
  put_block (read, &block, read->grid.chunk, buffers->out);
  return TRUE;
}

typedef struct {
  const Read *read;
  guint64 first;
  GError **errors; /* by chunk */
} Round;

static void
read_some (gsize begin, gsize end, gpointer user_data)
{
  Round *round = user_data;
  const Read *read = round->read;
  g_auto (Buffers) buffers = {.scratch = g_try_malloc (read->chunk_bytes + TESS_HDF5_SLACK),
                              .out = g_try_malloc (read->chunk_bytes + TESS_HDF5_SLACK)};

  if (!buffers.scratch || !buffers.out) {
    no_memory (read, &round->errors[begin]);
    return;
  }
  for (gsize i = begin; i < end; i++) {
    TessHdf5Block block;

    if (read->whole)
      tess_hdf5_grid_block (&read->grid, round->first + i, &block);
    if (!(read->whole ? read_slab (read, &block, &buffers, &round->errors[i])
                      : read_chunk (read, &read->chunks[round->first + i], &buffers, &round->errors[i])))
      return;
  }
}

/* Slices that are whole once the first n chunks are: those before the chunk that follows. */
static gint64
slices_before (const Read *read, const TessNumpyLayout *layout, guint64 n)
{
  guint space = read->grid.n_axes - layout->channels_last;
  guint64 next = read->whole ? n : read->chunks[n].index;
  TessHdf5Block block;
  gint64 slices = 0;

  if (space < 3)
    return 0;
  tess_hdf5_grid_block (&read->grid, next, &block);
  for (guint k = 0; k + 2 < space; k++) { /* channels, then z */
    if (k + 3 < space && read->grid.chunk[k] > 1)
      return 0;
    slices = slices * read->grid.shape[k] + block.start[k];
  }
  return slices;
}

static gboolean
read_all (Read *read, const TessNumpyLayout *layout, const TessVoxelListener *listener, GError **error)
{
  gsize per_round = MAX (ROUND / MAX (read->chunk_bytes, 1), tess_parallel_get_threads ()); /* 0: nothing was written */

  if (listener->live)
    tess_volume_set_watermark (read->volume, 0);
  for (guint64 first = 0; first < read->n_chunks;) {
    gsize n = (gsize)MIN (per_round, read->n_chunks - first);
    g_autofree GError **errors = g_new0 (GError *, n);

    if (!tess_progress_check (listener->progress, error))
      return FALSE;
    tess_parallel_for (n, read->chunk_bytes >= LARGE ? n : 1, read_some, &(Round){read, first, errors});
    if (!tess_error_first (errors, n, error))
      return FALSE;
    first += n;
    tess_progress_set (listener->progress, (double)first / (double)read->n_chunks);
    if (listener->live && first < read->n_chunks) {
      gint64 slices = slices_before (read, layout, first);

      if (slices > tess_volume_watermark (read->volume)) {
        tess_volume_set_watermark (read->volume, slices);
        listener->live (read->volume, listener->user_data);
      }
    }
  }
  if (listener->live) {
    tess_volume_set_watermark (read->volume, tess_volume_n_slices (read->volume));
    listener->live (read->volume, listener->user_data);
  }
  return TRUE;
}

/* Where no chunk was written; a volume is zeros when it is new. */
static void
fill (Read *read)
{
  guint8 value[8];
  guint8 *data = tess_volume_data_mut (read->volume);
  gboolean zero = TRUE;

  memcpy (value, read->dataset->fill, sizeof value);
  for (gsize i = 0; i < read->size; i++)
    zero &= value[i] == 0;
  if (zero || (read->whole ? read->n_chunks > 0 : read->n_chunks == read->grid.n && read->n_chunks > 0))
    return;
  if (read->dataset->header.swapped)
    tess_voxels_swap (value, read->size, read->size);
  for (gsize i = 0; i < tess_volume_n_bytes (read->volume); i += read->size)
    memcpy (data + i, value, read->size);
}

/**
 * tess_hdf5_read:
 * @layout: of the dataset
 * @volume: new, of that layout
 *
 * Errors: FORMAT (damaged, incomplete), IO, NO_MEMORY, CANCELLED.
 */
gboolean
tess_hdf5_read (TessHdf5File *file, TessHdf5Dataset *dataset, const TessNumpyLayout *layout, TessVolume *volume,
                const TessVoxelListener *listener, GError **error)
{
  Read read = {.file = file, .dataset = dataset, .volume = volume, .size = tess_dtype_size (dataset->header.dtype)};
  guint dropped = dataset->header.n_axes - layout->n_axes;
  gboolean done;

  for (guint k = dropped; k < dataset->header.n_axes; k++)
    read.stride[k] = layout->stride[k - dropped];
  done = ask (&read, listener->progress, error);
  if (done) {
    fill (&read);
    done = read_all (&read, layout, listener, error);
  }
  g_free (read.inside);
  g_free (read.chunks);
  return done;
}
