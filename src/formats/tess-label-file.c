#include "tess-label-file-private.h"
#include "tess-atomic-file.h"
#include "tess-format-registry.h"
#include "tess-stream.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_FILE ((gsize)16 << 20)
#define MAX_LABELS 200000
#define N_OWN_ENDINGS 6u /* of a volume's name, that nothing but a table of labels has */
#define LEVELS_UP 3 /* dataset.json: how many folders above the volume's */
#define USUAL_UP 1  /* a table of a usual name: the same */

typedef enum {
  KIND_ITKSNAP,
  KIND_FREESURFER, /* the last column is transparency */
  KIND_SLICER,     /* ... opacity */
} Kind;

static const guint8 clear_colour[4] = {0};

static gboolean
has_ending (const char *path, const char *ending)
{
  gsize n = strlen (path), k = strlen (ending);

  return n > k && g_ascii_strcasecmp (path + n - k, ending) == 0;
}

/* --- text: a label a line ----------------------------------------------------------------------------------------- */

/* n numbers in *text; moves on. */
static gboolean
take_numbers (const char **text, double *values, guint n)
{
  for (guint i = 0; i < n; i++) {
    char *end;

    values[i] = g_ascii_strtod (*text, &end);
    if (end == *text || !isfinite (values[i]) || (*end && !g_ascii_isspace (*end)))
      return FALSE;
    *text = end;
  }
  return TRUE;
}

static gboolean
is_label_value (double value)
{
  return value >= 0.0 && value <= 2147483647.0 && value == floor (value);
}

static gboolean
is_level (double value)
{
  return value >= 0.0 && value <= 255.0;
}

/* IDX R G B A(0..1) VIS MSH "NAME"; @rest: what follows the opacity, into the line. */
static gboolean
parse_itksnap (const char *line, TessLabel *label, const char **rest)
{
  double v[7];
  const char *open, *close;

  if (!take_numbers (&line, v, 5))
    return FALSE;
  *rest = line;
  if (!take_numbers (&line, v + 5, 2))
    return FALSE;
  open = strchr (line, '"');
  close = open ? strrchr (open + 1, '"') : NULL;
  if (!is_label_value (v[0]) || !is_level (v[1]) || !is_level (v[2]) || !is_level (v[3]) || v[4] < 0.0 || v[4] > 1.0 ||
      !close)
    return FALSE;
  label->value = (gint64)v[0];
  for (int i = 0; i < 3; i++)
    label->rgba[i] = (guint8)v[i + 1];
  label->rgba[3] = (guint8)(v[4] * 255.0 + 0.5);
  label->name = g_strndup (open + 1, (gsize)(close - open - 1));
  return TRUE;
}

/* IDX NAME R G B [A]; a name may hold blanks: the numbers are at the end. */
static gboolean
parse_named_row (char *line, TessLabel *label)
{
  g_auto (GStrv) all = NULL;
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  double value, level[4] = {0, 0, 0, 0};
  guint n_levels = 0, n_name;

  all = g_strsplit_set (line, " \t", -1);
  for (char **word = all; *word; word++)
    if (**word)
      g_ptr_array_add (words, *word);
  if (words->len < 5)
    return FALSE;
  for (guint i = words->len; i-- > 2 && n_levels < 4; n_levels++) {
    const char *text = g_ptr_array_index (words, i);
    double number;

    if (!take_numbers (&text, &number, 1) || *text || !is_level (number) || number != floor (number))
      break;
  }
  if (n_levels < 3)
    return FALSE;
  n_name = words->len - n_levels;
  for (guint i = 0; i < n_levels; i++) {
    const char *text = g_ptr_array_index (words, n_name + i);

    take_numbers (&text, &level[i], 1);
  }
  {
    const char *text = g_ptr_array_index (words, 0);

    if (!take_numbers (&text, &value, 1) || *text || !is_label_value (value))
      return FALSE;
  }
  label->value = (gint64)value;
  for (int i = 0; i < 4; i++)
    label->rgba[i] = (guint8)level[i];
  g_ptr_array_set_size (words, (gint)n_name);
  g_ptr_array_remove_index (words, 0);
  g_ptr_array_add (words, NULL);
  label->name = g_strjoinv (" ", (char **)words->pdata);
  return TRUE;
}

