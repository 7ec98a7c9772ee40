#include "tess-dataset-private.h"

#include "tess-plan.h"

#include <stdlib.h>
#include <string.h>

/* A readable file of imagesTr or labelsTr. */
typedef struct {
  char *path, *stem;
} Found;

typedef struct {
  char *path;
  int channel; /* -1: no channel suffix */
} Member;

typedef struct {
  char *id;
  GArray *members; /* Member */
} Draft;

static void
found_free (gpointer data)
{
  Found *found = data;

  g_free (found->path);
  g_free (found->stem);
  g_free (found);
}

static void
member_clear (gpointer data)
{
  g_free (((Member *)data)->path);
}

static void
draft_free (gpointer data)
{
  Draft *draft = data;

  g_free (draft->id);
  g_array_unref (draft->members);
  g_free (draft);
}

static int
compare_found (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(Found *const *)a)->path, (*(Found *const *)b)->path);
}

static int
compare_drafts (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(Draft *const *)a)->id, (*(Draft *const *)b)->id);
}

static int
compare_members (gconstpointer a, gconstpointer b)
{
  return ((const Member *)a)->channel - ((const Member *)b)->channel;
}

static gboolean
is_readable_format (const char *path)
{
  for (guint i = 0; i < tess_formats_n (); i++)
    if (tess_format_stem_length (tess_formats_nth (i), path) > 0)
      return TRUE;
  return FALSE;
}

/* Every file of `folder` some format reads, sorted by name. Hidden files (macOS leaves ._NAME beside NAME) and folders
 * are passed over, and endings other than `ending` when at least one file has that. */
static GPtrArray *
list_folder (const char *folder, const char *ending, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (found_free);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (found_free);
  g_autoptr (GDir) dir = NULL;
  gboolean any_ending = FALSE;
  const char *name;
  GError *local = NULL;

  dir = g_dir_open (folder, 0, &local);
  if (!dir) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: the folder cannot be read (%s); check its permissions"),
                 folder, local->message);
    g_error_free (local);
    return NULL;
  }
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    Found *found;

    if (name[0] == '.' || tess_volume_is_companion (path) || !is_readable_format (path) ||
        g_file_test (path, G_FILE_TEST_IS_DIR))
      continue;
    found = g_new0 (Found, 1);
    found->stem = tess_volume_stem (path);
    found->path = g_steal_pointer (&path);
    g_ptr_array_add (all, found);
    any_ending |= ending && g_str_has_suffix (name, ending);
  }
  while (all->len) {
    Found *found = g_ptr_array_steal_index_fast (all, all->len - 1);

    if (any_ending && !g_str_has_suffix (found->path, ending))
      found_free (found);
    else
      g_ptr_array_add (files, found);
  }
  g_ptr_array_sort (files, compare_found);
  return g_steal_pointer (&files);
}

/* "NAME_0001" -> length of NAME and 1; -1 when there is no such suffix. */
static int
channel_suffix (const char *stem, gsize *length)
{
  gsize n = strlen (stem);

  *length = n;
  if (n < 6 || stem[n - 5] != '_')
    return -1;
  for (gsize i = n - 4; i < n; i++)
    if (!g_ascii_isdigit (stem[i]))
      return -1;
  *length = n - 5;
  return atoi (stem + n - 4);
}

/* Groups the images by scan. A name that has a label map of exactly its own name is a whole scan, even when it ends in
 * four digits; else _NNNN is the channel. */
static GPtrArray *
group_images (GPtrArray *images, GHashTable *labels)
{
  g_autoptr (GHashTable) by_id = g_hash_table_new (g_str_hash, g_str_equal); /* keys belong to the drafts */
  GPtrArray *drafts = g_ptr_array_new_with_free_func (draft_free);

  for (guint i = 0; i < images->len; i++) {
    Found *found = g_ptr_array_index (images, i);
    Member member = {.path = g_strdup (found->path), .channel = -1};
    gsize length = strlen (found->stem);
    g_autofree char *id = NULL;
    Draft *draft;

    if (!g_hash_table_contains (labels, found->stem))
      member.channel = channel_suffix (found->stem, &length);
    id = g_strndup (found->stem, length);
    draft = g_hash_table_lookup (by_id, id);
    if (!draft) {
      draft = g_new0 (Draft, 1);
      draft->id = g_steal_pointer (&id);
      draft->members = g_array_new (FALSE, FALSE, sizeof (Member));
      g_array_set_clear_func (draft->members, member_clear);
      g_ptr_array_add (drafts, draft);
      g_hash_table_insert (by_id, draft->id, draft);
    }
    g_array_append_val (draft->members, member);
  }
  g_ptr_array_sort (drafts, compare_drafts);
  for (guint i = 0; i < drafts->len; i++)
    g_array_sort (((Draft *)g_ptr_array_index (drafts, i))->members, compare_members);
  return drafts;
}

