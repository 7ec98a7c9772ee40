#include "tess-run-folder-private.h"

#include "tess-atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct _TessRunFolder {
  char *path;
  int lock; /* -1: not held */
};

TessRunFolder *
tess_run_folder_new (const char *path)
{
  TessRunFolder *run = g_new0 (TessRunFolder, 1);

  run->path = g_strdup (path);
  run->lock = -1;
  return run;
}

void
tess_run_folder_free (TessRunFolder *run)
{
  if (!run)
    return;
  if (run->lock >= 0)
    close (run->lock);
  g_free (run->path);
  g_free (run);
}

const char *
tess_run_folder_path (const TessRunFolder *run)
{
  return run->path;
}

char *
tess_run_folder_file (const TessRunFolder *run, const char *name)
{
  return g_build_filename (run->path, name, NULL);
}

gboolean
tess_run_folder_has_run (const TessRunFolder *run)
{
  g_autofree char *latest = tess_run_folder_file (run, "latest.safetensors");
  g_autofree char *best = tess_run_folder_file (run, "best.safetensors");

  return g_file_test (latest, G_FILE_TEST_EXISTS) || g_file_test (best, G_FILE_TEST_EXISTS);
}

gboolean
tess_run_folder_check_free (const TessRunFolder *run, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "dataset.json");
  g_autoptr (JsonNode) root = NULL;

  if (!g_file_test (file, G_FILE_TEST_EXISTS))
    return TRUE;
  root = tess_json_load (file, NULL);
  if (root && JSON_NODE_HOLDS_OBJECT (root) && json_object_has_member (json_node_get_object (root), "run"))
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: holds a dataset.json that is not of a run; choose a new folder for the run"), run->path);
  return FALSE;
}

gboolean
tess_run_folder_check_writable (const TessRunFolder *run, GError **error)
{
  g_autofree char *folder = g_strdup (run->path);
  struct stat info;

  while (stat (folder, &info) != 0 && errno == ENOENT) {
    g_autofree char *parent = g_path_get_dirname (folder);

    if (strcmp (parent, folder) == 0)
      break;
    g_free (folder);
    folder = g_steal_pointer (&parent);
  }
  if (stat (folder, &info) == 0 && !S_ISDIR (info.st_mode)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: is not a folder; choose another run folder"), folder);
    return FALSE;
  }
  if (access (folder, W_OK | X_OK) != 0) {
    tess_error_set_errno (error, run->path, errno, _ ("write"));
    return FALSE;
  }
  return TRUE;
}

/**
 * tess_run_folder_lock:
 *
 * An flock on the file "lock", which stays in the folder: the system gives it back however a training ends.
 */
gboolean
tess_run_folder_lock (TessRunFolder *run, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "lock");

  if (run->lock >= 0)
    return TRUE;
  if (!tess_make_directory (run->path, error))
    return FALSE;
  run->lock = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (run->lock < 0) {
    tess_error_set_errno (error, run->path, errno, _ ("write"));
    return FALSE;
  }
  if (flock (run->lock, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (errno == EWOULDBLOCK) {
    close (run->lock);
    run->lock = -1;
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: another training is writing to this run folder; wait for it or choose another folder"),
                 run->path);
    return FALSE;
  }
  return TRUE; /* a file system without locks */
}

/* ---- dataset.json ---- */

void
tess_run_dataset_clear (TessRunDataset *d)
{
  g_free (d->identity);
  g_free (d->directory);
  tess_split_clear (&d->split);
  *d = (TessRunDataset){0};
}

static JsonArray *
ids_array (const TessDataset *dataset, const guint *indices, guint n)
{
  JsonArray *array = json_array_sized_new (n);

  for (guint i = 0; i < n; i++)
    json_array_add_string_element (array, tess_dataset_case (dataset, indices[i])->id);
  return array;
}

/**
 * tess_run_folder_save_dataset:
 *
 * dataset.json: nnU-Net's keys, the dataset's identity, and what this run makes of it: "run": {"directory", "fold" (a
 * number or "all"), "val_fraction", "minutes", "train", "val" (case ids)}.
 */
gboolean
tess_run_folder_save_dataset (TessRunFolder *run, const TessDataset *dataset, const TessRunDataset *d, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "dataset.json");
  g_autofree char *directory = g_canonicalize_filename (dataset->directory, NULL);
  g_autofree char *shown = g_filename_display_name (directory);
  g_autoptr (JsonNode) root = tess_dataset_to_json (dataset);
  JsonObject *o = json_object_new ();

  json_object_set_string_member (o, "directory", shown);
  if (d->val_fraction > 0.0)
    json_object_set_double_member (o, "val_fraction", d->val_fraction);
  else if (d->fold < 0)
    json_object_set_string_member (o, "fold", "all");
  else
    json_object_set_int_member (o, "fold", d->fold);
  if (d->minutes > 0.0)
    json_object_set_double_member (o, "minutes", d->minutes);
  json_object_set_array_member (o, "train", ids_array (dataset, d->split.train, d->split.n_train));
  json_object_set_array_member (o, "val", ids_array (dataset, d->split.val, d->split.n_val));
  json_object_set_object_member (json_node_get_object (root), "run", o);
  return tess_json_save (file, root, error);
}

