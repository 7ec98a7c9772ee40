#include "tess-run-poll.h"

#include "tess-format-registry.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LOG_BYTES (64u << 20)

/* Files that may be damaged; the order is that of telling. */
typedef enum { FILE_PLAN, FILE_PROGRESS, FILE_LOG, FILE_SNAPSHOT, N_FILES } File;

struct _TessRunPoll {
  char *run_dir;
  char *progress_seen, *log_seen, *newest_seen; /* what the files looked like when they were read last */
  TessTrainStatus status;
  gboolean has_status;
  guint n_labels; /* 0 until plan.json was there */
  char *dataset_dir;
  char *oriented_case; /* whose axes were looked at */
  char codes[4];
  gint64 last_total; /* for the speed */
  double last_elapsed, speed;
  char *troubles[N_FILES];
};

TessRunPoll *
tess_run_poll_new (const char *run_dir)
{
  TessRunPoll *poll = g_new0 (TessRunPoll, 1);

  poll->run_dir = g_strdup (run_dir);
  return poll;
}

void
tess_run_poll_free (TessRunPoll *poll)
{
  if (!poll)
    return;
  g_free (poll->run_dir);
  g_free (poll->progress_seen);
  g_free (poll->log_seen);
  g_free (poll->newest_seen);
  g_free (poll->dataset_dir);
  g_free (poll->oriented_case);
  for (guint i = 0; i < N_FILES; i++)
    g_free (poll->troubles[i]);
  g_free (poll);
}

void
tess_run_news_free (TessRunNews *news)
{
  if (!news)
    return;
  g_clear_pointer (&news->plan, tess_plan_unref);
  g_clear_pointer (&news->rows, g_array_unref);
  g_clear_pointer (&news->kept, g_array_unref);
  tess_snapshot_unref (news->newest);
  g_free (news->dataset_dir);
  g_free (news->trouble);
  g_free (news);
}

static gboolean
has_file (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return g_file_test (path, G_FILE_TEST_IS_REGULAR);
}

gboolean
tess_run_poll_check (const char *run_dir, GError **error)
{
  g_autofree char *name = g_filename_display_name (run_dir);

  if (!g_file_test (run_dir, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: is not a folder; choose the folder a training writes to"),
                 name);
    return FALSE;
  }
  if (has_file (run_dir, "plan.json") || has_file (run_dir, "progress.json") || has_file (run_dir, "log.csv"))
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: holds no training run; choose a folder with a plan.json and a log.csv in it"), name);
  return FALSE;
}

/* Device, inode, size and time: another text when the file was replaced or grew. NULL when it is not there. */
static char *
look_of (const char *path, gint64 *age)
{
  struct stat info;

  if (stat (path, &info) != 0)
    return NULL;
  if (age)
    *age = MAX (g_get_real_time () / G_USEC_PER_SEC - (gint64)info.st_mtime, 0);
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT ":%" G_GINT64_FORMAT ":%" G_GINT64_FORMAT ".%09ld",
                          (guint64)info.st_dev, (guint64)info.st_ino, (gint64)info.st_size, (gint64)info.st_mtime,
                          (long)info.st_mtim.tv_nsec);
}

/* Has the file changed since `seen`? Then seen is its look now. */
static gboolean
is_news (const char *path, char **seen, gint64 *age)
{
  g_autofree char *now = look_of (path, age);

  if (!now || g_strcmp0 (now, *seen) == 0)
    return FALSE;
  g_free (*seen);
  *seen = g_steal_pointer (&now);
  return TRUE;
}

/* error NULL: the file is in order (again). */
static void
set_trouble (TessRunPoll *poll, File file, const GError *error)
{
  g_free (poll->troubles[file]);
  poll->troubles[file] = error ? g_strdup (error->message) : NULL;
}

/* ---- progress.json ---- */

static TessTrainState
state_from_name (const char *name)
{
  static const char *const names[] = {"idle", "preparing", "running", "paused", "stopped", "done", "failed"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (name, names[i]) == 0)
      return (TessTrainState)i;
  return TESS_TRAIN_IDLE;
}

