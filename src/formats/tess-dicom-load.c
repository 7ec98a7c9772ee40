/* A series' voxels: uncompressed ones are read in parallel, others unpacked by several helpers. */
#include "tess-codec-client.h"
#include "tess-dicom-private.h"
#include "tess-parallel.h"
#include "tess-thread.h"

#include <string.h>
#include <unistd.h>

#define PIECE ((gsize)32 << 20) /* voxels between two looks at progress and cancel */
#define MAX_HELPERS 4
#define SCANNED 0.2 /* of the progress */

typedef struct {
  TessDicomSeries *series;
  TessVolume *volume;
  const TessDicomListener *listener;
} Load;

/* Frames [first, first + n) of the series, read by pread() straight from their files. */
typedef struct {
  Load *load;
  guint first;
  GError **errors; /* n */
} Plain;

static void
read_plain (gsize begin, gsize end, gpointer user_data)
{
  Plain *plain = user_data;
  TessDicomSeries *series = plain->load->series;
  const TessDicomFile *opened = NULL;
  g_autofree guint8 *pixels = NULL, *scratch = g_malloc ((gsize)series->dim[0] * 8);
  int fd = -1;

  for (gsize i = begin; i < end; i++) {
    const TessDicomFrame *frame = g_ptr_array_index (series->frames, plain->first + i);
    const TessDicomFile *file = frame->file;
    gsize n = tess_dicom_frames_bytes (file, 1);
    gint64 index = file->mosaic_n > 1 ? 0 : frame->index;
    guint8 *target;

    if (file != opened) {
      if (fd >= 0)
        close (fd);
      fd = tess_dicom_file_open (file, &plain->errors[i]);
      opened = file;
    }
    target = tess_dicom_frame_target (series, frame, plain->load->volume);
    if (!target && !pixels)
      pixels = g_malloc (n); /* all files of a series have pictures of one size */
    if (fd < 0 ||
        !tess_dicom_pixels_read (file, fd, (guint64)index * n, target ? target : pixels, n, &plain->errors[i]))
      break;
    if (target)
      tess_dicom_finish_frame (series, frame, plain->load->volume);
    else
      tess_dicom_place_frame (series, frame, pixels, scratch, plain->load->volume);
  }
  if (fd >= 0)
    close (fd);
}

/* Frames are in the volume's order: those up to `n` are readable. Colours go to three places and show at the end. */
static void
publish (Load *load, guint n)
{
  const TessDicomListener *listener = load->listener;

  tess_progress_set (listener->progress, SCANNED + (1 - SCANNED) * (double)n / load->series->frames->len);
  if (n < load->series->frames->len &&
      ((TessDicomFrame *)g_ptr_array_index (load->series->frames, 0))->file->samples == 1)
    tess_volume_set_watermark (load->volume, n);
  else if (n == load->series->frames->len)
    tess_volume_set_watermark (load->volume, tess_volume_n_slices (load->volume));
  if (listener->live)
    listener->live (load->volume, listener->user_data);
}

static gboolean
load_plain (Load *load, GError **error)
{
  guint n = load->series->frames->len;
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (load->series->frames, 0))->file;
  guint batch = (guint)CLAMP (PIECE / tess_dicom_frames_bytes (file, 1), 4, 1024);

  for (guint first = 0; first < n; first += batch) {
    guint count = MIN (batch, n - first);
    g_autofree GError **errors = g_new0 (GError *, count);

    if (!tess_progress_check (load->listener->progress, error))
      return FALSE;
    tess_parallel_for (count, 4, read_plain, &(Plain){load, first, errors});
    if (!tess_error_first (errors, count, error))
      return FALSE;
    publish (load, first + count);
  }
  return TRUE;
}

/* One helper's share of a round: frames of files that it unpacks. */
typedef struct {
  Load *load;
  TessCodec *codec;
  GPtrArray *files;    /* in the order of their first frame */
  GHashTable *by_file; /* file -> GPtrArray of its frames */
  guint first, n;      /* files of this round */
  const guint8 *memory;
  guint8 *scratch;
  gsize stride;
  GError *error;
} Unpack;

