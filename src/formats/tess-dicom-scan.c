/* What the files under a path say of their pictures. */
#include "tess-codec-client.h"
#include "tess-codec-wire.h"
#include "tess-dicom-private.h"
#include "tess-parallel.h"
#include "tess-thread.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_PER_HELPER 64 /* fewer are not worth starting one */
#define MAX_HELPERS 4
#define MAX_AROUND 20000u /* files looked at for a scan that nobody named */

void
tess_dicom_study_free (TessDicomStudy *study)
{
  if (!study)
    return;
  g_ptr_array_unref (study->frames);
  g_ptr_array_unref (study->files);
  g_clear_error (&study->first_failure);
  g_clear_error (&study->without_pictures);
  g_clear_pointer (&study->around_series, g_ptr_array_unref);
  tess_dicom_study_free (study->around);
  g_free (study->path);
  g_free (study);
}

/* One share of the files, on a thread of its own. */
typedef struct {
  const TessCodecJob *jobs;
  guint n;
  GPtrArray *files, *frames; /* in the jobs' order */
  GPtrArray *referenced;     /* paths a DICOMDIR names */
  guint n_failed, n_without;
  GError *first_failure, *without, *error;
  TessProgress *progress;
  gboolean report; /* this share stands for all */
} Share;

/* Paths of a DICOMDIR stay below its folder. */
static void
add_referenced (Share *share, const char *directory, JsonArray *names)
{
  g_autofree char *folder = g_path_get_dirname (directory);

  for (guint i = 0; i < json_array_get_length (names); i++) {
    JsonNode *node = json_array_get_element (names, i);
    g_auto (GStrv) parts = NULL;
    g_autoptr (GString) path = g_string_new (folder);
    gboolean fine = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING;

    parts = g_strsplit (fine ? json_node_get_string (node) : "", "\\", -1);
    for (char **part = parts; *part && fine; part++) {
      fine = **part && **part != '.' && !strchr (*part, '/');
      g_string_append_printf (path, "/%s", *part);
    }
    if (!fine || !parts[0])
      continue;
    if (!g_file_test (path->str, G_FILE_TEST_EXISTS)) { /* discs write capitals, copies of them often not */
      g_autofree char *lower = g_ascii_strdown (path->str + strlen (folder), -1);
      g_autofree char *other = g_strconcat (folder, lower, NULL);

      if (g_file_test (other, G_FILE_TEST_EXISTS))
        g_string_assign (path, other);
    }
    g_ptr_array_add (share->referenced, g_strdup (path->str));
  }
}

static gboolean
on_answer (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  Share *share = user_data;
  const char *path = share->jobs[i].path;

  const char *kind = "";

  if (problem && answer)
    tess_json_string_opt (answer, path, "error", &kind, NULL);
  if (!problem && json_object_has_member (answer, "files")) {
    JsonArray *names = NULL;

    if (tess_json_array (answer, path, "files", &names, NULL))
      add_referenced (share, path, names);
  } else if (!problem && tess_dicom_parse (path, answer, share->files, share->frames)) {
    /* taken */
  } else if (strcmp (kind, TESS_CODEC_NO_PIXELS) == 0) {
    share->n_without++;
    if (!share->without)
      share->without = g_error_copy (problem);
  } else {
    share->n_failed++;
    if (!share->first_failure && problem) {
      share->first_failure = g_error_copy (problem);
    } else if (!share->first_failure) {
      g_autofree char *name = g_filename_display_name (path);

      share->first_failure =
          g_error_new (TESS_ERROR, TESS_ERROR_FORMAT,
                       _ ("%s: the size or kind of its picture is impossible; copy the file again from "
                          "its source"),
                       name);
    }
  }
  if (share->report && i % 16 == 0)
    tess_progress_set (share->progress, 0.2 * (double)i / share->n);
  return TRUE;
}

static guint64
largest_file (const Share *share)
{
  guint64 largest = 0;
  struct stat st;

  for (guint i = 0; i < share->n; i++)
    if (stat (share->jobs[i].path, &st) == 0)
      largest = MAX (largest, (guint64)st.st_size);
  return largest;
}

static void
scan_share (gpointer data)
{
  Share *share = data;
  g_autoptr (TessCodec) codec = tess_dicom_codec_new (largest_file (share));

  tess_codec_scan (codec, share->jobs, share->n, on_answer, share, share->progress, &share->error);
}

/* Adds what a share found to the study, in order. */
static gboolean
gather (TessDicomStudy *study, Share *share, GPtrArray *referenced, GError **error)
{
  for (guint i = 0; i < share->files->len; i++)
    g_ptr_array_add (study->files, g_ptr_array_index (share->files, i));
  for (guint i = 0; i < share->frames->len; i++)
    g_ptr_array_add (study->frames, g_ptr_array_index (share->frames, i));
  for (guint i = 0; i < share->referenced->len; i++)
    g_ptr_array_add (referenced, g_strdup (g_ptr_array_index (share->referenced, i)));
  study->n_failed += share->n_failed;
  study->n_without_pictures += share->n_without;
  if (share->first_failure && !study->first_failure)
    study->first_failure = g_steal_pointer (&share->first_failure);
  if (share->without && !study->without_pictures)
    study->without_pictures = g_steal_pointer (&share->without);
  g_clear_error (&share->first_failure);
  g_clear_error (&share->without);
  g_ptr_array_unref (share->files);
  g_ptr_array_unref (share->frames);
  g_ptr_array_unref (share->referenced);
  if (!share->error)
    return TRUE;
  if (error && !*error)
    g_propagate_error (error, share->error);
  else
    g_error_free (share->error);
  return FALSE;
}

