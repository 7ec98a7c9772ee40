/* Which files under a path may be DICOM. */
#include "tess-dicom-private.h"
#include "tess-dicom.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 16
#define MAX_FILES 200000u
#define MAX_LOOKED_AT 500u /* of a folder, before it is taken for one without DICOM */

/* "DICM" after a preamble of 128 bytes. */
static gboolean
has_mark (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  char mark[4] = {0};
  gboolean has = fd >= 0 && pread (fd, mark, 4, 128) == 4 && memcmp (mark, "DICM", 4) == 0;

  if (fd >= 0)
    close (fd);
  return has;
}

static gboolean
is_directory_file (const char *path)
{
  g_autofree char *base = g_path_get_basename (path);

  return g_ascii_strcasecmp (base, "DICOMDIR") == 0;
}

static gboolean
is_candidate (const char *path)
{
  return tess_format_stem_length (&tess_format_dicom, path) > 0 || has_mark (path);
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

typedef struct {
  GPtrArray *found;
  guint looked_at, most; /* files; 0: all */
  gboolean any;          /* one is enough */
} Walk;

/* Folders behind symbolic links are not entered: they may lead round in circles. */
static void
walk (Walk *w, const char *folder, guint depth)
{
  g_autoptr (GPtrArray) folders = g_ptr_array_new_with_free_func (g_free);
  DIR *dir = opendir (folder);
  struct dirent *item;

  while (dir && (item = readdir (dir)) && !(w->any && w->found->len) && !(w->most && w->looked_at >= w->most)) {
    g_autofree char *path = NULL;
    struct stat st, target;

    if (item->d_name[0] == '.')
      continue;
    path = g_build_filename (folder, item->d_name, NULL);
    if (lstat (path, &st) != 0 || stat (path, &target) != 0)
      continue;
    if (S_ISDIR (st.st_mode)) {
      g_ptr_array_add (folders, g_steal_pointer (&path));
    } else if (S_ISREG (target.st_mode) && !is_directory_file (path)) {
      w->looked_at++;
      if (w->any ? has_mark (path) : is_candidate (path))
        g_ptr_array_add (w->found, g_steal_pointer (&path));
    }
  }
  if (dir)
    closedir (dir);
  g_ptr_array_sort (folders, by_name);
  for (guint i = 0; i < folders->len && depth < MAX_DEPTH && w->found->len < MAX_FILES; i++) {
    if ((w->any && w->found->len) || (w->most && w->looked_at >= w->most))
      break;
    walk (w, g_ptr_array_index (folders, i), depth + 1);
  }
}

GPtrArray *
tess_dicom_candidates (const char *path, guint most, GError **error)
{
  Walk w = {.found = g_ptr_array_new_with_free_func (g_free), .most = most};

  if (!g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_ptr_array_add (w.found, g_strdup (path));
    return w.found;
  }
  walk (&w, path, 0);
  g_ptr_array_sort (w.found, by_name);
  if (w.found->len == 0) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: there is no DICOM file in this folder; give a file of another format inside it"), name);
    g_ptr_array_unref (w.found);
    return NULL;
  }
  return w.found;
}

/* A file without a known ending that carries DICOM's mark, or a folder with such files. */
gboolean
tess_dicom_claims (const char *path)
{
  g_autoptr (GPtrArray) found = NULL;
  struct stat st;

  if (stat (path, &st) != 0)
    return FALSE;
  if (S_ISREG (st.st_mode))
    return has_mark (path);
  if (!S_ISDIR (st.st_mode))
    return FALSE;
  found = g_ptr_array_new_with_free_func (g_free);
  walk (&(Walk){.found = found, .most = MAX_LOOKED_AT, .any = TRUE}, path, 0);
  return found->len > 0;
}