static gboolean
on_unpacked (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  Unpack *u = user_data;
  const TessDicomFile *file = g_ptr_array_index (u->files, u->first + i);
  GPtrArray *frames = g_hash_table_lookup (u->by_file, file);
  gsize n = tess_dicom_frames_bytes (file, 1);

  if (problem) {
    u->error = g_error_copy (problem);
    return FALSE;
  }
  for (guint k = 0; k < frames->len; k++) {
    const TessDicomFrame *frame = g_ptr_array_index (frames, k);
    gsize index = file->mosaic_n > 1 ? 0 : (gsize)frame->index;

    tess_dicom_place_frame (u->load->series, frame, u->memory + i * u->stride + index * n, u->scratch, u->load->volume);
  }
  return TRUE;
}

static void
unpack_share (gpointer data)
{
  Unpack *u = data;
  g_autofree TessCodecJob *jobs = g_new0 (TessCodecJob, u->n);
  GError *error = NULL;

  u->memory = tess_codec_memory (u->codec, u->stride * u->n, &u->error);
  if (!u->memory)
    return;
  for (guint i = 0; i < u->n; i++) {
    const TessDicomFile *file = g_ptr_array_index (u->files, u->first + i);

    jobs[i] = (TessCodecJob){file->path, (guint64)i * u->stride, tess_dicom_file_bytes (file)};
  }
  if (!tess_codec_decode (u->codec, jobs, u->n, on_unpacked, u, u->load->listener->progress, &error) && error)
    u->error = error;
}

/* Files with the frames that are wanted of each, in the volume's order. */
static GHashTable *
frames_by_file (TessDicomSeries *series, GPtrArray *files, gsize *largest)
{
  GHashTable *by_file = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);

  *largest = 0;
  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = g_ptr_array_index (series->frames, i);
    GPtrArray *frames = g_hash_table_lookup (by_file, frame->file);

    if (!frames) {
      frames = g_ptr_array_new ();
      g_hash_table_insert (by_file, (gpointer)frame->file, frames);
      g_ptr_array_add (files, (gpointer)frame->file);
      *largest = MAX (*largest, tess_dicom_file_bytes (frame->file));
    }
    g_ptr_array_add (frames, frame);
  }
  return by_file;
}

static guint64
largest_packed (GPtrArray *files)
{
  guint64 largest = 0;

  for (guint i = 0; i < files->len; i++)
    largest = MAX (largest, ((const TessDicomFile *)g_ptr_array_index (files, i))->size);
  return largest;
}

static gboolean
load_packed (Load *load, GError **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new ();
  gsize largest;
  g_autoptr (GHashTable) by_file = frames_by_file (load->series, files, &largest);
  guint n_helpers = CLAMP (files->len / 4, 1, MIN (tess_parallel_get_threads (), MAX_HELPERS));
  guint batch = (guint)CLAMP (PIECE / 2 / MAX (largest, 1), 1, 32), n_frames = 0;
  Unpack shares[MAX_HELPERS] = {0};
  gboolean done = TRUE;

  if (!tess_dicom_fits (((TessDicomFile *)g_ptr_array_index (files, 0))->path, largest, error))
    return FALSE;
  for (guint k = 0; k < n_helpers; k++)
    shares[k] = (Unpack){.load = load,
                         .codec = tess_dicom_codec_new (MAX (largest, largest_packed (files))),
                         .files = files,
                         .by_file = by_file,
                         .scratch = g_malloc ((gsize)load->series->dim[0] * 8),
                         .stride = (largest + 63) / 64 * 64};
  for (guint first = 0; first < files->len && done;) {
    TessThread *threads[MAX_HELPERS] = {0};
    guint round = MIN (files->len - first, batch * n_helpers), end = first + round;

    for (guint k = 0; k < n_helpers; k++) {
      shares[k].first = first + round * k / n_helpers;
      shares[k].n = first + round * (k + 1) / n_helpers - shares[k].first;
      if (k > 0 && shares[k].n > 0)
        threads[k] = tess_thread_new ("dicom unpack", 0, unpack_share, &shares[k]);
    }
    if (shares[0].n > 0)
      unpack_share (&shares[0]);
    for (guint k = 0; k < n_helpers; k++)
      tess_thread_join (threads[k]);
    for (guint k = 0; k < n_helpers; k++)
      if (shares[k].error) {
        if (done)
          g_propagate_error (error, g_steal_pointer (&shares[k].error));
        g_clear_error (&shares[k].error);
        done = FALSE;
      }
    for (guint i = first; i < end; i++)
      n_frames += ((GPtrArray *)g_hash_table_lookup (by_file, g_ptr_array_index (files, i)))->len;
    first = end;
    if (done && (load->series->frames->len == files->len || first == files->len)) /* a file a slice: in order */
      publish (load, n_frames);
  }
  for (guint k = 0; k < n_helpers; k++) {
    tess_codec_free (shares[k].codec);
    g_free (shares[k].scratch);
  }
  return done;
}

