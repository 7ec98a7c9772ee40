#include "tess-available-memory.h"

#include <string.h>

/* A whole number at the start of a small file; FALSE when it cannot be read or says "max". */
static gboolean
read_number (const char *root, const char *path, guint64 *value)
{
  g_autofree char *full = g_strconcat (root, path, NULL), *text = NULL;

  if (!g_file_get_contents (full, &text, NULL, NULL))
    return FALSE;
  g_strstrip (text);
  return g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, value, NULL);
}

/* "KEY  NUMBER" in a file of such lines (/proc/meminfo, memory.stat). */
static gboolean
read_key (const char *root, const char *path, const char *key, guint64 *value)
{
  g_autofree char *full = g_strconcat (root, path, NULL), *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (full, &text, NULL, NULL))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i]; i++)
    if (g_str_has_prefix (lines[i], key) && g_ascii_isspace (lines[i][strlen (key)])) {
      *value = g_ascii_strtoull (lines[i] + strlen (key), NULL, 10);
      return TRUE;
    }
  return FALSE;
}

/* What a control group leaves below its limit; file pages it could drop count as free. */
static void
limit_by_group (const char *root, const char *dir, gboolean v2, guint64 *available)
{
  g_autofree char *limit_path = g_build_filename (dir, v2 ? "memory.max" : "memory.limit_in_bytes", NULL);
  g_autofree char *used_path = g_build_filename (dir, v2 ? "memory.current" : "memory.usage_in_bytes", NULL);
  g_autofree char *stat_path = g_build_filename (dir, "memory.stat", NULL);
  guint64 limit, used = 0, droppable = 0;

  if (!read_number (root, limit_path, &limit))
    return;
  if (read_number (root, used_path, &used) &&
      read_key (root, stat_path, v2 ? "inactive_file" : "total_inactive_file", &droppable))
    used -= MIN (used, droppable);
  *available = MIN (*available, limit > used ? limit - used : 0);
}

/* The group a process is in and all above it; a container often sees only its own as the topmost. */
static void
limit_by_groups (const char *root, const char *mount, const char *group, gboolean v2, guint64 *available)
{
  g_autofree char *path = g_strdup (group);

  for (;;) {
    g_autofree char *dir = g_strconcat (mount, path, NULL);
    char *slash;

    limit_by_group (root, dir, v2, available);
    slash = strrchr (path, '/');
    if (!slash || path[0] == '\0' || strcmp (path, "/") == 0)
      break;
    *slash = '\0';
  }
}

/* Bytes of memory this process can still take: what the kernel calls available, and no more than its control groups
 * (version 1 or 2) leave. root: "" or, for tests, a folder that holds proc/ and sys/. 0 when nothing can be found out.
 */
guint64
tess_available_memory (const char *root)
{
  g_autofree char *path = g_strconcat (root, "/proc/self/cgroup", NULL), *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint64 kib, available = G_MAXUINT64;

  if (read_key (root, "/proc/meminfo", "MemAvailable:", &kib))
    available = kib * 1024;
  if (g_file_get_contents (path, &text, NULL, NULL))
    lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines && lines[i]; i++) { /* "ID:controllers:/path" */
    g_auto (GStrv) parts = g_strsplit (lines[i], ":", 3);

    if (g_strv_length (parts) < 3)
      continue;
    if (*parts[1] == '\0')
      limit_by_groups (root, "/sys/fs/cgroup", parts[2], TRUE, &available);
    else {
      g_auto (GStrv) controllers = g_strsplit (parts[1], ",", -1);

      if (g_strv_contains ((const char *const *)controllers, "memory"))
        limit_by_groups (root, "/sys/fs/cgroup/memory", parts[2], FALSE, &available);
    }
  }
  return available == G_MAXUINT64 ? 0 : available;
}
