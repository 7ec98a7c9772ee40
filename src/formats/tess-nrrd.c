#include "tess-nrrd.h"
#include "tess-nrrd-source.h"
#include "tess-voxels.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE ((gsize)4 << 20) /* a multiple of every voxel size; between two pieces a cancel is noticed */

gboolean
tess_nrrd_is_segmentation (const char *path)
{
  gsize n = strlen (path);

  return n > 9 && g_ascii_strcasecmp (path + n - 9, ".seg.nrrd") == 0;
}

static gboolean
fail (GError **error, const char *path, TessError code, const char *sentence)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, TESS_ERROR, (int)code, "%s: %s", name, sentence);
  return FALSE;
}

/* --- where the voxels are ----------------------------------------------------------------------------------------- */

/* "slice%03d.raw 1 60 1", "LIST": one file a slice. */
static gboolean
is_many_files (const char *text)
{
  g_auto (GStrv) words = g_strsplit_set (text, " \t", -1);

  if (strcmp (words[0], "LIST") == 0)
    return TRUE;
  return strchr (words[0], '%') && g_strv_length (words) >= 4;
}

static gboolean
leaves_folder (const char *file)
{
  g_auto (GStrv) parts = g_strsplit (file, "/", -1);

  return g_path_is_absolute (file) || g_strv_contains ((const char *const *)parts, "..");
}

/* The file a detached header names. Headers keep whole paths of the machine they were made on, so a file of that name
 * beside the header is taken; nothing outside the header's folder is. */
static char *
find_data_file (const TessNrrdHeader *header, const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path), *file = NULL, *beside = NULL;
  g_autofree char *name = g_filename_display_name (path), *shown = g_utf8_make_valid (header->data_file, -1);
  const char *slash = strrchr (header->data_file, '/'), *backslash = strrchr (header->data_file, '\\');
  const char *last = MAX (slash, backslash);

  if (is_many_files (header->data_file)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: its voxels are spread over several files (%s), which is not supported; export the volume as "
                    "one file"),
                 name, shown);
    return NULL;
  }
  if (!leaves_folder (header->data_file)) {
    file = g_build_filename (folder, header->data_file, NULL);
    if (!last || g_file_test (file, G_FILE_TEST_EXISTS))
      return g_steal_pointer (&file);
  }
  beside = g_build_filename (folder, last ? last + 1 : header->data_file, NULL);
  if (g_file_test (beside, G_FILE_TEST_IS_REGULAR))
    return g_steal_pointer (&beside);
  if (file)
    return g_steal_pointer (&file);
  g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
               _ ("%s: its voxels are in %s, outside of its own folder; put both files into one folder"), name, shown);
  return NULL;
}

/* How many bytes of the file come before line n + 1. */
static gboolean
skip_lines (const char *path, guint64 *offset, guint64 n, TessProgress *progress, GError **error)
{
  g_autoptr (TessStream) stream = NULL;
  guint8 bytes[16384];

  if (n == 0)
    return TRUE;
  stream = tess_stream_open_part (path, *offset, G_MAXUINT64, TESS_PACKING_NONE, error);
  if (!stream)
    return FALSE;
  while (n > 0) {
    gssize got = tess_stream_read (stream, bytes, sizeof bytes, error);

    if (got < 0 || !tess_progress_check (progress, error))
      return FALSE;
    if (got == 0)
      return fail (error, path, TESS_ERROR_FORMAT, _ ("the file ends too early; it is incomplete, copy it again"));
    for (gssize i = 0; i < got && n > 0; i++) {
      n -= bytes[i] == '\n';
      (*offset)++;
    }
  }
  return TRUE;
}

static guint64
stored_bytes (const TessNrrdHeader *header)
{
  return (guint64)(header->dim[0] * header->dim[1] * header->dim[2] * header->n_channels) *
         tess_dtype_size (header->dtype); /* no overflow: checked with the sizes */
}

/* A new source on the first byte, packed or not. */
static TessNrrdSource *
open_source (const TessNrrdHeader *header, const char *path, guint64 offset, GError **error)
{
  TessStream *stream = tess_stream_open_part (
      path, offset, G_MAXUINT64, header->encoding == TESS_NRRD_GZIP ? TESS_PACKING_GZIP : TESS_PACKING_NONE, error);

  return stream ? tess_nrrd_source_new (stream, header->encoding, header->dtype) : NULL;
}