/* What the last column of a table is: FreeSurfer counts transparency, 0 in nearly all files; but a table that has 255
 * everywhere means opacity, as Slicer does. */
static void
settle_opacity (GPtrArray *rows, Kind kind)
{
  gboolean all_255 = TRUE;

  for (guint i = 0; i < rows->len; i++) {
    const TessLabel *label = g_ptr_array_index (rows, i);

    all_255 &= label->value == 0 || label->rgba[3] == 255;
  }
  for (guint i = 0; i < rows->len; i++) {
    TessLabel *label = g_ptr_array_index (rows, i);

    if (kind == KIND_FREESURFER && !all_255)
      label->rgba[3] = (guint8)(255 - label->rgba[3]);
    if (label->value == 0)
      memcpy (label->rgba, clear_colour, sizeof clear_colour); /* background is not painted */
  }
}

static void
label_free (gpointer data)
{
  TessLabel *label = data;

  g_free (label->name);
  g_free (label);
}

/* The rows of a text; NULL when a line is none. `kind`: what they turned out to be. */
static GPtrArray *
parse_rows (const char *path, const char *text, Kind *kind, guint *bad_line)
{
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (label_free);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  gboolean first = TRUE;

  *kind = has_ending (path, ".ctbl") ? KIND_SLICER : KIND_FREESURFER;
  for (guint i = 0; lines[i]; i++) {
    char *line = g_strstrip (lines[i]);
    TessLabel *label;
    const char *rest;
    gboolean good;

    if (*line == '#' && strstr (line, "Color table file"))
      *kind = KIND_SLICER;
    if (*line == '\0' || *line == '#')
      continue;
    label = g_new0 (TessLabel, 1);
    g_ptr_array_add (rows, label);
    if (first && parse_itksnap (line, label, &rest))
      *kind = KIND_ITKSNAP, good = TRUE;
    else
      good = *kind == KIND_ITKSNAP ? parse_itksnap (line, label, &rest) : parse_named_row (line, label);
    first = FALSE;
    if (!good || rows->len > MAX_LABELS) {
      *bad_line = i + 1;
      return NULL;
    }
    if (*kind == KIND_SLICER)
      g_strdelimit (label->name, "_", ' '); /* Slicer writes blanks so */
  }
  if (rows->len == 0) {
    *bad_line = 0;
    return NULL;
  }
  if (*kind == KIND_ITKSNAP)
    settle_opacity (rows, KIND_SLICER);
  else
    settle_opacity (rows, *kind);
  return g_steal_pointer (&rows);
}

static gint
compare_labels (gconstpointer a, gconstpointer b)
{
  gint64 x = (*(const TessLabel *const *)a)->value, y = (*(const TessLabel *const *)b)->value;

  return (x > y) - (x < y);
}

static TessLabelTable *
load_text (const char *path, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, MAX_FILE, TESS_PACKING_NONE, error);
  g_autofree char *name = g_filename_display_name (path), *bytes = NULL, *text = NULL;
  g_autoptr (TessLabelTable) table = NULL;
  g_autoptr (GPtrArray) rows = NULL;
  guint bad_line = 0;
  gssize n;
  Kind kind;

  if (!stream)
    return NULL;
  bytes = g_malloc ((gsize)tess_stream_file_size (stream) + 1);
  n = tess_stream_read (stream, bytes, (gsize)tess_stream_file_size (stream), error);
  if (n < 0)
    return NULL;
  bytes[n] = '\0';
  text = g_utf8_make_valid (bytes, -1);
  rows = parse_rows (path, text, &kind, &bad_line);
  if (!rows) {
    if (bad_line > 0)
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: line %u is no label of an ITK-SNAP, FreeSurfer or Slicer table; correct the line"), name,
                   bad_line);
    else
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: there are no labels in this file; give another"),
                   name);
    return NULL;
  }
  table = tess_label_table_new ();
  g_ptr_array_sort (rows, compare_labels); /* a table takes ascending values fast */
  for (guint i = 0; i < rows->len; i++) {
    const TessLabel *label = g_ptr_array_index (rows, i);

    tess_label_table_add (table, label->value, label->name, label->rgba);
  }
  return g_steal_pointer (&table);
}

