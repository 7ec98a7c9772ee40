#include "tess-codec-client.h"
#include "tess-codec-process.h"
#include "tess-codec-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WINDOW 8                   /* requests under way: the helper never waits for the next */
#define BYTES_PER_SECOND 20000000. /* the slowest a large file may be read */
#define CPU_SECONDS 3600u

struct _TessCodec {
  TessCodecLimits limits;
  TessCodecProcess process;
  int memory_fd; /* -1: none */
  guint8 *memory;
  gsize n_memory;
};

TessCodec *
tess_codec_new (const TessCodecLimits *limits)
{
  TessCodec *codec = g_new0 (TessCodec, 1);
  guint64 machine = (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE);

  codec->limits = limits ? *limits : (TessCodecLimits){.seconds = 20, .memory = MIN ((guint64)2 << 30, machine / 2)};
  codec->memory_fd = -1;
  return codec;
}

static void
drop_memory (TessCodec *codec)
{
  if (codec->memory)
    munmap (codec->memory, codec->n_memory);
  if (codec->memory_fd >= 0)
    close (codec->memory_fd);
  codec->memory = NULL;
  codec->n_memory = 0;
  codec->memory_fd = -1;
}

void
tess_codec_free (TessCodec *codec)
{
  if (!codec)
    return;
  tess_codec_process_stop (&codec->process);
  drop_memory (codec);
  g_free (codec);
}

/**
 * tess_codec_memory:
 *
 * Errors: NO_MEMORY.
 */
guint8 *
tess_codec_memory (TessCodec *codec, gsize n, GError **error)
{
  if (n <= codec->n_memory)
    return codec->memory;
  tess_codec_process_stop (&codec->process); /* its limit on memory was for less */
  drop_memory (codec);
  codec->memory_fd = memfd_create ("tessera-voxels", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (codec->memory_fd >= 0 && ftruncate (codec->memory_fd, (off_t)n) == 0 &&
      /* were the helper to shrink it, reading it would be fatal here */
      fcntl (codec->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    void *memory = mmap (NULL, n, PROT_READ, MAP_SHARED, codec->memory_fd, 0);

    if (memory != MAP_FAILED) {
      codec->memory = memory;
      codec->n_memory = n;
      return codec->memory;
    }
  }
  drop_memory (codec);
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("%.1f GB of shared memory are not to be had; close other programs"), (double)n / 1e9);
  return NULL;
}

/* With the shared memory handed over. Retried once, for a helper that died of something else than a file. */
static gboolean
ensure_process (TessCodec *codec, GError **error)
{
  g_autoptr (GByteArray) answer = g_byte_array_new ();
  int status;

  for (int attempt = 0; attempt < 2; attempt++) {
    if (codec->process.pid > 0)
      return TRUE;
    if (!tess_codec_process_start (&codec->process, codec->limits.memory + codec->n_memory, CPU_SECONDS, error))
      return FALSE;
    if (codec->memory_fd < 0)
      return TRUE;
    if (tess_codec_process_send (&codec->process, "{\"do\":\"memory\"}", codec->memory_fd) &&
        tess_codec_process_receive (&codec->process, 20, NULL, answer, &status) == TESS_CODEC_ANSWERED &&
        answer->len == 2)
      return TRUE;
    tess_codec_process_stop (&codec->process);
  }
  g_set_error_literal (
      error, TESS_ERROR, TESS_ERROR_IO,
      _ ("the program tessera-codec, which reads DICOM and HDF5, does not start; install Tessera again"));
  return FALSE;
}

static void
set_problem (GError **error, TessError code, const char *path, const char *what)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, TESS_ERROR, code, "%s: %s", name, what);
}

/* @format has one %s: the kind of file. */
static void
set_kind_problem (GError **error, TessError code, const char *path, const char *format, const char *kind)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_autofree char *what = g_strdup_printf (format, kind);
#pragma GCC diagnostic pop

  set_problem (error, code, path, what);
}

static void
set_no_pixels (GError **error, const char *path, const char *detail)
{
  g_autofree char *what = detail && g_ascii_isalnum (*detail)
                              ? g_strdup_printf (_ ("this DICOM file (%s) holds no picture; give the files of the scan "
                                                    "itself"),
                                                 detail)
                              : g_strdup (_ ("this DICOM file holds no picture; give the files of the scan itself"));

  set_problem (error, TESS_ERROR_UNSUPPORTED, path, what);
}