static gboolean
scan (TessDicomStudy *study, GPtrArray *paths, GPtrArray *referenced, TessProgress *progress, GError **error)
{
  guint n_shares = CLAMP (paths->len / FILES_PER_HELPER, 1, MIN (tess_parallel_get_threads (), MAX_HELPERS));
  g_autofree TessCodecJob *jobs = g_new0 (TessCodecJob, paths->len);
  g_autofree Share *shares = g_new0 (Share, n_shares);
  g_autofree TessThread **threads = g_new0 (TessThread *, n_shares);
  gboolean done = TRUE;

  for (guint i = 0; i < paths->len; i++)
    jobs[i].path = g_ptr_array_index (paths, i);
  for (guint k = 0; k < n_shares; k++) {
    guint begin = (guint)((guint64)paths->len * k / n_shares), end = (guint)((guint64)paths->len * (k + 1) / n_shares);

    shares[k] = (Share){.jobs = jobs + begin,
                        .n = end - begin,
                        .files = g_ptr_array_new (),
                        .frames = g_ptr_array_new (),
                        .referenced = g_ptr_array_new_with_free_func (g_free),
                        .progress = progress,
                        .report = k == 0};
    if (k > 0)
      threads[k] = tess_thread_new ("dicom scan", 0, scan_share, &shares[k]);
  }
  scan_share (&shares[0]);
  for (guint k = 0; k < n_shares; k++) {
    tess_thread_join (threads[k]);
    done = gather (study, &shares[k], referenced, error) && done;
  }
  return done;
}

/* Structure sets of a study whose scans are not among these files. */
static gboolean
lacks_scan (const TessDicomStudy *study, GPtrArray *files)
{
  for (guint i = 0; i < study->files->len; i++) {
    const TessDicomStructures *structures = ((TessDicomFile *)g_ptr_array_index (study->files, i))->structures;
    gboolean found = structures == NULL;

    for (guint k = 0; k < files->len && !found; k++)
      found = tess_dicom_structures_match (structures, g_ptr_array_index (files, k)) == TESS_DICOM_SAME_SERIES;
    if (!found)
      return TRUE;
  }
  return FALSE;
}

static TessDicomStudy *
study_alloc (const char *path)
{
  TessDicomStudy *study = g_new0 (TessDicomStudy, 1);

  study->path = g_strdup (path);
  study->files = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_dicom_file_free);
  study->frames = g_ptr_array_new_with_free_func (g_free);
  return study;
}

/* Folders that hold everything else, too. */
static gboolean
is_common_folder (const char *folder)
{
  return strcmp (folder, "/") == 0 || strcmp (folder, g_get_home_dir ()) == 0 || strcmp (folder, g_get_tmp_dir ()) == 0;
}

/* The scan may lie beside the structure set, or in a folder beside its folder. What cannot be read there is no concern
 * of who asked for the structure set. */
static void
look_around (TessDicomStudy *study, TessProgress *progress)
{
  g_autofree char *full = g_canonicalize_filename (study->path, NULL), *parent = g_path_get_dirname (full);
  g_autofree char *grandparent = g_path_get_dirname (parent);
  const char *const places[] = {parent, g_file_test (full, G_FILE_TEST_IS_DIR) ? NULL : grandparent};

  for (guint i = 0; i < G_N_ELEMENTS (places) && places[i] && !is_common_folder (places[i]); i++) {
    g_autoptr (GPtrArray) paths = tess_dicom_candidates (places[i], MAX_AROUND, NULL);
    g_autoptr (GPtrArray) referenced = g_ptr_array_new_with_free_func (g_free);

    if (!paths)
      continue;
    tess_dicom_study_free (study->around);
    study->around = study_alloc (places[i]);
    if (!scan (study->around, paths, referenced, progress, NULL)) /* cancelled: the next check tells */
      return;
    if (!lacks_scan (study, study->around->files))
      return;
  }
}

static int
by_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/**
 * tess_dicom_study_new:
 * @path: a file, a folder or a DICOMDIR
 *
 * Files that cannot be read are counted; it fails when no picture is left, with what was wrong with the first file.
 */
TessDicomStudy *
tess_dicom_study_new (const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessDicomStudy) study = study_alloc (path);
  g_autoptr (GPtrArray) referenced = g_ptr_array_new_with_free_func (g_free), paths = NULL;
  g_autofree char *name = g_filename_display_name (path);
  g_autoptr (GError) failure = NULL;
  gboolean done;

  paths = tess_dicom_candidates (path, 0, error);
  if (!paths)
    return NULL;
  study->n_candidates = paths->len;
  done = scan (study, paths, referenced, progress, &failure);
  if (done && referenced->len > 0) {
    g_autoptr (GPtrArray) further = g_ptr_array_new_with_free_func (g_free); /* a DICOMDIR names none: left alone */

    g_ptr_array_sort (referenced, by_text);
    study->n_candidates = referenced->len;
    done = scan (study, referenced, further, progress, &failure);
  }
  if (!done) {
    if (failure->code != TESS_ERROR_CANCELLED)
      g_prefix_error (&failure, "%s: ", name);
    g_propagate_error (error, g_steal_pointer (&failure));
    return NULL;
  }
  if (lacks_scan (study, study->files))
    look_around (study, progress);
  if (study->frames->len > 0)
    return g_steal_pointer (&study);
  if (study->first_failure || study->without_pictures)
    g_propagate_error (error, study->first_failure ? g_steal_pointer (&study->first_failure)
                                                   : g_steal_pointer (&study->without_pictures));
  else
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: it names no file with a picture; give the folder of the scan"), name);
  return NULL;
}