TessLabelTable *
tess_label_file_load (const char *path, GError **error)
{
  return has_ending (path, ".json") ? tess_label_json_load (path, error) : load_text (path, error);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static char *
without (const char *name, const char *bad, char instead)
{
  char *out = g_strdup (name);

  for (char *c = out; *c; c++)
    if ((guchar)*c < ' ')
      *c = ' ';
  return g_strdelimit (out, bad, instead);
}

/* Value -> "VIS MSH" of the ITK-SNAP file that is there; empty when there is none. */
static GHashTable *
itksnap_flags (const char *path)
{
  GHashTable *flags = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return flags;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] && i < MAX_LABELS; i++) {
    TessLabel label = {0};
    const char *rest;
    int visible, mesh;
    gint64 *key;

    if (!parse_itksnap (lines[i], &label, &rest))
      continue;
    g_free (label.name);
    visible = g_ascii_strtoll (rest, (char **)&rest, 10) != 0;
    mesh = g_ascii_strtoll (rest, NULL, 10) != 0;
    key = g_new (gint64, 1);
    *key = label.value;
    g_hash_table_insert (flags, key, g_strdup_printf ("%d  %d", visible, mesh));
  }
  return flags;
}

/* ITK-SNAP gives its files either ending. */
static gboolean
is_itksnap (const char *path)
{
  g_autoptr (GHashTable) flags = itksnap_flags (path);

  return g_hash_table_size (flags) > 0;
}

static GString *
write_itksnap (TessLabelTable *labels, const char *path)
{
  g_autoptr (GHashTable) flags = itksnap_flags (path);
  GString *text = g_string_new ("################################################\n"
                                "# ITK-SnAP Label Description File\n"
                                "# File format:\n"
                                "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n"
                                "################################################\n");

  if (!tess_label_table_find (labels, 0))
    g_string_append (text, "    0     0    0    0        0  0  0    \"Clear Label\"\n");
  for (guint i = 0; i < tess_label_table_n (labels); i++) {
    const TessLabel *label = tess_label_table_peek (labels, i);
    const char *flag = g_hash_table_lookup (flags, &label->value);
    g_autofree char *name = without (label->name, "\"", '\'');
    char opacity[G_ASCII_DTOSTR_BUF_SIZE];

    if (label->value < 0)
      continue;
    g_ascii_formatd (opacity, sizeof opacity, "%.3g", label->rgba[3] / 255.0);
    g_string_append_printf (text, "%5" PRId64 " %5u %4u %4u %8s  %s    \"%s\"\n", label->value, label->rgba[0],
                            label->rgba[1], label->rgba[2], opacity,
                            flag               ? flag
                            : label->value > 0 ? "1  1"
                                               : "0  0",
                            name);
  }
  return text;
}

static GString *
write_rows (TessLabelTable *labels, Kind kind)
{
  GString *text = g_string_new (NULL);

  if (kind == KIND_SLICER)
    g_string_printf (text, "# Color table file\n# %u values\n", tess_label_table_n (labels));
  else
    g_string_append (text, "#No. Label Name: R G B A\n");
  for (guint i = 0; i < tess_label_table_n (labels); i++) {
    const TessLabel *label = tess_label_table_peek (labels, i);
    g_autofree char *name = without (label->name, " \t", '_');

    if (label->value >= 0)
      g_string_append_printf (text, "%" PRId64 " %s %u %u %u %u\n", label->value, *name ? name : "_", label->rgba[0],
                              label->rgba[1], label->rgba[2],
                              kind == KIND_SLICER || label->value == 0 ? label->rgba[3] : 255u - label->rgba[3]);
  }
  return text;
}