static gboolean
check_draft (const Draft *draft, guint expected, GError **error)
{
  const Member *members = (const Member *)(void *)draft->members->data;
  guint n = draft->members->len;

  for (guint i = 1; i < n; i++)
    if (members[i].channel == members[i - 1].channel || members[0].channel < 0) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: holds the same channel of scan %s as %s; keep one of the two files"), members[i].path,
                   draft->id, members[i - 1].path);
      return FALSE;
    }
  for (guint i = 0; i < MAX (n, expected); i++) {
    if (i < n && (members[i].channel == (int)i || members[i].channel < 0))
      continue;
    if (i >= n && n == 1 && members[0].channel < 0)
      break;
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: scan %s has no file for channel %04u; add it or take the scan out of the dataset"),
                 members[0].path, draft->id, i);
    return FALSE;
  }
  if (n > expected) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_MISMATCH,
        _ ("%s: is channel %u of scan %s, but dataset.json names only %u; remove the file or name the channel"),
        members[n - 1].path, n - 1, draft->id, expected);
    return FALSE;
  }
  return TRUE;
}

static GHashTable *
index_labels (GPtrArray *labels, GError **error)
{
  g_autoptr (GHashTable) by_stem = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < labels->len; i++) {
    Found *found = g_ptr_array_index (labels, i), *other = g_hash_table_lookup (by_stem, found->stem);

    if (other) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: is a second label map of scan %s beside %s; keep one of the two files"), found->path,
                   found->stem, other->path);
      return NULL;
    }
    g_hash_table_insert (by_stem, found->stem, found);
  }
  return g_steal_pointer (&by_stem);
}

static gboolean
pair_cases (TessDataset *dataset, GPtrArray *drafts, GPtrArray *labels, GHashTable *by_stem, GError **error)
{
  for (guint i = 0; i < drafts->len; i++) {
    Draft *draft = g_ptr_array_index (drafts, i);
    Found *label = g_hash_table_lookup (by_stem, draft->id);
    TessCaseFiles *files;

    if (!label) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: there is no label map for this scan; put one named %s into labelsTr or move the scan away"),
                   g_array_index (draft->members, Member, 0).path, draft->id);
      return FALSE;
    }
    files = g_new0 (TessCaseFiles, 1);
    files->id = g_strdup (draft->id);
    files->label_path = g_strdup (label->path);
    files->image_paths = g_new0 (char *, draft->members->len + 1);
    for (guint m = 0; m < draft->members->len; m++)
      files->image_paths[m] = g_strdup (g_array_index (draft->members, Member, m).path);
    g_ptr_array_add (dataset->cases, files);
    g_hash_table_remove (by_stem, draft->id);
  }
  for (guint i = 0; i < labels->len; i++) {
    Found *label = g_ptr_array_index (labels, i);

    if (g_hash_table_contains (by_stem, label->stem)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: there is no scan in imagesTr for this label map; add the scan or move the label map away"),
                   label->path);
      return FALSE;
    }
  }
  return TRUE;
}

/* A sentence for a folder that does not hold imagesTr: where it probably is. */
static void
set_no_folder_error (const TessDataset *dataset, const char *missing, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (dataset->directory);
  g_autofree char *sibling = g_build_filename (parent, missing, NULL);
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (g_file_test (sibling, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: holds no folder %s; give the folder above it, %s"),
                 dataset->directory, missing, parent);
    return;
  }
  dir = g_dir_open (dataset->directory, 0, NULL);
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *inside = g_build_filename (dataset->directory, name, missing, NULL);

    if (g_file_test (inside, G_FILE_TEST_IS_DIR)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: holds no folder %s; one of the datasets in it is %s"),
                   dataset->directory, missing, name);
      return;
    }
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
               _ ("%s: holds no folder %s; is this the folder that holds imagesTr and labelsTr?"), dataset->directory,
               missing);
}

gboolean
tess_dataset_scan (TessDataset *dataset, const char *file_ending, guint *n_files_a_scan, GError **error)
{
  g_autofree char *images_dir = g_build_filename (dataset->directory, "imagesTr", NULL);
  g_autofree char *labels_dir = g_build_filename (dataset->directory, "labelsTr", NULL);
  g_autoptr (GPtrArray) images = NULL, labels = NULL, drafts = NULL;
  g_autoptr (GHashTable) by_stem = NULL;
  guint most = 0, expected;

  if (!g_file_test (images_dir, G_FILE_TEST_IS_DIR)) {
    set_no_folder_error (dataset, "imagesTr", error);
    return FALSE;
  }
  if (!g_file_test (labels_dir, G_FILE_TEST_IS_DIR)) {
    set_no_folder_error (dataset, "labelsTr", error);
    return FALSE;
  }
  if (!(images = list_folder (images_dir, file_ending, error)) ||
      !(labels = list_folder (labels_dir, file_ending, error)) || !(by_stem = index_labels (labels, error)))
    return FALSE;
  if (images->len == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("%s: holds no scan in a format this program reads; put the scans there (NAME_0000.nii.gz)"),
                 images_dir);
    return FALSE;
  }
  drafts = group_images (images, by_stem);
  for (guint i = 0; i < drafts->len; i++)
    most = MAX (most, ((Draft *)g_ptr_array_index (drafts, i))->members->len);
  /* One file a scan everywhere: it may hold all the channels, so their number is checked when it is read. */
  expected = most > 1 && dataset->n_channels > 0 ? dataset->n_channels : most;
  for (guint i = 0; i < drafts->len; i++)
    if (!check_draft (g_ptr_array_index (drafts, i), expected, error))
      return FALSE;
  if (most > TESS_MAX_CHANNELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: the scans have %u channels, more than %d; leave some out"), images_dir, most,
                 TESS_MAX_CHANNELS);
    return FALSE;
  }
  *n_files_a_scan = most;
  return pair_cases (dataset, drafts, labels, by_stem, error);
}
