#include "tess-run-folder-private.h"

#include "tess-atomic-file.h"

#include <math.h>
#include <string.h>

void
tess_epoch_record_clear (TessEpochRecord *record)
{
  g_clear_pointer (&record->dice, g_free);
}

/* A field of a CSV file (RFC 4180): quoted where it must be. */
static void
append_field (GString *line, const char *text)
{
  if (!strpbrk (text, ",\"\r\n")) {
    g_string_append (line, text);
    return;
  }
  g_string_append_c (line, '"');
  for (const char *p = text; *p; p++) {
    if (*p == '"')
      g_string_append_c (line, '"');
    g_string_append_c (line, *p == '\n' || *p == '\r' ? ' ' : *p);
  }
  g_string_append_c (line, '"');
}

static char *
header_line (const TessPlan *plan)
{
  GString *line = g_string_new ("epoch,iteration,loss,val_loss");

  for (guint i = 1; i < tess_plan_n_scores (plan); i++) {
    g_autofree char *name = g_strconcat ("dice_", tess_plan_score_name (plan, i), NULL);

    g_string_append_c (line, ',');
    append_field (line, name);
  }
  g_string_append (line, ",mean_dice,rate,seconds,loader_share\n");
  return g_string_free (line, FALSE);
}

static void
append_number (GString *line, double value, int digits)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE], format[8];

  g_string_append_c (line, ',');
  if (!isfinite (value))
    return;
  g_snprintf (format, sizeof format, "%%.%dg", digits);
  g_string_append (line, g_ascii_formatd (text, sizeof text, format, value));
}

/**
 * tess_run_folder_append:
 *
 * One line of log.csv: epoch, iteration, loss (mean over the epoch), val_loss, Dice of every foreground class and
 * their mean, rate, seconds, loader_share (of the seconds of training steps spent waiting for data).
 */
gboolean
tess_run_folder_append (TessRunFolder *run, const TessEpochRecord *record, GError **error)
{
  g_autofree char *file = tess_run_folder_file (run, "log.csv");
  g_autoptr (GString) line = g_string_new (NULL);

  g_string_append_printf (line, "%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT, record->epoch, record->iteration);
  append_number (line, record->train_loss, 9);
  append_number (line, record->val_loss, 9);
  for (guint i = 1; i < record->n_labels; i++)
    append_number (line, record->dice[i], 9);
  append_number (line, record->dice[0], 9);
  append_number (line, record->learning_rate, 9);
  append_number (line, record->seconds, 5);
  append_number (line, record->loader_share, 3);
  return tess_file_append_line (file, line->str, error);
}

static gboolean
parse_number (const char *field, double *value)
{
  char *end;

  if (*field == '\0') {
    *value = NAN;
    return TRUE;
  }
  *value = g_ascii_strtod (field, &end);
  return *end == '\0';
}

/* Lines hold numbers only: no quotes to mind. */
static gboolean
parse_line (const char *line, guint n_labels, TessEpochRecord *record)
{
  g_auto (GStrv) fields = g_strsplit (line, ",", -1);
  guint n = g_strv_length (fields);
  gboolean ok;

  *record = (TessEpochRecord){.n_labels = n_labels, .dice = g_new0 (double, n_labels)};
  ok = n == n_labels + 7 && g_ascii_string_to_signed (fields[0], 10, 1, G_MAXINT32, &record->epoch, NULL) &&
       g_ascii_string_to_signed (fields[1], 10, 0, G_MAXINT64, &record->iteration, NULL) &&
       parse_number (fields[2], &record->train_loss) && parse_number (fields[3], &record->val_loss) &&
       parse_number (fields[n - 4], &record->dice[0]) && parse_number (fields[n - 3], &record->learning_rate) &&
       parse_number (fields[n - 2], &record->seconds) && parse_number (fields[n - 1], &record->loader_share);
  for (guint i = 1; ok && i < n_labels; i++)
    ok = parse_number (fields[3 + i], &record->dice[i]);
  if (!ok)
    tess_epoch_record_clear (record);
  return ok;
}

/* The head of the log and the lines up to an epoch; a line that is not whole, or not ours, ends it. */
static char *
keep_lines (const char *text, const TessPlan *plan, gint64 epochs, GArray *history)
{
  g_autofree char *header = header_line (plan);
  GString *kept = g_string_new (header);
  gint64 last = 0;

  if (!g_str_has_prefix (text, header))
    return g_string_free (kept, FALSE);
  for (const char *p = text + strlen (header), *end; (end = strchr (p, '\n')); p = end + 1) {
    g_autofree char *line = g_strndup (p, (gsize)(end - p));
    TessEpochRecord record;

    if (!parse_line (line, tess_plan_n_scores (plan), &record))
      break;
    if (record.epoch > epochs || record.epoch <= last) {
      tess_epoch_record_clear (&record);
      break;
    }
    last = record.epoch;
    g_array_append_val (history, record);
    g_string_append_len (kept, p, end + 1 - p);
  }
  return g_string_free (kept, FALSE);
}

gboolean
tess_run_folder_cut_back (TessRunFolder *run, const TessPlan *plan, gint64 epochs, GArray **history, GError **error)
{
  g_autoptr (GArray) records = g_array_new (FALSE, FALSE, sizeof (TessEpochRecord));
  g_autofree char *file = tess_run_folder_file (run, "log.csv"), *text = NULL, *kept = NULL;
  g_autofree char *snapshots = tess_run_folder_file (run, "snapshots"), *cases = tess_run_folder_file (run, "cases");

  g_array_set_clear_func (records, (GDestroyNotify)tess_epoch_record_clear);
  if (!tess_make_directory (snapshots, error) || !tess_make_directory (cases, error) ||
      !tess_run_folder_remove_later (run, epochs, error))
    return FALSE;
  if (!g_file_get_contents (file, &text, NULL, NULL))
    text = g_strdup ("");
  kept = keep_lines (text, plan, epochs, records);
  if (strcmp (kept, text) != 0 && !tess_file_set_contents (file, kept, strlen (kept), error))
    return FALSE;
  *history = g_steal_pointer (&records);
  return TRUE;
}