/* Iterations a second are not in the file: from one look to the next. */
static void
update_speed (TessRunPoll *poll, TessTrainStatus *s)
{
  gint64 done = s->total_iterations - poll->last_total;
  double seconds = s->elapsed - poll->last_elapsed;

  if (poll->has_status && done > 0 && seconds > 0.0)
    poll->speed = (double)done / seconds;
  if (s->total_iterations != poll->last_total || !poll->has_status) {
    poll->last_total = s->total_iterations;
    poll->last_elapsed = s->elapsed;
  }
  s->iterations_per_second = poll->speed;
}

static gboolean
parse_progress (TessRunPoll *poll, const char *path, TessTrainStatus *s, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_load (path, error);
  const char *state = "";
  JsonObject *o;

  *s = (TessTrainStatus){.remaining = NAN, .train_loss = NAN, .val_loss = NAN, .best_dice = NAN};
  for (guint i = 0; i < TESS_MAX_LABELS; i++)
    s->dice[i] = NAN;
  if (!root || !tess_json_root (root, path, &o, error) || !tess_json_string (o, path, "state", &state, error) ||
      !tess_json_int_opt (o, path, "epoch", 0, G_MAXINT32, &s->epoch, error) ||
      !tess_json_int_opt (o, path, "epochs", 0, G_MAXINT32, &s->n_epochs, error) ||
      !tess_json_int_opt (o, path, "iteration", 0, G_MAXINT32, &s->iteration, error) ||
      !tess_json_int_opt (o, path, "iterations", 0, G_MAXINT32, &s->n_iterations, error) ||
      !tess_json_int_opt (o, path, "total_iterations", 0, G_MAXINT64, &s->total_iterations, error) ||
      !tess_json_double_opt (o, path, "elapsed", &s->elapsed, error) ||
      !tess_json_double_opt (o, path, "remaining", &s->remaining, error) ||
      !tess_json_double_opt (o, path, "loss", &s->train_loss, error) ||
      !tess_json_double_opt (o, path, "val_loss", &s->val_loss, error) ||
      !tess_json_double_opt (o, path, "mean_dice", &s->dice[0], error) ||
      !tess_json_double_opt (o, path, "best_dice", &s->best_dice, error) ||
      !tess_json_double_opt (o, path, "rate", &s->learning_rate, error) ||
      !tess_json_double_opt (o, path, "loader_share", &s->loader_share, error))
    return FALSE;
  s->state = state_from_name (state);
  update_speed (poll, s);
  return TRUE;
}

static void
look_at_progress (TessRunPoll *poll, TessRunNews *news)
{
  g_autofree char *path = g_build_filename (poll->run_dir, "progress.json", NULL);
  TessTrainStatus status;

  news->age = -1;
  if (is_news (path, &poll->progress_seen, &news->age)) {
    g_autoptr (GError) error = NULL;

    if (parse_progress (poll, path, &status, &error)) {
      poll->status = status;
      poll->has_status = news->changed = TRUE;
    }
    set_trouble (poll, FILE_PROGRESS, error);
  }
  news->has_status = poll->has_status;
  news->status = poll->status;
  news->status.n_labels = poll->n_labels;
}

/* ---- log.csv ---- */

static double
number_at (char *const *fields, guint n, guint i)
{
  char *end;
  double value;

  if (i >= n || *fields[i] == '\0')
    return NAN;
  value = g_ascii_strtod (fields[i], &end);
  return *end == '\0' ? value : NAN;
}

/* A whole line of numbers: epoch, iteration, loss, val_loss, Dice a class, mean, rate, seconds, loader share. */
static gboolean
parse_row (const char *line, guint n_labels, TessEpochRecord *r)
{
  g_auto (GStrv) fields = g_strsplit (line, ",", -1);
  guint n = g_strv_length (fields);

  *r = (TessEpochRecord){.n_labels = n_labels};
  if (n != n_labels + 7 || !g_ascii_string_to_signed (fields[0], 10, 1, G_MAXINT32, &r->epoch, NULL) ||
      !g_ascii_string_to_signed (fields[1], 10, 0, G_MAXINT64, &r->iteration, NULL))
    return FALSE;
  r->dice = g_new0 (double, n_labels);
  r->train_loss = number_at (fields, n, 2);
  r->val_loss = number_at (fields, n, 3);
  for (guint c = 1; c < n_labels; c++)
    r->dice[c] = number_at (fields, n, 3 + c);
  r->dice[0] = number_at (fields, n, n - 4);
  r->learning_rate = number_at (fields, n, n - 3);
  r->seconds = number_at (fields, n, n - 2);
  r->loader_share = number_at (fields, n, n - 1);
  return TRUE;
}