gboolean
tess_label_file_save (TessLabelTable *labels, const char *path, GError **error)
{
  GString *text;
  gboolean done;

  if (has_ending (path, ".json"))
    return tess_label_json_save (labels, path, error);
  if (has_ending (path, ".ctbl"))
    text = write_rows (labels, KIND_SLICER);
  else if (has_ending (path, ".lut") || (has_ending (path, ".txt") && !is_itksnap (path)))
    text = write_rows (labels, KIND_FREESURFER);
  else if (has_ending (path, ".label") || has_ending (path, ".txt"))
    text = write_itksnap (labels, path);
  else {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: a label table is written as .label, .txt, .lut, .ctbl or .json; choose one of these endings"),
                 name);
    return FALSE;
  }
  done = tess_file_set_contents (path, text->str, text->len, error);
  g_string_free (text, TRUE);
  return done;
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

static TessLabelTable *
try_file (const char *folder, const char *stem, const char *ending, GError **error)
{
  g_autofree char *name = g_strconcat (stem, ending, NULL), *path = g_build_filename (folder, name, NULL);

  return g_file_test (path, G_FILE_TEST_IS_REGULAR) ? tess_label_file_load (path, error) : NULL;
}

/* *problem: what is wrong with the first file that by its name can only be this volume's table, but cannot be used. */
static TessLabelTable *
find (const char *volume_path, GError **problem)
{
  static const char *const endings[] = {".label",   "_labels.txt", ".ctbl", "_ColorTable.ctbl",
                                        "_LUT.txt", ".lut",        ".txt",  ".json"};
  static const char *const usual[] = {"labels.label",           "labels.ctbl", "labels.txt",   "lut.txt", "LUT.txt",
                                      "FreeSurferColorLUT.txt", "labels.json", "colormap.json"};
  g_autofree char *absolute = g_canonicalize_filename (volume_path, NULL);
  g_autofree char *folder = g_path_get_dirname (absolute), *stem = tess_volume_stem (absolute);
  TessLabelTable *table = NULL;

  for (guint i = 0; !table && i < G_N_ELEMENTS (endings); i++)
    table = try_file (folder, stem, endings[i], i < N_OWN_ENDINGS && !*problem ? problem : NULL);
  for (int level = 0; !table && level <= LEVELS_UP; level++) {
    char *above;

    for (guint i = 0; !table && level <= USUAL_UP && i < G_N_ELEMENTS (usual); i++)
      table = try_file (folder, usual[i], "", NULL);
    if (!table)
      table = try_file (folder, "dataset", ".json", NULL);
    above = g_path_get_dirname (folder);
    g_free (folder);
    folder = above;
  }
  return table;
}

TessLabelTable *
tess_label_file_find (const char *volume_path)
{
  g_autoptr (GError) problem = NULL;

  return find (volume_path, &problem);
}

void
tess_label_file_attach (TessVolume *volume, const char *volume_path)
{
  const char *cut = g_file_test (volume_path, G_FILE_TEST_EXISTS) ? NULL : strstr (volume_path, "::");
  g_autofree char *path = cut ? g_strndup (volume_path, (gsize)(cut - volume_path)) : g_strdup (volume_path);
  g_autoptr (TessLabelTable) table = NULL;
  g_autoptr (GError) problem = NULL;

  if (tess_volume_intent (volume) != TESS_INTENT_LABEL || tess_volume_peek_labels (volume))
    return;
  table = find (path, &problem);
  if (table)
    tess_volume_set_labels (volume, table);
  if (problem) {
    g_autofree char *text = g_strdup_printf (_ ("The names of its labels cannot be used: %s"), problem->message);

    tess_volume_add_warning (volume, text);
  }
}