/* Case ids to indices, by bisection: the cases are sorted. */
static gboolean
read_ids (JsonObject *o, const char *origin, const char *name, const TessDataset *dataset, guint **indices, guint *n,
          GError **error)
{
  JsonArray *array;

  if (!tess_json_array (o, origin, name, &array, error))
    return FALSE;
  *n = json_array_get_length (array);
  *indices = g_new (guint, MAX (*n, 1));
  for (guint i = 0; i < *n; i++) {
    JsonNode *node = json_array_get_element (array, i);
    const char *id = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
    guint lo = 0, hi = dataset->cases->len;

    while (id && lo < hi) {
      guint middle = lo + (hi - lo) / 2;

      if (strcmp (tess_dataset_case (dataset, middle)->id, id) < 0)
        lo = middle + 1;
      else
        hi = middle;
    }
    if (!id || lo >= dataset->cases->len || strcmp (tess_dataset_case (dataset, lo)->id, id) != 0) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: case \"%s\" is not in the dataset; choose another run folder"), origin, id ? id : "");
      return FALSE;
    }
    (*indices)[i] = lo;
  }
  return TRUE;
}

gboolean
tess_run_folder_load_dataset (TessRunFolder *run, const TessDataset *dataset, TessRunDataset *d, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "dataset.json");
  g_autofree char *identity = tess_dataset_identity (dataset);
  g_autoptr (JsonNode) root = tess_json_load (file, error);
  const char *theirs, *directory = "", *fold = NULL;
  JsonObject *o, *r;
  gint64 number = 0;

  if (!root || !tess_json_root (root, file, &o, error) || !tess_json_string (o, file, "identity", &theirs, error) ||
      !tess_json_object (o, file, "run", &r, error) || !tess_json_string_opt (r, file, "directory", &directory, error))
    return FALSE;
  if (strcmp (theirs, identity) != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: holds a run on another dataset (%s), not on %s; choose another run folder"), run->path,
                 directory, dataset->directory);
    return FALSE;
  }
  d->identity = g_strdup (theirs);
  d->directory = g_strdup (directory);
  d->val_fraction = d->minutes = 0.0;
  if (!tess_json_double_opt (r, file, "val_fraction", &d->val_fraction, error) ||
      !tess_json_double_opt (r, file, "minutes", &d->minutes, error))
    return FALSE;
  if (d->val_fraction <= 0.0) {
    JsonNode *node = json_object_get_member (r, "fold");

    if (node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING)
      fold = json_node_get_string (node);
    if (fold && strcmp (fold, "all") == 0)
      number = -1;
    else if (!tess_json_int (r, file, "fold", 0, G_MAXINT, &number, error))
      return FALSE;
  }
  d->fold = (int)number;
  return read_ids (r, file, "train", dataset, &d->split.train, &d->split.n_train, error) &&
         read_ids (r, file, "val", dataset, &d->split.val, &d->split.n_val, error);
}

gboolean
tess_run_folder_save_progress (TessRunFolder *run, JsonNode *node, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "progress.json");
  g_autoptr (JsonNode) owned = node;

  return tess_json_save (file, owned, error);
}

/* ---- snapshots ---- */

typedef struct {
  gint64 epoch;
  guint64 bytes;
} SnapshotFile;

