#include "tess-cli.h"
#include "tess-format-registry.h"
#include "tess-parallel.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean
tess_cli_parse (TessCli *cli, int *argc, char ***argv, const GOptionEntry *entries, const char *operands,
                const char *summary, int min_operands, int max_operands, int *exit_code)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autofree char *name = g_strdup ((*argv)[0]);
  g_autofree char *program = g_strdup_printf ("tessera-cli %s", name);
  g_autofree char *usage = g_strdup_printf (_ ("Usage: %s%s%s [options]"), program, *operands ? " " : "", operands);
  gboolean help = FALSE;
  GError *error = NULL;
  const GOptionEntry common[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &cli->json, N_ ("print the result as JSON"), NULL},
      {"backend", 0, 0, G_OPTION_ARG_STRING, &cli->backend, N_ ("what computes: auto, cpu or cuda"), "NAME"},
      {"device", 0, 0, G_OPTION_ARG_INT, &cli->device,
       N_ ("which of its devices, as `devices` counts them (0; under mpirun each process its own)"), "N"},
      {"precision", 0, 0, G_OPTION_ARG_STRING, &cli->precision, N_ ("auto, bf16 or f32"), "NAME"},
      {"threads", 0, 0, G_OPTION_ARG_INT, &cli->threads, N_ ("processor threads (0: all cores)"), "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &cli->seed, N_ ("seed of everything random"), "S"},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &cli->quiet, N_ ("say nothing but results and failures"), NULL},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &help, N_ ("show this help"), NULL},
      {NULL},
  };

  g_option_context_set_help_enabled (context, FALSE);
  if (entries)
    g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, common, GETTEXT_PACKAGE);

  if (!g_option_context_parse (context, argc, argv, &error)) {
    fprintf (stderr, "tessera-cli: %s: %s\n", name, error->message);
    g_error_free (error);
    *exit_code = 2;
    return FALSE;
  }
  if (help) {
    g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
    const char *options = strstr (text, "\n\n"); /* after GLib's own usage line */

    printf ("%s\n\n%s%s", usage, summary, options ? options : "\n");
    *exit_code = 0;
    return FALSE;
  }
  if (*argc > 1 && strcmp ((*argv)[1], "--") == 0) {
    memmove (*argv + 1, *argv + 2, sizeof (char *) * (gsize)(*argc - 1));
    (*argc)--;
  }
  if (*argc - 1 < min_operands || (max_operands >= 0 && *argc - 1 > max_operands)) {
    fprintf (stderr, "tessera-cli: %s: %s\n%s\n", name,
             *argc - 1 < min_operands ? _ ("something is missing") : _ ("too many operands"), usage);
    *exit_code = 2;
    return FALSE;
  }
  if (cli->threads < 0 || cli->threads > 1024) {
    fprintf (stderr, _ ("tessera-cli: --threads %d: give a number from 0 (all cores) to 1024\n"), cli->threads);
    *exit_code = 2;
    return FALSE;
  }
  if (cli->seed < -1) {
    fprintf (stderr, _ ("tessera-cli: --seed %" PRId64 ": give a whole number of at least 0\n"), cli->seed);
    *exit_code = 2;
    return FALSE;
  }
  tess_parallel_set_threads ((guint)cli->threads); /* of this thread's loops */
  return TRUE;
}

int
tess_cli_columns (const char *text)
{
  int n = 0;

  if (!g_utf8_validate (text, -1, NULL)) /* a name on disk may be anything */
    return (int)strlen (text);
  for (const char *p = text; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    n += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
  }
  return n;
}

void
tess_cli_print_row (const char *const *text, const int *columns, guint n, const char *between)
{
  for (guint i = 0; i < n; i++) {
    int fill = MAX (ABS (columns[i]) - tess_cli_columns (text[i]), 0);

    printf ("%s%*s%s%*s", i ? between : "", columns[i] < 0 ? fill : 0, "", text[i], columns[i] < 0 ? 0 : fill, "");
  }
  printf ("\n");
}

