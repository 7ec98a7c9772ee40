#include "tess-nifti-header.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Names and colours of labels inside a NIfTI file. Two ways are read: the label table of Caret and Connectome
 * Workbench, XML in an extension (TotalSegmentator writes it, too), and MRIcroGL's lines "1 name" before the voxels.
 * The first is written. */

#define ECODE_UNKNOWN 0 /* TotalSegmentator's; nibabel gives no contents of Caret's own code */
#define ECODE_CARET 30
#define MAX_XML ((gsize)32 << 20)
#define MAX_LABELS 200000
#define MAX_NAME 4096 /* bytes */

typedef struct {
  TessLabel label;
  gboolean coloured;
} Entry;

typedef struct {
  GPtrArray *labels; /* Entry */
  GString *name;     /* of the label being read; NULL outside of one */
  Entry entry;
  gboolean in_table, has_table;
} Reader;

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->label.name);
  g_free (entry);
}

/* "0.0" to "1.0" -> 0 to 255. */
static gboolean
parse_level (const char *text, guint8 *level)
{
  char *end;
  double value = g_ascii_strtod (text, &end);

  if (end == text || *end || !isfinite (value))
    return FALSE;
  *level = (guint8)(CLAMP (value, 0.0, 1.0) * 255.0 + 0.5);
  return TRUE;
}

static gboolean
parse_key (const char *text, gint64 *value)
{
  return g_ascii_string_to_signed (text, 10, G_MININT32, G_MAXINT32, value, NULL);
}

static void
start_label (Reader *r, const char **names, const char **values, GError **error)
{
  static const char *const levels[4] = {"Red", "Green", "Blue", "Alpha"};
  gboolean has_key = FALSE;
  int n_levels = 0;

  for (guint i = 0; names[i]; i++) {
    if (g_str_equal (names[i], "Key"))
      has_key = parse_key (values[i], &r->entry.label.value);
    for (guint c = 0; c < G_N_ELEMENTS (levels); c++)
      if (g_str_equal (names[i], levels[c]))
        n_levels += parse_level (values[i], &r->entry.label.rgba[c]);
  }
  if (!has_key || r->labels->len >= MAX_LABELS) {
    g_set_error_literal (error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "no label");
    return;
  }
  r->entry.coloured = n_levels == 4;
  r->name = g_string_new (NULL);
}

/* Elements are taken wherever they stand: versions of the format differ in what is around the table. The first table is
 * the volume's; others (of further maps) are passed over. */
static void
start_element (GMarkupParseContext *context, const char *element, const char **names, const char **values,
               gpointer data, GError **error)
{
  Reader *r = data;

  (void)context;
  if (g_str_equal (element, "LabelTable") && !r->has_table)
    r->in_table = r->has_table = TRUE;
  else if (g_str_equal (element, "Label") && r->in_table && !r->name)
    start_label (r, names, values, error);
}

static void
end_element (GMarkupParseContext *context, const char *element, gpointer data, GError **error)
{
  Reader *r = data;

  (void)context;
  (void)error;
  if (g_str_equal (element, "LabelTable")) {
    r->in_table = FALSE;
  } else if (g_str_equal (element, "Label") && r->name) {
    Entry *entry = g_memdup2 (&r->entry, sizeof r->entry);

    entry->label.name = g_strstrip (g_string_free (g_steal_pointer (&r->name), FALSE));
    g_ptr_array_add (r->labels, entry);
  }
}

static void
text (GMarkupParseContext *context, const char *chars, gsize n, gpointer data, GError **error)
{
  Reader *r = data;

  (void)context;
  (void)error;
  if (r->name && r->name->len + n <= MAX_NAME)
    g_string_append_len (r->name, chars, (gssize)n);
}

static gint
compare_values (gconstpointer a, gconstpointer b)
{
  gint64 x = (*(const Entry *const *)a)->label.value, y = (*(const Entry *const *)b)->label.value;

  return (x > y) - (x < y);
}