/* Pictures of single bits. */
static gboolean
load_bits (Load *load, GError **error)
{
  TessDicomSeries *series = load->series;
  gsize plane = (gsize)series->dim[0] * (gsize)series->dim[1];
  g_autofree guint8 *bits = NULL;
  const TessDicomFile *file = NULL;

  for (guint i = 0; i < series->frames->len; i++) {
    const TessDicomFrame *frame = g_ptr_array_index (series->frames, i);
    gsize slice = (gsize)frame->channel0 * (gsize)series->dim[2] + (gsize)frame->z, first = (gsize)frame->index * plane;
    guint8 *out = (guint8 *)tess_volume_data_mut (load->volume) + slice * plane;

    if (frame->file != file) {
      g_free (bits);
      file = frame->file;
      bits = tess_dicom_file_pixels (file, load->listener->progress, error);
      if (!bits)
        return FALSE;
    }
    for (gsize k = 0; k < plane; k++)
      out[k] = bits[(first + k) / 8] >> ((first + k) % 8) & 1;
  }
  publish (load, series->frames->len);
  return TRUE;
}

/**
 * tess_dicom_series_load:
 *
 * Voxels in the files' type, with the files' slope and intercept as the volume's scaling; where these differ from slice
 * to slice they are applied, and voxels are float32.
 */
TessVolume *
tess_dicom_series_load (TessDicomSeries *series, const TessDicomListener *listener, GError **error)
{
  const TessDicomFrame *first = g_ptr_array_index (series->frames, 0);
  g_autoptr (TessVolume) volume = NULL;
  Load load = {series, NULL, listener};
  gboolean plain = TRUE;

  for (guint i = 0; i < series->frames->len; i++) {
    const TessDicomFrame *frame = g_ptr_array_index (series->frames, i);

    plain = plain && frame->file->plain && frame->file->allocated > 1;
    if (!tess_dicom_file_check (frame->file, error))
      return NULL;
  }
  for (guint i = 0; i < series->frames->len && !plain; i++) /* the helper unpacks them all alike */
    ((TessDicomFile *)((TessDicomFrame *)g_ptr_array_index (series->frames, i))->file)->plain = FALSE;
  volume = tess_volume_new (series->dtype, series->dim, series->n_channels, &series->affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (first->file->path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  if (!series->scaled)
    tess_volume_set_scaling (volume, first->slope, first->intercept);
  tess_volume_set_series_uid (volume, first->file->series);
  for (guint i = 0; i < series->warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (series->warnings, i));
  tess_volume_set_watermark (volume, 0);
  load.volume = volume;
  if (first->file->allocated == 1 ? !load_bits (&load, error)
                                  : !(plain ? load_plain (&load, error) : load_packed (&load, error)))
    return NULL;
  return g_steal_pointer (&volume);
}