static gboolean
skip_bytes (TessNrrdSource *source, guint64 n, GError **error)
{
  guint8 bytes[4096];

  while (n > 0) {
    gssize got = tess_nrrd_source_read (source, bytes, (gsize)MIN (n, sizeof bytes), error);

    if (got < 0)
      return FALSE;
    if (got == 0)
      return fail (error, tess_stream_peek_path (tess_nrrd_source_peek_stream (source)), TESS_ERROR_FORMAT,
                   _ ("the file ends too early; it is incomplete, copy it again"));
    n -= (guint64)got;
  }
  return TRUE;
}

/* Reads a packed source to its end, to know how much it holds. */
static gboolean
measure (const TessNrrdHeader *header, const char *path, guint64 offset, guint64 *n_bytes, TessProgress *progress,
         GError **error)
{
  g_autoptr (TessNrrdSource) source = open_source (header, path, offset, error);
  g_autofree guint8 *bytes = g_malloc (65536);
  gssize got = 0;

  *n_bytes = 0;
  if (!source)
    return FALSE;
  do {
    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_nrrd_source_read (source, bytes, 65536, error);
    *n_bytes += (guint64)MAX (got, 0);
  } while (got > 0);
  return got == 0;
}

/* What the last member of a gzip file says of its length, 0 when that is unknown: its last four bytes, which count
 * modulo 2^32. */
static guint64
gzip_says (const char *path, guint64 need)
{
  g_autoptr (TessStream) stream = NULL;
  guint8 bytes[4];
  struct stat info;

  if (need > G_MAXUINT32 || stat (path, &info) != 0 || info.st_size < 18)
    return 0;
  stream = tess_stream_open_part (path, (guint64)info.st_size - 4, 4, TESS_PACKING_NONE, NULL);
  if (!stream || !tess_stream_read_exact (stream, bytes, 4, NULL))
    return 0;
  return (guint64)bytes[0] | (guint64)bytes[1] << 8 | (guint64)bytes[2] << 16 | (guint64)bytes[3] << 24;
}

/* A data file that holds more than the header promises may begin with something else: its voxels would be wrong. */
static gboolean
check_surplus (const TessNrrdHeader *header, const char *path, const char *data_path, guint64 have, TessVolume *volume,
               GError **error)
{
  guint64 need = stored_bytes (header);
  g_autofree char *name = g_filename_display_basename (data_path), *message = NULL;

  if (have <= need + 2) /* a line end there does no harm */
    return TRUE;
  if (header->data_file && !header->has_byte_skip) {
    g_autofree char *shown = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its data file %s holds %" PRIu64 " bytes more than the header says; give the bytes to "
                    "skip as \"byte skip\" in the header (-1: all that are too many)"),
                 shown, name, have - need);
    return FALSE;
  }
  message =
      g_strdup_printf (_ ("After its voxels the file holds %" PRIu64 " bytes more, which are ignored."), have - need);
  tess_volume_add_warning (volume, message);
  return TRUE;
}

/* Opens the source and moves to the first voxel, having made sure that the file can hold them all. *have: bytes from
 * there to the end; 0 when that is not known. */