GArray *
tess_run_log_parse (const char *text, guint n_labels)
{
  GArray *rows = g_array_new (FALSE, FALSE, sizeof (TessEpochRecord));
  const char *p = strchr (text, '\n'), *end;

  g_array_set_clear_func (rows, (GDestroyNotify)tess_epoch_record_clear);
  if (n_labels < 1 || n_labels > TESS_MAX_LABELS)
    return rows;
  for (; p && (end = strchr (p + 1, '\n')); p = end) {
    g_autofree char *line = g_strndup (p + 1, (gsize)(end - p - 1));
    TessEpochRecord record;

    g_strchomp (line);
    if (parse_row (line, n_labels, &record))
      g_array_append_val (rows, record);
  }
  return rows;
}

/* Whole lines after the header that are no epochs. */
static void
tell_lost_lines (TessRunPoll *poll, const char *path, const char *text, guint n_rows)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autoptr (GError) error = NULL;
  guint lines = 0;

  for (const char *p = text; (p = strchr (p, '\n')); p++)
    lines++;
  if (lines > n_rows + 1)
    error = g_error_new (TESS_ERROR, TESS_ERROR_FORMAT,
                         ngettext ("%s: %u line cannot be read, so that the curves have a gap",
                                   "%s: %u lines cannot be read, so that the curves have gaps", lines - 1 - n_rows),
                         name, lines - 1 - n_rows);
  set_trouble (poll, FILE_LOG, error);
}

static void
look_at_log (TessRunPoll *poll, TessRunNews *news)
{
  g_autofree char *path = g_build_filename (poll->run_dir, "log.csv", NULL), *text = NULL;
  GStatBuf info;

  if (poll->n_labels == 0 || g_stat (path, &info) != 0 || info.st_size > MAX_LOG_BYTES ||
      !is_news (path, &poll->log_seen, NULL) || !g_file_get_contents (path, &text, NULL, NULL))
    return;
  news->rows = tess_run_log_parse (text, poll->n_labels);
  tell_lost_lines (poll, path, text, news->rows->len);
}

/* ---- snapshots ---- */

static gint
compare_epochs (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return (x > y) - (x < y);
}

static GArray *
list_kept (const char *run_dir)
{
  g_autofree char *folder = g_build_filename (run_dir, "snapshots", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GArray *kept = g_array_new (FALSE, FALSE, sizeof (gint64));
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *digits = NULL;
    gint64 epoch;

    if (name[0] != 'e' || !g_str_has_suffix (name, ".safetensors"))
      continue;
    digits = g_strndup (name + 1, strlen (name) - 1 - strlen (".safetensors"));
    if (g_ascii_string_to_signed (digits, 10, 0, G_MAXINT32, &epoch, NULL))
      g_array_append_val (kept, epoch);
  }
  g_array_sort (kept, compare_epochs);
  return kept;
}

static void
look_at_newest (TessRunPoll *poll, TessRunNews *news)
{
  g_autofree char *path = NULL;
  g_autoptr (TessRunFolder) run = NULL;
  g_autoptr (GError) error = NULL;

  if (news->kept->len == 0)
    return;
  run = tess_run_folder_new (poll->run_dir);
  path = tess_run_folder_snapshot (run, g_array_index (news->kept, gint64, news->kept->len - 1));
  if (!is_news (path, &poll->newest_seen, NULL))
    return;
  news->newest = tess_snapshot_load (path, &error);
  set_trouble (poll, FILE_SNAPSHOT, g_file_test (path, G_FILE_TEST_EXISTS) ? error : NULL); /* or just thinned out */
}

/* ---- plan, dataset, axes ---- */

