#pragma once

#include "tess-backend.h"
#include "tess-json.h"
#include "tess-model.h"
#include "tess-progress.h"

G_BEGIN_DECLS

/* The options every command takes (DESIGN chapter 6). */
typedef struct {
  gboolean json, quiet;
  char    *backend;   /* "auto", "cpu", "cuda" */
  char    *precision; /* "auto", "bf16", "f32" */
  int      device;    /* of the backend's; -1 = not given */
  guint    local_rank; /* under mpirun: which process of this machine this is */
  int      threads;   /* 0 = all cores */
  gint64   seed;      /* -1 = not given */
} TessCli;

typedef int (*TessCliFunc) (TessCli *cli, int argc, char **argv); /* argv[0] = the command; returns the exit code */

/* Parses the common options and `entries`; what is left of argv are the operands, argv[1..argc-1]. min/max operands
 * are checked (max -1 = any). On a wrong use or --help it has printed what is to be said: return *exit_code. */
gboolean tess_cli_parse (TessCli *cli, int *argc, char ***argv, const GOptionEntry *entries, const char *operands,
                         const char *summary, int min_operands, int max_operands, int *exit_code);
/* Prints "tessera-cli: MESSAGE", frees the error; 2 for TESS_ERROR_USAGE, else 1. */
int      tess_cli_fail (GError *error);
/* A progress that draws a bar on standard error when that is a terminal and not --quiet; Ctrl-C cancels it. */
TessProgress *tess_cli_progress (TessCli *cli, const char *label);
void     tess_cli_progress_end (TessProgress *progress);
void     tess_cli_print_json (JsonNode *root); /* to standard output; takes the node */
void     tess_cli_note (TessCli *cli, const char *format, ...) G_GNUC_PRINTF (2, 3); /* a line on standard error unless --quiet */
void     tess_cli_note_lines (TessCli *cli, const GPtrArray *lines); /* the same for every char* */
/* How many columns of a terminal a text takes; and a line of n texts, each with spaces after it up to its columns
 * (before it where they are negative). printf counts bytes, which is wrong for all but English. */
int      tess_cli_columns (const char *text);
void     tess_cli_print_row (const char *const *text, const int *columns, guint n, const char *between);
gboolean tess_cli_interrupted (void); /* Ctrl-C was pressed */
void     tess_cli_interrupt_on (int number); /* this signal, too */
/* --backend, --device, --precision, --threads -> what to open; says on standard error which was chosen and why. */
gboolean tess_cli_backend (TessCli *cli, const TessBackendIface **backend, guint *device, guint *n_threads,
                           TessDType *act_dtype, GError **error);
/* "40", "40,56,40" -> three values. */
gboolean tess_cli_triple (const char *text, const char *option, gint64 lo, gint64 hi, gint64 out[3], GError **error);

/* "4G", "1.5G", "200M", "64Ki" -> bytes; powers of 1000, with an i of 1024. */
gboolean tess_cli_bytes (const char *text, const char *option, guint64 *bytes, GError **error);
/* Before the work: refuses an output that is one of the inputs (NULL-terminated) or cannot be written. */
gboolean tess_cli_check_output (const char *output, const char *const *inputs, GError **error);
TessModel *tess_cli_load_model (const char *path, const char *dilation, GError **error);
/* Before the first picture is drawn: Cairo is not loaded at start. */
gboolean tess_cli_load_cairo (GError **error);

int tess_cmd_info     (TessCli *cli, int argc, char **argv);
int tess_cmd_convert  (TessCli *cli, int argc, char **argv);
int tess_cmd_phantom  (TessCli *cli, int argc, char **argv);
int tess_cmd_plan     (TessCli *cli, int argc, char **argv);
int tess_cmd_patches  (TessCli *cli, int argc, char **argv);
int tess_cmd_train    (TessCli *cli, int argc, char **argv);
int tess_cmd_predict  (TessCli *cli, int argc, char **argv);
int tess_cmd_evaluate (TessCli *cli, int argc, char **argv);
int tess_cmd_render   (TessCli *cli, int argc, char **argv);
int tess_cmd_devices  (TessCli *cli, int argc, char **argv);

G_END_DECLS