static TessNrrdSource *
open_voxels (const TessNrrdHeader *header, const char *data_path, TessProgress *progress, guint64 *have, GError **error)
{
  gboolean packed = header->encoding == TESS_NRRD_GZIP || header->encoding == TESS_NRRD_BZIP2;
  gsize size = tess_dtype_size (header->dtype);
  guint64 offset = header->data_file ? 0 : header->length, need = stored_bytes (header), skip = 0, total;
  g_autoptr (TessNrrdSource) source = NULL;
  TessStream *stream;

  *have = 0;
  if (!skip_lines (data_path, &offset, header->line_skip, progress, error))
    return NULL;
  if (header->byte_skip < 0) {
    if (header->encoding == TESS_NRRD_TEXT || header->encoding == TESS_NRRD_HEX) {
      fail (error, data_path, TESS_ERROR_UNSUPPORTED,
            _ ("its header has \"byte skip: -1\" with values as text; export it again as raw or gzip"));
      return NULL;
    }
    if (packed && !measure (header, data_path, offset, &total, progress, error))
      return NULL;
    if (!packed) {
      g_autoptr (TessStream) all = tess_stream_open_part (data_path, offset, G_MAXUINT64, TESS_PACKING_NONE, error);

      if (!all)
        return NULL;
      total = tess_stream_file_size (all);
    }
    skip = total > need ? total - need : 0;
  } else {
    skip = (guint64)header->byte_skip;
    if (header->encoding == TESS_NRRD_BZIP2) { /* its ratio has no useful limit: count before memory is taken */
      if (!measure (header, data_path, offset, &total, progress, error))
        return NULL;
      *have = total > skip ? total - skip : 0;
      if (*have < need) {
        fail (error, data_path, TESS_ERROR_FORMAT, _ ("the file ends too early; it is incomplete, copy it again"));
        return NULL;
      }
    }
  }
  if (!packed && __builtin_add_overflow (offset, skip, &offset)) {
    fail (error, data_path, TESS_ERROR_FORMAT, _ ("the file ends too early; it is incomplete, copy it again"));
    return NULL;
  }
  source = open_source (header, data_path, offset, error);
  if (!source)
    return NULL;
  stream = tess_nrrd_source_peek_stream (source);
  if (header->encoding != TESS_NRRD_BZIP2 &&
      !tess_voxels_fit (stream, packed ? skip : 0, header->dim, header->n_channels,
                        header->encoding == TESS_NRRD_TEXT  ? 1
                        : header->encoding == TESS_NRRD_HEX ? 2 * size
                                                            : size,
                        error))
    return NULL;
  if (header->encoding == TESS_NRRD_RAW)
    *have = tess_stream_file_size (stream);
  else if (header->encoding == TESS_NRRD_GZIP && header->data_file && !header->has_byte_skip)
    *have = gzip_says (data_path, need);
  if (packed && !skip_bytes (source, skip, error))
    return NULL;
  return g_steal_pointer (&source);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void
copy_numbers (const guint8 *in, gsize n, gsize size, guint8 *out, gsize stride)
{
#define COPY(type)                                                                                                     \
  for (gsize i = 0; i < n; i++)                                                                                        \
    memcpy (out + i * stride * sizeof (type), in + i * sizeof (type), sizeof (type));
  if (stride == 1)
    memcpy (out, in, n * size);
  else if (size == 1)
    COPY (guint8)
  else if (size == 2)
    COPY (guint16)
  else if (size == 4)
    COPY (guint32)
  else
    COPY (guint64)
#undef COPY
}

/* How far a step along each axis of the file goes: in voxels, and in channels. The channels of axes behind x, y and z
 * count faster than those before them, as tess_voxels_read_interleaved() has it. */
static void
find_strides (const TessNrrdHeader *header, gsize *voxels, gsize *channels)
{
  const gsize step[3] = {1, (gsize)header->dim[0], (gsize)(header->dim[0] * header->dim[1])};
  gsize channel = 1;
  guint last = 0;

  for (guint i = 0; i < header->n_axes; i++) {
    voxels[i] = channels[i] = 0;
    if (header->axis[i].spatial >= 0) {
      voxels[i] = step[header->axis[i].spatial];
      last = i;
    }
  }
  for (guint turn = 0; turn < 2; turn++)
    for (guint i = turn == 0 ? last + 1 : 0; i < (turn == 0 ? header->n_axes : last); i++)
      if (header->axis[i].spatial < 0) {
        channels[i] = channel;
        channel *= (gsize)header->axis[i].size;
      }
}

typedef struct {
  const TessNrrdHeader *header;
  gsize voxels[TESS_NRRD_MAX_AXES], channels[TESS_NRRD_MAX_AXES]; /* find_strides() */
  gint64 at[TESS_NRRD_MAX_AXES];
  gsize voxel, channel; /* where `at` is, axis 0 left out */
  gint64 layer;         /* the only channel wanted; -1: all */
  guint8 *out;
  gsize n_voxels, size;
} Scatter;

/* Puts n numbers that follow in the file where they belong. */
static void
scatter (Scatter *s, const guint8 *in, gsize n)
{
  while (n > 0) {
    gsize at = (gsize)s->at[0], run = MIN (n, (gsize)s->header->axis[0].size - at);
    gsize channel = s->channel + at * s->channels[0], voxel = s->voxel + at * s->voxels[0];

    if (s->layer < 0)
      copy_numbers (in, run, s->size, s->out + (channel * s->n_voxels + voxel) * s->size,
                    s->voxels[0] + s->channels[0] * s->n_voxels);
    else if (s->channels[0] == 0 && channel == (gsize)s->layer)
      copy_numbers (in, run, s->size, s->out + voxel * s->size, s->voxels[0]);
    else if (s->channels[0] > 0)
      for (gsize i = 0; i < run; i++)
        if (channel + i * s->channels[0] == (gsize)s->layer)
          memcpy (s->out + voxel * s->size, in + i * s->size, s->size);
    in += run * s->size;
    n -= run;
    s->at[0] += (gint64)run;
    for (guint i = 0; i < s->header->n_axes && s->at[i] == s->header->axis[i].size; i++) {
      s->at[i] = 0;
      if (i > 0) {
        s->voxel -= s->voxels[i] * (gsize)(s->header->axis[i].size - 1);
        s->channel -= s->channels[i] * (gsize)(s->header->axis[i].size - 1);
      }
      if (i + 1 < s->header->n_axes) {
        s->at[i + 1]++;
        if (s->at[i + 1] < s->header->axis[i + 1].size) {
          s->voxel += s->voxels[i + 1];
          s->channel += s->channels[i + 1];
        }
      }
    }
  }
}

/* Any order of axes, any encoding, all channels or one of them. */
static gboolean
read_scattered (TessVolume *volume, TessNrrdSource *source, const TessNrrdHeader *header, gint64 layer,
                gboolean swapped, TessProgress *progress, GError **error)
{
  Scatter s = {.header = header, .layer = layer};
  TessStream *stream = tess_nrrd_source_peek_stream (source);
  guint64 left = stored_bytes (header);
  g_autofree guint8 *piece = g_malloc ((gsize)MIN (left, PIECE));

  s.out = tess_volume_data_mut (volume);
  s.n_voxels = (gsize)tess_volume_n_voxels (volume);
  s.size = tess_dtype_size (header->dtype);
  find_strides (header, s.voxels, s.channels);
  while (left > 0) {
    gsize n = (gsize)MIN (left, PIECE);
    gssize got;

    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_nrrd_source_read (source, piece, n, error);
    if (got < 0)
      return FALSE;
    if ((gsize)got < n)
      return fail (error, tess_stream_peek_path (stream), TESS_ERROR_FORMAT,
                   _ ("the file ends too early; it is incomplete, copy it again"));
    if (swapped)
      tess_voxels_swap (piece, n, s.size);
    scatter (&s, piece, n / s.size);
    left -= n;
    tess_progress_set (progress, (double)tess_stream_file_read (stream) / (double)tess_stream_file_size (stream));
  }
  if (!tess_stream_is_packed (stream))
    return TRUE;
  for (gssize got = 1; got != 0;) { /* to the checksum */
    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_stream_read (stream, piece, (gsize)MIN (stored_bytes (header), PIECE), error);
    if (got < 0)
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_voxels (TessVolume *volume, TessNrrdSource *source, const TessNrrdHeader *header, gint64 layer,
             const TessVoxelListener *listener, GError **error)
{
  gsize size = tess_dtype_size (header->dtype);
  gboolean swapped =
      size > 1 && header->encoding != TESS_NRRD_TEXT && header->big_endian != (G_BYTE_ORDER == G_BIG_ENDIAN);
  const TessVoxelCoding coding = {.stored_size = size, .swapped = swapped};
  gboolean stream = header->encoding == TESS_NRRD_RAW || header->encoding == TESS_NRRD_GZIP;
  gint64 n_leading;

  if (!tess_nrrd_layout (header, &n_leading) || !stream || layer >= 0)
    return read_scattered (volume, source, header, layer, swapped, listener->progress, error);
  if (n_leading > 1)
    return tess_voxels_read_interleaved (volume, tess_nrrd_source_peek_stream (source), &coding, n_leading, listener,
                                         error);
  return tess_voxels_read (volume, tess_nrrd_source_peek_stream (source), &coding, listener, error);
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

static GPtrArray *
make_entries (const TessNrrdHeader *header, GPtrArray *segments)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_entry_free);
  guint n = tess_nrrd_n_layers (header, segments);

  for (guint layer = 0; layer < n; layer++) {
    TessVolumeEntry *entry = g_new0 (TessVolumeEntry, 1);

    entry->id = g_strdup_printf ("layer%u", layer);
    entry->dtype = header->dtype;
    memcpy (entry->dim, header->dim, sizeof entry->dim);
    entry->n_channels = n > 1 ? 1 : header->n_channels;
    g_ptr_array_add (entries, entry);
  }
  for (guint i = 0; i < segments->len; i++) { /* the first few names of a layer describe it */
    const TessNrrdSegment *segment = g_ptr_array_index (segments, i);
    TessVolumeEntry *entry = segment->layer < (gint64)n ? g_ptr_array_index (entries, segment->layer) : NULL;
    char *old = entry ? entry->description : NULL;

    if (!entry || (old && g_str_has_suffix (old, "…")))
      continue;
    entry->description =
        old ? g_strconcat (old, ", ", strlen (old) < 60 ? segment->name : "…", NULL) : g_strdup (segment->name);
    g_free (old);
  }
  return entries;
}

static GPtrArray *
nrrd_entries (const char *path, GError **error)
{
  g_auto (TessNrrdHeader) header = {0};
  g_autoptr (GPtrArray) segments = NULL;

  if (!tess_nrrd_header_read (&header, path, error))
    return NULL;
  segments = tess_nrrd_segments (&header);
  return make_entries (&header, segments);
}

/* Which layer is meant: -1 where the file has one only. */
static gboolean
find_layer (const TessNrrdHeader *header, GPtrArray *segments, const char *path, const char *entry, gint64 *layer,
            GError **error)
{
  g_autoptr (GPtrArray) entries = make_entries (header, segments);
  TessVolumeEntry *found = tess_volume_entry_find (entries, path, entry, error);
  guint at = 0;

  *layer = -1;
  if (!found)
    return FALSE;
  if (entries->len > 1) {
    g_ptr_array_find (entries, found, &at);
    *layer = (gint64)at;
  }
  return TRUE;
}

/* The volume as the header describes it, without its voxels. */
static TessVolume *
make_volume (TessNrrdHeader *header, const char *path, GPtrArray *segments, gint64 layer, GError **error)
{
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GBytes) source = NULL;
  TessAffine affine;

  if (!tess_nrrd_affine (header, &affine, warnings)) {
    fail (error, path, TESS_ERROR_FORMAT, _ ("its header gives no usable voxel size; correct the header"));
    return NULL;
  }
  volume = tess_volume_new (header->dtype, header->dim, layer >= 0 ? 1 : header->n_channels, &affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  if (segments->len > 0) {
    g_autoptr (TessLabelTable) table = tess_nrrd_segment_table (segments, layer);

    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
    tess_volume_set_labels (volume, table);
    if (layer >= 0)
      tess_nrrd_keep_layer (header, segments, layer);
  } else if (tess_nrrd_is_segmentation (path)) {
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  }
  if (!header->has_endian && header->encoding != TESS_NRRD_TEXT && tess_dtype_size (header->dtype) > 1)
    g_ptr_array_add (warnings, g_strdup (_ ("The header does not give the byte order; it is read as little endian.")));
  for (guint i = 0; i < warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (warnings, i));
  source = tess_nrrd_header_to_bytes (header);
  tess_volume_set_source_header (volume, tess_format_nrrd.id, source);
  return g_steal_pointer (&volume);
}

/**
 * nrrd_load:
 *
 * NRRD0001 to 5, attached or detached; raw, text, hex, gzip and bzip2; both byte orders; line and byte skips. Axes that
 * are not spatial become channels. A Slicer segmentation is a label volume with names and colours; each of its layers
 * (they overlap) is an entry.
 */
static TessVolume *
nrrd_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
           GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  g_auto (TessNrrdHeader) header = {0};
  g_autoptr (GPtrArray) segments = NULL;
  g_autoptr (TessNrrdSource) source = NULL;
  g_autoptr (TessVolume) volume = NULL;
  g_autofree char *data_path = NULL;
  guint64 have;
  gint64 layer;

  if (!tess_nrrd_header_read (&header, path, error))
    return NULL;
  segments = tess_nrrd_segments (&header);
  if (!find_layer (&header, segments, path, entry, &layer, error))
    return NULL;
  data_path = header.data_file ? find_data_file (&header, path, error) : g_strdup (path);
  if (!data_path)
    return NULL;
  source = open_voxels (&header, data_path, progress, &have, error);
  if (!source)
    return NULL;
  volume = make_volume (&header, path, segments, layer, error);
  if (!volume || !check_surplus (&header, path, data_path, have, volume, error) ||
      !read_voxels (volume, source, &header, layer, &listener, error))
    return NULL;
  tess_progress_set (progress, 1.0);
  return g_steal_pointer (&volume);
}

const TessFormat tess_format_nrrd = {
    .id = "nrrd",
    .name = "NRRD",
    .endings = ".nrrd .nhdr .seg.nrrd",
    .entries = nrrd_entries,
    .load = nrrd_load,
    .save = tess_nrrd_save,
};