static TessLabelTable *
table_of (GPtrArray *labels)
{
  static const guint8 clear[4] = {0};
  TessLabelTable *table = tess_label_table_new ();

  g_ptr_array_sort (labels, compare_values); /* a table takes ascending values fast */
  for (guint i = 0; i < labels->len; i++) {
    const Entry *entry = g_ptr_array_index (labels, i);

    tess_label_table_add (table, entry->label.value, entry->label.name,
                          entry->label.value == 0 ? clear /* background is not painted */
                          : entry->coloured       ? entry->label.rgba
                                                  : NULL);
  }
  return table;
}

/* NULL when data[n] is no XML with a label table in it. */
static TessLabelTable *
parse_xml (const guint8 *data, gsize n)
{
  const GMarkupParser parser = {.start_element = start_element, .end_element = end_element, .text = text};
  Reader r = {0};
  TessLabelTable *table = NULL;
  g_autoptr (GMarkupParseContext) context = NULL;
  g_autofree char *valid = NULL;

  while (n > 0 && data[n - 1] == '\0') /* padding */
    n--;
  if (n == 0 || n > MAX_XML || !g_strstr_len ((const char *)data, (gssize)n, "<LabelTable"))
    return NULL;
  valid = g_utf8_make_valid ((const char *)data, (gssize)n);
  r.labels = g_ptr_array_new_with_free_func (entry_free);
  context = g_markup_parse_context_new (&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &r, NULL);
  if (g_markup_parse_context_parse (context, valid, -1, NULL) && g_markup_parse_context_end_parse (context, NULL) &&
      r.labels->len > 0)
    table = table_of (r.labels);
  if (r.name)
    g_string_free (r.name, TRUE);
  g_ptr_array_unref (r.labels);
  return table;
}

/* Lines "value name"; NULL when one is not. */
static TessLabelTable *
parse_lines (const char *lines)
{
  g_autofree char *valid = g_utf8_make_valid (lines, -1);
  g_auto (GStrv) line = g_strsplit (valid, "\n", -1);
  g_autoptr (GPtrArray) labels = g_ptr_array_new_with_free_func (entry_free);

  for (guint i = 0; line[i]; i++) {
    char *number = g_strstrip (line[i]), *name = strpbrk (number, " \t");
    Entry *entry;
    gint64 value;

    if (!*number)
      continue;
    if (name)
      *name++ = '\0';
    if (!name || !parse_key (number, &value) || labels->len >= MAX_LABELS)
      return NULL;
    entry = g_new0 (Entry, 1);
    entry->label.value = value;
    entry->label.name = g_strdup (g_strstrip (name));
    g_ptr_array_add (labels, entry);
  }
  return labels->len > 0 ? table_of (labels) : NULL;
}

/* The extension at *at, a good chain given: its contents; moves on. FALSE at the end. */
static gboolean
next_extension (const GByteArray *chain, gsize *at, gint32 *code, const guint8 **contents, gsize *n)
{
  gint32 size;

  if (!chain || chain->len - *at < 16)
    return FALSE;
  memcpy (&size, chain->data + *at, 4);
  memcpy (code, chain->data + *at + 4, 4);
  *contents = chain->data + *at + 8;
  *n = (gsize)size - 8;
  *at += (gsize)size;
  return TRUE;
}

static TessLabelTable *
table_of_extension (gint32 code, const guint8 *contents, gsize n)
{
  return code == ECODE_UNKNOWN || code == ECODE_CARET ? parse_xml (contents, n) : NULL;
}

TessLabelTable *
tess_nifti_labels_find (const TessNiftiHeader *header)
{
  TessLabelTable *table = header->text ? parse_lines (header->text) : NULL;
  const guint8 *contents;
  gsize at = 0, n;
  gint32 code;

  while (!table && next_extension (header->extensions, &at, &code, &contents, &n))
    table = table_of_extension (code, contents, n);
  return table;
}

