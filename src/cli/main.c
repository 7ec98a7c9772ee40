#include "tess-cli.h"
#include "tess-cpu-backend.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  const char *name;
  TessCliFunc run;
  const char *summary;
} Command;

static const Command commands[] = {
    {"info", tess_cmd_info, N_ ("show what a file holds")},
    {"convert", tess_cmd_convert, N_ ("write a volume in another format, geometry and values kept")},
    {"phantom", tess_cmd_phantom, N_ ("make a labelled dataset of synthetic scans")},
    {"plan", tess_cmd_plan, N_ ("look at a dataset and decide how to train on it")},
    {"patches", tess_cmd_patches, N_ ("cut a volume into patches and put it back")},
    {"train", tess_cmd_train, N_ ("train a network on a dataset")},
    {"predict", tess_cmd_predict, N_ ("segment scans with a trained model")},
    {"evaluate", tess_cmd_evaluate, N_ ("compare segmentations with their references")},
    {"render", tess_cmd_render, N_ ("draw a scan as a picture, without a display")},
    {"devices", tess_cmd_devices, N_ ("list what can compute here")},
};

static void
print_usage (FILE *to)
{
  fprintf (to, _ ("Usage: tessera-cli COMMAND ... [--json] [--backend auto|cpu|cuda] [--precision auto|bf16|f32] "
                  "[--threads N] [--seed S] [--quiet]\n\nCommands:\n"));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (to, "  %-10s %s\n", commands[i].name, _ (commands[i].summary));
  fprintf (to, _ ("\n`tessera-cli COMMAND --help` explains a command.\n"));
}

/* A result that could not be written is a failure, too. */
static int
end_output (int code)
{
  GError *error = NULL;

  if (fflush (stdout) == 0 && !ferror (stdout))
    return code;
  tess_error_set_errno (&error, _ ("standard output"), errno, _ ("write"));
  tess_cli_fail (error);
  return code ? code : 1;
}

int
main (int argc, char **argv)
{
  const char *locale_dir = g_getenv ("TESSERA_LOCALE_DIR"); /* where translations are when we are not installed */

  setlocale (LC_ALL, "");
  setlocale (LC_NUMERIC, "C"); /* results are read by programs */
  bindtextdomain (GETTEXT_PACKAGE, locale_dir ? locale_dir : TESS_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);

  tess_backend_register (tess_cpu_backend ());

  if (argc < 2) {
    print_usage (stderr);
    return 2;
  }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 || strcmp (argv[1], "help") == 0) {
    print_usage (stdout);
    return 0;
  }
  if (strcmp (argv[1], "--version") == 0) {
    printf ("tessera-cli " TESS_VERSION "\n");
    return 0;
  }
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0) {
      TessCli cli = {.device = -1, .seed = -1};
      int code = end_output (commands[i].run (&cli, argc - 1, argv + 1));

      g_free (cli.backend);
      g_free (cli.precision);
      return code;
    }
  fprintf (stderr, _ ("tessera-cli: there is no command \"%s\"; `tessera-cli --help` lists them\n"), argv[1]);
  return 2;
}