int
tess_cli_fail (GError *error)
{
  int code = g_error_matches (error, TESS_ERROR, TESS_ERROR_USAGE) ? 2 : 1;

  g_strdelimit (error->message, "\r\n\t\033", '?'); /* one line, whatever a file is called */
  fprintf (stderr, "tessera-cli: %s\n", error->message);
  g_error_free (error);
  return code;
}

/* The progress Ctrl-C cancels; cancelling is one atomic store, which a signal handler may do. */
static TessProgress *volatile current_progress;
static volatile sig_atomic_t interrupted;

static void
interrupt_cb (int number)
{
  TessProgress *progress = current_progress;

  if (interrupted++)
    _exit (130);
  if (progress)
    tess_progress_cancel (progress);
}

gboolean
tess_cli_interrupted (void)
{
  return interrupted != 0;
}

typedef struct {
  char *label;
  gint64 last_drawn; /* microseconds */
  gboolean terminal, drawn;
} Bar;

static Bar bar;

static void
draw_cb (TessProgress *progress, double fraction, gpointer user_data)
{
  gint64 now = g_get_monotonic_time ();
  int width = 30, filled = (int)(fraction * width + 0.5);

  if (!bar.terminal || (now - bar.last_drawn < 100000 && fraction < 1.0))
    return;
  bar.last_drawn = now;
  bar.drawn = TRUE;
  fprintf (stderr, "\r%s [%.*s%*s] %3.0f %%", bar.label, filled, "##############################", width - filled, "",
           fraction * 100.0);
  fflush (stderr);
}

/* The signal does what Ctrl-C does. */
void
tess_cli_interrupt_on (int number)
{
  struct sigaction action = {.sa_handler = interrupt_cb};

  sigaction (number, &action, NULL);
}

TessProgress *
tess_cli_progress (TessCli *cli, const char *label)
{
  TessProgress *progress = tess_progress_new ();
  bar = (Bar){.label = g_strdup (label), .terminal = !cli->quiet && isatty (STDERR_FILENO)};
  tess_progress_set_notify (progress, draw_cb, NULL);
  current_progress = progress;
  tess_cli_interrupt_on (SIGINT);
  tess_cli_interrupt_on (SIGTERM);
  return progress;
}

void
tess_cli_progress_end (TessProgress *progress)
{
  current_progress = NULL;
  if (bar.drawn)
    fprintf (stderr, "\r\033[K");
  g_clear_pointer (&bar.label, g_free);
  tess_progress_unref (progress);
}

void
tess_cli_print_json (JsonNode *root)
{
  g_autofree char *text = tess_json_to_text (root, TRUE);

  printf ("%s\n", text);
  json_node_unref (root);
}

void
tess_cli_note (TessCli *cli, const char *format, ...)
{
  va_list args;

  if (cli->quiet)
    return;
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
}

void
tess_cli_note_lines (TessCli *cli, const GPtrArray *lines)
{
  for (guint i = 0; i < lines->len; i++)
    tess_cli_note (cli, "%s", (const char *)lines->pdata[i]);
}

/* Processes of one machine go round its devices. */
static gboolean
choose_device (TessCli *cli, const TessBackendIface *backend, guint *device, GError **error)
{
  guint n = backend->n_devices (error);

  if (n == 0)
    return FALSE;
  *device = cli->device >= 0 ? (guint)cli->device : cli->local_rank % n;
  if (*device < n && cli->device >= -1)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
               g_dngettext (GETTEXT_PACKAGE,
                            "--device %d: the %s backend has %u device, counted from 0; see tessera-cli devices",
                            "--device %d: the %s backend has %u devices, counted from 0; see tessera-cli devices", n),
               cli->device, backend->id, n);
  return FALSE;
}