static gboolean
tables_equal (TessLabelTable *a, TessLabelTable *b)
{
  if (tess_label_table_n (a) != tess_label_table_n (b))
    return FALSE;
  for (guint i = 0; i < tess_label_table_n (a); i++) {
    const TessLabel *x = tess_label_table_peek (a, i), *y = tess_label_table_peek (b, i);

    if (x->value != y->value || strcmp (x->name, y->name) != 0 || memcmp (x->rgba, y->rgba, 4) != 0)
      return FALSE;
  }
  return TRUE;
}

/* What XML cannot say becomes a blank. */
static void
append_cdata (GString *xml, const char *name)
{
  g_autofree char *valid = g_utf8_make_valid (name, -1);
  g_auto (GStrv) pieces = NULL;

  for (char *c = valid; *c; c++)
    if ((guchar)*c < ' ')
      *c = ' ';
  pieces = g_strsplit (valid, "]]>", -1);
  g_string_append (xml, "<![CDATA[");
  for (guint i = 0; pieces[i]; i++)
    g_string_append_printf (xml, "%s%s", i ? "]]]]><![CDATA[>" : "", pieces[i]);
  g_string_append (xml, "]]>");
}

static void
append_level (GString *xml, const char *name, guint8 level)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (number, sizeof number, "%.7g", level / 255.0);
  g_string_append_printf (xml, " %s=\"%s\"", name, number);
}

static GString *
write_xml (TessLabelTable *labels)
{
  GString *xml = g_string_new ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CaretExtension>\n"
                               "<VolumeInformation Index=\"0\">\n<LabelTable>\n");

  for (guint i = 0; i < tess_label_table_n (labels); i++) {
    const TessLabel *label = tess_label_table_peek (labels, i);

    g_string_append_printf (xml, "<Label Key=\"%" PRId64 "\"", label->value);
    append_level (xml, "Red", label->rgba[0]);
    append_level (xml, "Green", label->rgba[1]);
    append_level (xml, "Blue", label->rgba[2]);
    append_level (xml, "Alpha", label->rgba[3]);
    g_string_append_c (xml, '>');
    append_cdata (xml, label->name);
    g_string_append (xml, "</Label>\n");
  }
  g_string_append (xml, "</LabelTable>\n<VolumeType><![CDATA[Label]]></VolumeType>\n"
                        "</VolumeInformation>\n</CaretExtension>\n");
  return xml;
}

static void
append_extension (GByteArray *chain, gint32 code, const guint8 *contents, gsize n)
{
  static const guint8 zeros[16] = {0};
  gint32 size = (gint32)((n + 8 + 15) / 16 * 16);

  g_byte_array_append (chain, (const guint8 *)&size, 4);
  g_byte_array_append (chain, (const guint8 *)&code, 4);
  g_byte_array_append (chain, contents, (guint)n);
  g_byte_array_append (chain, zeros, (guint)((gsize)size - 8 - n));
}

/**
 * tess_nifti_labels_put:
 *
 * Puts the table into the header as the first extension (TotalSegmentator looks at no other) and takes out the ones
 * there are; other extensions stay. When the file's own extension says the same already, it stays as it is.
 */
void
tess_nifti_labels_put (TessNiftiHeader *header, TessLabelTable *labels)
{
  g_autoptr (TessLabelTable) there = tess_nifti_labels_find (header);
  GByteArray *chain;
  const guint8 *contents;
  gsize at = 0, n;
  gint32 code;

  if (there && tables_equal (there, labels))
    return;
  chain = g_byte_array_new ();
  if (tess_label_table_n (labels) > 0) {
    GString *xml = write_xml (labels);

    if (xml->len <= MAX_XML)
      append_extension (chain, ECODE_UNKNOWN, (const guint8 *)xml->str, xml->len);
    g_string_free (xml, TRUE);
  }
  while (next_extension (header->extensions, &at, &code, &contents, &n)) {
    g_autoptr (TessLabelTable) old = table_of_extension (code, contents, n);

    if (!old)
      append_extension (chain, code, contents, n);
  }
  g_clear_pointer (&header->extensions, g_byte_array_unref);
  if (chain->len > 0)
    header->extensions = chain;
  else
    g_byte_array_unref (chain);
}
