#include "tess-cli.h"

#include "tess-phantom.h"

#include <inttypes.h>
#include <stdio.h>

static int
print_result (TessCli *cli, const char *out, const TessPhantomOptions *options)
{
  if (cli->json) {
    JsonNode *root = json_node_new (JSON_NODE_OBJECT);
    JsonObject *object = json_object_new ();
    JsonArray *size = json_array_new ();

    for (int a = 0; a < 3; a++)
      json_array_add_int_element (size, options->size[a]);
    json_object_set_string_member (object, "directory", out);
    json_object_set_int_member (object, "cases", options->n_cases);
    json_object_set_int_member (object, "test", options->n_test);
    json_object_set_array_member (object, "size", size);
    json_object_set_int_member (object, "seed", (gint64)options->seed);
    json_node_take_object (root, object);
    tess_cli_print_json (root);
  } else
    printf (_ ("%s: %u labelled scans of about %" PRId64 " x %" PRId64 " x %" PRId64 " voxels, %u held out\n"), out,
            options->n_cases, options->size[0], options->size[1], options->size[2], options->n_test);
  return 0;
}

int
tess_cmd_phantom (TessCli *cli, int argc, char **argv)
{
  g_autofree char *out = NULL, *size = NULL;
  int n_cases = G_MININT, n_test = 1, exit_code = 0;
  TessPhantomOptions options = {.size = {64, 64, 48}};
  TessProgress *progress;
  GError *error = NULL;
  gboolean ok;
  const GOptionEntry entries[] = {
      {"out", 'o', 0, G_OPTION_ARG_FILENAME, &out, N_ ("a new or empty folder"), "DIR"},
      {"cases", 0, 0, G_OPTION_ARG_INT, &n_cases, N_ ("labelled scans to train on"), "N"},
      {"test", 0, 0, G_OPTION_ARG_INT, &n_test, N_ ("held-out scans, in imagesTs and labelsTs (default 1)"), "N"},
      {"size", 0, 0, G_OPTION_ARG_STRING, &size, N_ ("voxels, about (default 64,64,48)"), "X,Y,Z"},
      {NULL},
  };

  if (!tess_cli_parse (cli, &argc, &argv, entries, "--out DIR --cases N",
                       _ ("Makes a labelled dataset of synthetic torso scans in nnU-Net's raw layout."), 0, 0,
                       &exit_code))
    return exit_code;
  if (!out) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("phantom: no folder was named; give --out DIR"));
    return tess_cli_fail (error);
  }
  if (n_cases == G_MININT) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("phantom: --cases N is missing; say how many scans to make"));
    return tess_cli_fail (error);
  }
  if (n_cases < 1 || n_cases > 9999) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--cases %d: give a number of scans from 1 to 9999"),
                 n_cases);
    return tess_cli_fail (error);
  }
  if (n_test < 0 || n_test > 9999) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--test %d: give a number of scans from 0 to 9999"), n_test);
    return tess_cli_fail (error);
  }
  if (size && !tess_cli_triple (size, "--size", 16, 1024, options.size, &error))
    return tess_cli_fail (error);
  options.n_cases = (guint)n_cases;
  options.n_test = (guint)n_test;
  options.seed = cli->seed < 0 ? 0 : (guint64)cli->seed;

  progress = tess_cli_progress (cli, _ ("Making scans"));
  ok = tess_phantom_write (out, &options, progress, &error);
  tess_cli_progress_end (progress);
  return ok ? print_result (cli, out, &options) : tess_cli_fail (error);
}