static void
look_at_plan (TessRunPoll *poll, TessRunNews *news)
{
  g_autofree char *path = g_build_filename (poll->run_dir, "plan.json", NULL);
  g_autoptr (GError) error = NULL;

  if (poll->n_labels > 0)
    return;
  if (!g_file_test (path, G_FILE_TEST_EXISTS)) /* not yet */
    return;
  news->plan = tess_plan_load (path, &error);
  if (news->plan)
    poll->n_labels = tess_plan_n_scores (news->plan);
  set_trouble (poll, FILE_PLAN, error);
}

/* Where the run's dataset was on the machine that trains. NULL when unknown. */
static char *
dataset_dir_of (const char *run_dir)
{
  g_autofree char *path = g_build_filename (run_dir, "dataset.json", NULL);
  g_autoptr (JsonNode) root = NULL;
  const char *directory = NULL;
  JsonObject *o, *run;

  if (!g_file_test (path, G_FILE_TEST_EXISTS) || !(root = tess_json_load (path, NULL)) ||
      !tess_json_root (root, path, &o, NULL) || !tess_json_object (o, path, "run", &run, NULL) ||
      !tess_json_string (run, path, "directory", &directory, NULL))
    return NULL;
  return g_strdup (directory);
}

/* The patch lies along the index axes of its case; which way those point only the scan says. Once a case. */
static void
look_at_axes (TessRunPoll *poll, TessRunNews *news, const char *case_id)
{
  g_autoptr (TessDataset) dataset = NULL;

  memcpy (news->codes, poll->codes, sizeof poll->codes);
  if (!case_id || !news->dataset_dir || g_strcmp0 (case_id, poll->oriented_case) == 0)
    return;
  g_free (poll->oriented_case);
  poll->oriented_case = g_strdup (case_id);
  if (!g_file_test (news->dataset_dir, G_FILE_TEST_IS_DIR))
    return;
  dataset = tess_dataset_open (news->dataset_dir, NULL, NULL);
  for (guint i = 0; dataset && i < dataset->cases->len; i++) {
    const TessCaseFiles *files = tess_dataset_case (dataset, i);

    if (strcmp (files->id, case_id) == 0) {
      g_autoptr (TessVolume) scan = tess_volume_load (files->image_paths[0], NULL, NULL);

      if (scan)
        tess_affine_orientation (tess_volume_affine (scan), poll->codes);
      break;
    }
  }
  memcpy (news->codes, poll->codes, sizeof poll->codes);
}

/* The lock is asked for only for a moment and shared, and only when the caller has a reason to doubt. */
static gboolean
is_locked (const char *run_dir)
{
  g_autofree char *path = g_build_filename (run_dir, "lock", NULL);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gboolean locked;

  if (fd < 0)
    return FALSE;
  locked = flock (fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close (fd);
  return locked;
}

/**
 * tess_run_poll_look:
 *
 * Reads what has changed since the look before. Nothing of it fails: a file that is not there yet, or is being
 * replaced, is looked at again the next time.
 */
TessRunNews *
tess_run_poll_look (TessRunPoll *poll, TessRunLook what, const char *case_id)
{
  TessRunNews *news = g_new0 (TessRunNews, 1);

  look_at_plan (poll, news);
  news->kept = list_kept (poll->run_dir);
  if (!(what & TESS_RUN_LOOK_KEPT_ONLY)) {
    look_at_progress (poll, news);
    look_at_log (poll, news);
    look_at_newest (poll, news);
  }
  if (!poll->dataset_dir)
    poll->dataset_dir = dataset_dir_of (poll->run_dir);
  news->dataset_dir = g_strdup (poll->dataset_dir);
  look_at_axes (poll, news, case_id ? case_id : news->newest ? news->newest->case_id : NULL);
  news->has_checkpoint = has_file (poll->run_dir, "latest.safetensors");
  news->has_best = has_file (poll->run_dir, "best.safetensors");
  if (what & TESS_RUN_LOOK_LOCK)
    news->locked = is_locked (poll->run_dir);
  for (guint i = 0; i < N_FILES && !news->trouble; i++)
    news->trouble = g_strdup (poll->troubles[i]);
  return news;
}