/* The helper's own words for a failure, as a sentence. kind: "DICOM" or "HDF5". */
static void
set_failure (GError **error, const char *path, const char *kind, const char *failure, const char *detail)
{
  if (strcmp (failure, TESS_CODEC_OTHER_KIND) == 0) {
    set_kind_problem (error, TESS_ERROR_FORMAT, path, _ ("this is not a %s file; give it the ending of what it is"),
                      kind);
  } else if (strcmp (failure, TESS_CODEC_NO_PIXELS) == 0) {
    set_no_pixels (error, path, detail);
  } else if (strcmp (failure, TESS_CODEC_UNSUPPORTED) == 0) {
    g_autofree char *what = g_strdup_printf (_ ("its voxels cannot be unpacked (%s): the file is damaged, or packed in "
                                                "a way that is not known here; export it again uncompressed"),
                                             detail ? detail : "");

    set_problem (error, TESS_ERROR_UNSUPPORTED, path, what);
  } else if (strcmp (failure, TESS_CODEC_CUT) == 0) {
    set_problem (error, TESS_ERROR_FORMAT, path, _ ("the file ends too early; it is incomplete, copy it again"));
  } else if (strcmp (failure, TESS_CODEC_NO_MEMORY) == 0) {
    set_problem (error, TESS_ERROR_NO_MEMORY, path,
                 _ ("reading it needs more memory than a file of its size should; it may be damaged, copy it again"));
  } else if (strcmp (failure, TESS_CODEC_NOT_BUILT) == 0) {
    set_kind_problem (
        error, TESS_ERROR_UNSUPPORTED, path,
        _ ("this Tessera was built without %s; install its library and build Tessera again, or convert the "
           "file elsewhere"),
        strcmp (kind, "DICOM") == 0 ? "GDCM" : kind);
  } else {
    set_kind_problem (error, TESS_ERROR_FORMAT, path, _ ("the %s file is damaged; copy it again from its source"),
                      kind);
  }
}

/* How the helper ended while it read `path`. */
static void
set_end (GError **error, const char *path, const char *kind, TessCodecOutcome outcome, int status, double seconds)
{
  if (outcome == TESS_CODEC_TOO_LONG) {
    g_autofree char *what = g_strdup_printf (_ ("reading it took longer than %.0f seconds and was given up; the %s "
                                                "file is probably damaged, copy it again from its source"),
                                             seconds, kind);

    set_problem (error, TESS_ERROR_FORMAT, path, what);
  } else if (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL) {
    set_problem (error, TESS_ERROR_NO_MEMORY, path,
                 _ ("the system stopped reading it, for want of memory as a rule; close other programs"));
  } else {
    set_kind_problem (error, TESS_ERROR_FORMAT, path,
                      _ ("the %s file is damaged: the library that reads it broke off; copy it again from its source"),
                      kind);
  }
}

/* Descriptor of a plain file, for reading; *size its bytes. -1 with an error. */
static int
open_file (const TessCodecJob *job, guint64 *size, GError **error)
{
  const char *path = job->path;
  int fd =
      job->fd > 0 ? fcntl (job->fd, F_DUPFD_CLOEXEC, 3) : open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) != 0) {
    tess_error_set_errno (error, path, errno, _ ("open"));
    if (fd >= 0)
      close (fd);
    return -1;
  }
  if (!S_ISREG (st.st_mode)) {
    set_problem (error, TESS_ERROR_IO, path, _ ("this is not a file; give a file of a scan"));
    close (fd);
    return -1;
  }
  *size = (guint64)st.st_size;
  return fd;
}

typedef struct {
  TessCodec *codec;
  const char *what, *kind; /* of request; of file: "DICOM" */
  const TessCodecJob *jobs;
  guint n, sent, received; /* jobs[received..sent) are under way */
  TessCodecAnswer func;
  gpointer user_data;
  TessProgress *progress;
  double seconds[WINDOW];  /* allowed, by job modulo WINDOW */
  GError *problem[WINDOW]; /* of opening: not sent at all */
} Run;

/* Asks as much as may be under way. FALSE: there is no helper to ask. */
static gboolean
ask (Run *run, GError **error)
{
  for (; run->sent < run->n && run->sent - run->received < WINDOW; run->sent++) {
    const TessCodecJob *job = &run->jobs[run->sent];
    g_autofree char *request = NULL;
    guint slot = run->sent % WINDOW;
    guint64 size = 0;
    int fd = open_file (job, &size, &run->problem[slot]);

    run->seconds[slot] = run->codec->limits.seconds + ((double)size + (double)job->n) / BYTES_PER_SECOND;
    if (fd < 0)
      continue;
    if (run->codec->process.pid <= 0 &&
        run->received < run->sent) { /* it died: what it still owed is asked again first */
      close (fd);
      return TRUE;
    }
    if (!ensure_process (run->codec, error)) {
      close (fd);
      return FALSE;
    }
    request = g_strdup_printf ("{\"do\":\"%s\",\"at\":%" G_GUINT64_FORMAT ",\"n\":%" G_GUINT64_FORMAT "}", run->what,
                               job->at, job->n);
    tess_codec_process_send (&run->codec->process, request, fd); /* if it is dead, receiving tells */
    close (fd);
  }
  return TRUE;
}