static int
compare_snapshots (gconstpointer a, gconstpointer b)
{
  const SnapshotFile *x = a, *y = b;

  return (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

static gboolean
parse_snapshot_name (const char *name, gint64 *epoch)
{
  g_autofree char *digits = NULL;

  if (name[0] != 'e' || !g_str_has_suffix (name, ".safetensors"))
    return FALSE;
  digits = g_strndup (name + 1, strlen (name) - 1 - strlen (".safetensors"));
  return strlen (digits) >= 4 && g_ascii_string_to_signed (digits, 10, 0, G_MAXINT32, epoch, NULL);
}

/* SnapshotFile, ascending epochs. */
static GArray *
list_snapshots (TessRunFolder *run)
{
  g_autofree char *folder = tess_run_folder_file (run, "snapshots");
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GArray *files = g_array_new (FALSE, FALSE, sizeof (SnapshotFile));
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    SnapshotFile file;
    GStatBuf info;

    if (!parse_snapshot_name (name, &file.epoch) || g_stat (path, &info) != 0)
      continue;
    file.bytes = (guint64)info.st_size;
    g_array_append_val (files, file);
  }
  g_array_sort (files, compare_snapshots);
  return files;
}

static char *
snapshot_name (gint64 epoch)
{
  return g_strdup_printf ("snapshots/e%04" G_GINT64_FORMAT ".safetensors", epoch);
}

char *
tess_run_folder_snapshot (TessRunFolder *run, gint64 epoch)
{
  g_autofree char *name = snapshot_name (epoch);

  return tess_run_folder_file (run, name);
}

char *
tess_run_folder_newest_snapshot (TessRunFolder *run)
{
  g_autoptr (GArray) files = list_snapshots (run);

  return files->len > 0 ? snapshot_name (g_array_index (files, SnapshotFile, files->len - 1).epoch) : NULL;
}

/**
 * tess_thin_snapshots:
 *
 * While there are more than @keep files and they take more than @max_bytes, the one goes whose neighbours are nearest
 * to each other (of several the oldest), so that the spacing grows evenly; never the first or the newest.
 */
void
tess_thin_snapshots (guint n, const gint64 *epochs, const guint64 *bytes, guint keep, guint64 max_bytes, gboolean *gone)
{
  guint left = n;
  guint64 total = 0;

  for (guint i = 0; i < n; i++) {
    total += bytes[i];
    gone[i] = FALSE;
  }
  while (left > MAX (keep, 2) && total > max_bytes) {
    gint64 nearest = G_MAXINT64;
    guint drop = 0, before = 0, middle = 0;

    for (guint i = 1; i < n; i++) { /* every three neighbours that are left: before, middle, i */
      if (gone[i])
        continue;
      if (middle > 0 && epochs[i] - epochs[before] < nearest) {
        nearest = epochs[i] - epochs[before];
        drop = middle;
      }
      if (middle > 0)
        before = middle;
      middle = i;
    }
    gone[drop] = TRUE;
    total -= bytes[drop];
    left--;
  }
}

void
tess_run_folder_thin_snapshots (TessRunFolder *run, guint keep, guint64 max_bytes)
{
  g_autoptr (GArray) files = list_snapshots (run);
  g_autofree gint64 *epochs = g_new (gint64, files->len + 1);
  g_autofree guint64 *bytes = g_new (guint64, files->len + 1);
  g_autofree gboolean *gone = g_new (gboolean, files->len + 1);

  for (guint i = 0; i < files->len; i++) {
    epochs[i] = g_array_index (files, SnapshotFile, i).epoch;
    bytes[i] = g_array_index (files, SnapshotFile, i).bytes;
  }
  tess_thin_snapshots (files->len, epochs, bytes, keep, max_bytes, gone);
  for (guint i = 0; i < files->len; i++)
    if (gone[i]) {
      g_autofree char *path = tess_run_folder_snapshot (run, epochs[i]);

      g_unlink (path);
    }
}

/* ---- cutting back ---- */

/* ".NAME.XXXXXX", what tess_atomic_file calls a file that is not whole yet. */
static gboolean
is_leftover (const char *name)
{
  const char *dot = strrchr (name, '.');

  if (name[0] != '.' || !dot || dot <= name + 1 || strlen (dot + 1) != 6)
    return FALSE;
  for (const char *p = dot + 1; *p; p++)
    if (!g_ascii_isalnum (*p))
      return FALSE;
  return TRUE;
}

static void
remove_leftovers (TessRunFolder *run, const char *subfolder, const char *const *only)
{
  g_autofree char *folder = tess_run_folder_file (run, subfolder);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *target = NULL, *path = g_build_filename (folder, name, NULL);

    if (!is_leftover (name))
      continue;
    target = g_strndup (name + 1, strlen (name) - 8);
    if (!only || g_strv_contains (only, target))
      g_unlink (path);
  }
}

gboolean
tess_run_folder_remove_later (TessRunFolder *run, gint64 epochs, GError **error)
{
  static const char *const ours[] = {"plan.json",        "dataset.json",       "log.csv", "progress.json",
                                     "best.safetensors", "latest.safetensors", NULL};
  g_autoptr (GArray) files = list_snapshots (run);

  for (guint i = 0; i < files->len; i++) {
    gint64 epoch = g_array_index (files, SnapshotFile, i).epoch;
    g_autofree char *path = tess_run_folder_snapshot (run, epoch);

    if (epoch > epochs && g_unlink (path) != 0) {
      tess_error_set_errno (error, path, errno, _ ("remove"));
      return FALSE;
    }
  }
  remove_leftovers (run, "", ours);
  remove_leftovers (run, "snapshots", NULL);
  remove_leftovers (run, "cases", NULL);
  return TRUE;
}
