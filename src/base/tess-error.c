#include "tess-error.h"

#include <errno.h>

GQuark
tess_error_quark (void)
{
  return g_quark_from_static_string ("tess-error-quark");
}

/* What the user can do about it. */
static const char *
remedy (int number)
{
  switch (number) {
  case ENOENT:
    return _ ("check the name and that its folder exists");
  case EACCES:
  case EPERM:
    return _ ("check the permissions of the file and its folder");
  case EROFS:
    return _ ("choose a place that can be written");
  case ENOSPC:
  case EDQUOT:
    return _ ("free some space or choose another disk");
  case EISDIR:
    return _ ("give a file, not a folder");
  case ENOTDIR:
    return _ ("a part of the path is a file; check the path");
  case EEXIST:
    return _ ("remove it or choose another name");
  case ENAMETOOLONG:
    return _ ("choose a shorter name");
  case ELOOP:
    return _ ("check the links on the way");
  case EMFILE:
  case ENFILE:
    return _ ("too many files are open; close other programs and try again");
  case EFBIG:
    return _ ("choose a disk that holds larger files");
  case EIO:
    return _ ("check the disk and the connection to it");
  case ENOMEM:
    return _ ("close other programs and try again");
  default:
    return _ ("check the file and try again");
  }
}

/**
 * tess_error_set_errno:
 * @path: the file the system call was about
 * @saved_errno: errno as it was right after the call
 * @doing: a verb in the infinitive, already translated: "open", "read", "write", "create"
 *
 * Sets a TESS_ERROR_IO (TESS_ERROR_NO_MEMORY for ENOMEM) that reads
 * "PATH: cannot DOING: reason of the system; what to do". errno is left as @saved_errno.
 */
void
tess_error_set_errno (GError **error, const char *path, int saved_errno, const char *doing)
{
  g_autofree char *name = g_filename_display_name (path);

  for (char *p = name; *p; p++)
    if (g_ascii_iscntrl (*p)) /* a message stays one line, whatever the file is called */
      *p = '?';
  g_set_error (error, TESS_ERROR, saved_errno == ENOMEM ? TESS_ERROR_NO_MEMORY : TESS_ERROR_IO,
               _ ("%s: cannot %s: %s; %s"), name, doing, g_strerror (saved_errno), remedy (saved_errno));
  errno = saved_errno;
}

gboolean
tess_error_first (GError *const *errors, gsize n, GError **error)
{
  gboolean none = TRUE;

  for (gsize i = 0; i < n; i++) {
    if (!errors[i])
      continue;
    if (none)
      g_propagate_error (error, errors[i]);
    else
      g_error_free (errors[i]);
    none = FALSE;
  }
  return none;
}