static gboolean
hand_over (Run *run, GByteArray *answer)
{
  const char *path = run->jobs[run->received].path, *failure, *detail = NULL;
  g_autoptr (JsonNode) root = tess_json_parse ((const char *)answer->data, answer->len, path, NULL);
  g_autoptr (GError) problem = NULL;
  JsonObject *object = NULL;

  if (!root || !tess_json_root (root, path, &object, NULL)) {
    set_failure (&problem, path, run->kind, TESS_CODEC_DAMAGED, NULL);
    object = NULL;
  } else if (tess_json_string (object, path, "error", &failure, NULL)) {
    tess_json_string_opt (object, path, "detail", &detail, NULL);
    set_failure (&problem, path, run->kind, failure, detail);
  }
  return run->func (run->received, object, problem, run->user_data);
}

/* One answer. FALSE with an error: cancelled; without: the callback wants no more. */
static gboolean
take (Run *run, GByteArray *answer, GError **error)
{
  guint slot = run->received % WINDOW;
  g_autoptr (GError) problem = g_steal_pointer (&run->problem[slot]);
  TessCodecOutcome outcome;
  gboolean on;
  int status = 0;

  if (problem) {
    on = run->func (run->received, NULL, problem, run->user_data);
    run->received++;
    return on;
  }
  outcome = tess_codec_process_receive (&run->codec->process, run->seconds[slot], run->progress, answer, &status);
  if (outcome == TESS_CODEC_ANSWERED) {
    on = hand_over (run, answer);
    run->received++;
    return on;
  }
  if (outcome == TESS_CODEC_CANCELLED) {
    tess_progress_check (run->progress, error);
    return FALSE;
  }
  set_end (&problem, run->jobs[run->received].path, run->kind, outcome, status, run->seconds[slot]);
  on = run->func (run->received, NULL, problem, run->user_data);
  run->received++;
  for (guint i = run->received; i < run->sent; i++)
    g_clear_error (&run->problem[i % WINDOW]);
  run->sent = run->received; /* the others are asked again, of another helper */
  return on;
}

static gboolean
run_jobs (TessCodec *codec, const char *what, const TessCodecJob *jobs, guint n, TessCodecAnswer func,
          gpointer user_data, TessProgress *progress, GError **error)
{
  Run run = {.codec = codec,
             .what = what,
             .kind = g_str_has_prefix (what, "hdf5") ? "HDF5" : "DICOM",
             .jobs = jobs,
             .n = n,
             .func = func,
             .user_data = user_data,
             .progress = progress};
  g_autoptr (GByteArray) answer = g_byte_array_new ();
  gboolean done = TRUE;

  while (done && run.received < n)
    done = tess_progress_check (progress, error) && ask (&run, error) && take (&run, answer, error);
  if (run.received < run.sent) /* answers nobody waits for */
    tess_codec_process_stop (&codec->process);
  for (guint i = 0; i < WINDOW; i++)
    g_clear_error (&run.problem[i]);
  return done;
}

gboolean
tess_codec_scan (TessCodec *codec, const TessCodecJob *jobs, guint n, TessCodecAnswer func, gpointer user_data,
                 TessProgress *progress, GError **error)
{
  return run_jobs (codec, "dicom-scan", jobs, n, func, user_data, progress, error);
}

/* Jobs must lie inside the memory of tess_codec_memory(). */
gboolean
tess_codec_decode (TessCodec *codec, const TessCodecJob *jobs, guint n, TessCodecAnswer func, gpointer user_data,
                   TessProgress *progress, GError **error)
{
  return run_jobs (codec, "dicom-decode", jobs, n, func, user_data, progress, error);
}

typedef struct {
  JsonObject *answer;
  GError *problem;
} Asked;

static gboolean
keep_answer (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  Asked *asked = user_data;

  if (problem)
    asked->problem = g_error_copy (problem);
  else
    asked->answer = json_object_ref (answer);
  return TRUE;
}

/**
 * tess_codec_ask:
 * @what: "hdf5-scan", "hdf5-chunks" or "hdf5-frame"
 *
 * Returns: (transfer full): the helper's answer. Errors: those of the file, no helper, CANCELLED.
 */
JsonObject *
tess_codec_ask (TessCodec *codec, const char *what, const TessCodecJob *job, TessProgress *progress, GError **error)
{
  Asked asked = {0};

  if (!run_jobs (codec, what, job, 1, keep_answer, &asked, progress, &asked.problem)) {
    g_autofree char *name = g_filename_display_name (job->path);

    g_clear_pointer (&asked.answer, json_object_unref);
    if (!g_error_matches (asked.problem, TESS_ERROR, TESS_ERROR_CANCELLED))
      g_prefix_error (&asked.problem, "%s: ", name);
  }
  if (asked.problem)
    g_propagate_error (error, asked.problem);
  return asked.answer;
}
