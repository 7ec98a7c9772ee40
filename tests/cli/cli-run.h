#pragma once

#include "../remove-tree.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>

/* One run of tessera-cli (its path in TESSERA_TEST_CLI) in a folder of its own. */
typedef struct {
  char *folder, *out, *err;
  int code;
} CliRun;

/* Words are split at spaces. */
static inline void G_GNUC_PRINTF (2, 3) cli_run (CliRun *run, const char *format, ...)
{
  g_autofree char *line = NULL, *command = NULL;
  g_auto (GStrv) argv = NULL;
  GError *error = NULL;
  va_list args;
  int status;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  command = g_strconcat (g_getenv ("TESSERA_TEST_CLI"), " ", line, NULL);
  argv = g_strsplit (command, " ", -1);
  g_clear_pointer (&run->out, g_free);
  g_clear_pointer (&run->err, g_free);
  g_spawn_sync (run->folder, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &run->out, &run->err, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  run->code = WEXITSTATUS (status);
  g_test_message ("tessera-cli %s: %d\n%s", line, run->code, run->err);
}

/* Its standard output as JSON; free the node. */
static inline JsonObject *
cli_json (CliRun *run, JsonNode **root)
{
  GError *error = NULL;
  JsonObject *o = NULL;

  *root = tess_json_parse (run->out, -1, "stdout", &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (*root, "stdout", &o, &error));
  return o;
}

/* The run failed with this code and one line that says so. */
static inline void
cli_failed (CliRun *run, int code, const char *says)
{
  g_assert_cmpint (run->code, ==, code);
  g_assert_nonnull (strstr (run->err, "tessera-cli: "));
  g_assert_nonnull (strstr (run->err, says));
  g_assert_cmpstr (run->out, ==, "");
}

static inline void
cli_open (CliRun *run)
{
  GError *error = NULL;

  *run = (CliRun){.folder = g_dir_make_tmp ("tessera-cli-XXXXXX", &error)};
  g_assert_no_error (error);
}

static inline void
cli_close (CliRun *run)
{
  remove_tree (run->folder);
  g_free (run->folder);
  g_free (run->out);
  g_free (run->err);
}

static inline TessVolume *
cli_load (CliRun *run, const char *name)
{
  g_autofree char *path = g_build_filename (run->folder, name, NULL);
  GError *error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

static inline void
cli_save (CliRun *run, TessVolume *volume, const char *name)
{
  g_autofree char *path = g_build_filename (run->folder, name, NULL);
  GError *error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
}