gboolean
tess_cli_backend (TessCli *cli, const TessBackendIface **backend, guint *device, guint *n_threads, TessDType *act_dtype,
                  GError **error)
{
  g_autofree char *why = NULL;
  const char *precision = cli->precision ? cli->precision : "auto";
  TessDeviceInfo info;

  if (strcmp (precision, "auto") && strcmp (precision, "bf16") && strcmp (precision, "f32")) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--precision %s: use auto, bf16 or f32"), precision);
    return FALSE;
  }
  *backend = tess_backend_choose (cli->backend ? cli->backend : "auto", &why, error);
  if (!*backend || !choose_device (cli, *backend, device, error))
    return FALSE;
  *n_threads = (guint)cli->threads;
  if (!(*backend)->device_info (*device, &info, error))
    return FALSE;
  if (strcmp (precision, "bf16") == 0)
    *act_dtype = TESS_DTYPE_BF16;
  else
    *act_dtype = strcmp (precision, "auto") == 0 && info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
  if ((*backend)->n_devices (NULL) > 1)
    tess_cli_note (cli, _ ("%s: device %u: %s, %s"), why, *device, info.name,
                   *act_dtype == TESS_DTYPE_BF16 ? "bf16" : "f32");
  else
    tess_cli_note (cli, _ ("%s: %s, %s"), why, info.name, *act_dtype == TESS_DTYPE_BF16 ? "bf16" : "f32");
  return TRUE;
}

gboolean
tess_cli_triple (const char *text, const char *option, gint64 lo, gint64 hi, gint64 out[3], GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text ? text : "", ",", -1);
  guint n = g_strv_length (parts);

  for (guint i = 0; i < n && n <= 3; i++)
    if (!g_ascii_string_to_signed (parts[i], 10, lo, hi, &out[i], NULL))
      n = 4;
  if (n == 1)
    out[1] = out[2] = out[0];
  else if (n != 3) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("%s %s: give one whole number, or three as X,Y,Z, from %" PRId64 " to %" PRId64), option,
                 text ? text : "", lo, hi);
    return FALSE;
  }
  return TRUE;
}

gboolean
tess_cli_bytes (const char *text, const char *option, guint64 *bytes, GError **error)
{
  static const char units[] = "KMGT";
  char *end = NULL;
  double value = g_ascii_strtod (text, &end);
  const char *unit = *end ? strchr (units, g_ascii_toupper (*end)) : NULL;
  double base = 1000.0;

  if (end == text)
    value = -1.0;
  if (unit) {
    end++;
    if (*end == 'i') {
      base = 1024.0;
      end++;
    }
    for (const char *u = units; u <= unit; u++)
      value *= base;
  }
  if (*end == 'B' || *end == 'b')
    end++;
  if (*end != '\0' || !(value >= 1.0 && value < 0x1p60)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s %s: give a number of bytes such as 500M, 4G or 1.5G"),
                 option, text);
    return FALSE;
  }
  *bytes = (guint64)value;
  return TRUE;
}

/* One volume on the disk, by whatever names it goes. */
static gboolean
same_volume (const char *a, const char *b)
{
  g_autofree char *file_a = tess_volume_main_file (a), *file_b = tess_volume_main_file (b);
  struct stat x, y;

  return stat (file_a, &x) == 0 && stat (file_b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/**
 * tess_cli_check_output:
 *
 * What is known before a long work is said before it. A scan that is read is never written over by what is made of it.
 */
gboolean
tess_cli_check_output (const char *output, const char *const *inputs, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (output);

  for (; *inputs; inputs++)
    if (same_volume (output, *inputs)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s: is also the input; choose another name for the output"),
                   output);
      return FALSE;
    }
  if (access (folder, W_OK | X_OK) != 0 || (access (output, W_OK) != 0 && errno != ENOENT)) {
    tess_error_set_errno (error, output, errno, _ ("write"));
    return FALSE;
  }
  return TRUE;
}

/* dilation: "1,2,4,..." or NULL */
TessModel *
tess_cli_load_model (const char *path, const char *dilation, GError **error)
{
  g_auto (GStrv) words = g_strsplit (dilation ? dilation : "", ",", -1);
  gint64 numbers[TESS_MAX_DILATIONS];
  guint n = 0;

  for (; words[n]; n++)
    if (n == TESS_MAX_DILATIONS || !g_ascii_string_to_signed (words[n], 10, 1, 64, &numbers[n], NULL)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                   _ ("--dilation %s: must be 1 to %d whole numbers from 1 to 64 with commas between them"), dilation,
                   TESS_MAX_DILATIONS);
      return NULL;
    }
  return tess_model_load_dilated (path, numbers, n, error);
}
