#include "tess-nrrd-header.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How 3D Slicer keeps a segmentation in an NRRD file ("Segmentations" in its developer guide): pairs SegmentN_Name,
 * _Color, _LabelValue and _Layer for N = 0, 1, ...; segments that overlap are in different layers, which are an axis of
 * the file. Until version 4.10 every segment had a layer of its own, with the value 1. */

#define MAX_SEGMENTS 20000

/**
 * tess_nrrd_key_segment:
 * @rest: (out) (nullable): what follows the number: "Name"
 *
 * Whether @key is one of a segment.
 */
gboolean
tess_nrrd_key_segment (const char *key, guint *number, const char **rest)
{
  guint64 n;
  char *end;

  if (!g_str_has_prefix (key, "Segment") || !g_ascii_isdigit (key[7]))
    return FALSE;
  n = g_ascii_strtoull (key + 7, &end, 10);
  if (*end != '_' || n >= MAX_SEGMENTS)
    return FALSE;
  *number = (guint)n;
  if (rest)
    *rest = end + 1;
  return TRUE;
}

/* "\\n" and "\\\\" of a pair's value. */
static char *
unescape (const char *text)
{
  GString *out = g_string_new (NULL);
  g_autofree char *bytes = NULL;

  for (; *text; text++)
    if (text[0] == '\\' && (text[1] == 'n' || text[1] == '\\'))
      g_string_append_c (out, *++text == 'n' ? '\n' : '\\');
    else
      g_string_append_c (out, *text);
  bytes = g_string_free (out, FALSE);
  return g_utf8_make_valid (bytes, -1);
}

static char *
escape (const char *text)
{
  GString *out = g_string_new (NULL);

  for (; *text; text++)
    if (*text == '\n')
      g_string_append (out, "\\n");
    else if (*text == '\\')
      g_string_append (out, "\\\\");
    else if (*text != '\r')
      g_string_append_c (out, *text);
  return g_string_free (out, FALSE);
}

static gboolean
parse_colour (const char *text, guint8 rgba[4])
{
  for (int i = 0; i < 3; i++) {
    char *end;
    double level = g_ascii_strtod (text, &end);

    if (end == text || !isfinite (level))
      return FALSE;
    rgba[i] = (guint8)(CLAMP (level, 0.0, 1.0) * 255.0 + 0.5);
    text = end;
  }
  rgba[3] = 255;
  return TRUE;
}

static void
segment_free (gpointer data)
{
  TessNrrdSegment *segment = data;

  g_free (segment->name);
  g_free (segment);
}

static gint
compare_segments (gconstpointer a, gconstpointer b)
{
  guint x = (*(const TessNrrdSegment *const *)a)->number, y = (*(const TessNrrdSegment *const *)b)->number;

  return (x > y) - (x < y);
}

static void
put_value (TessNrrdSegment *segment, const char *rest, const char *value)
{
  if (strcmp (rest, "Name") == 0) {
    g_free (segment->name);
    segment->name = unescape (value);
  } else if (strcmp (rest, "ID") == 0 && !segment->name) {
    segment->name = unescape (value);
  } else if (strcmp (rest, "Color") == 0) {
    segment->has_colour = parse_colour (value, segment->rgba);
  } else if (strcmp (rest, "LabelValue") == 0) {
    segment->value = g_ascii_strtoll (value, NULL, 10);
  } else if (strcmp (rest, "Layer") == 0) {
    segment->layer = g_ascii_strtoll (value, NULL, 10);
  }
}

/**
 * tess_nrrd_segments:
 *
 * Returns: (transfer full) (element-type TessNrrdSegment): in ascending numbers
 */
GPtrArray *
tess_nrrd_segments (const TessNrrdHeader *header)
{
  GPtrArray *segments = g_ptr_array_new_with_free_func (segment_free);
  g_autoptr (GHashTable) by_number = g_hash_table_new (NULL, NULL);
  gboolean any_layer = FALSE;

  for (guint i = 0; i < header->lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (header->lines, i);
    TessNrrdSegment *segment;
    const char *rest;
    guint number;

    if (line->kind != TESS_NRRD_PAIR || !tess_nrrd_key_segment (line->name, &number, &rest))
      continue;
    segment = g_hash_table_lookup (by_number, GUINT_TO_POINTER (number));
    if (!segment) {
      segment = g_new0 (TessNrrdSegment, 1);
      segment->number = number;
      segment->layer = -1;
      segment->value = 1;
      g_hash_table_insert (by_number, GUINT_TO_POINTER (number), segment);
      g_ptr_array_add (segments, segment);
    }
    put_value (segment, rest, line->value);
  }
  g_ptr_array_sort (segments, compare_segments);
  for (guint i = 0; i < segments->len; i++)
    any_layer |= ((TessNrrdSegment *)g_ptr_array_index (segments, i))->layer >= 0;
  for (guint i = 0; i < segments->len; i++) {
    TessNrrdSegment *segment = g_ptr_array_index (segments, i);

    if (segment->layer < 0)
      segment->layer = any_layer || header->n_channels == 1 ? 0 : segment->number;
    if (!segment->name)
      segment->name = g_strdup_printf ("Segment_%u", segment->number + 1);
  }
  return segments;
}

/* 1 for everything but a segmentation with overlapping segments. */
guint
tess_nrrd_n_layers (const TessNrrdHeader *header, GPtrArray *segments)
{
  return segments->len > 0 ? (guint)MIN (header->n_channels, MAX_SEGMENTS) : 1;
}

/* Names and colours of a layer's labels; @layer -1: of all. */
TessLabelTable *
tess_nrrd_segment_table (GPtrArray *segments, gint64 layer)
{
  static const guint8 clear[4] = {0};
  TessLabelTable *table = tess_label_table_new ();

  tess_label_table_add (table, 0, _ ("background"), clear);
  for (guint i = 0; i < segments->len; i++) {
    const TessNrrdSegment *segment = g_ptr_array_index (segments, i);

    if (segment->value != 0 && (layer < 0 || segment->layer == layer))
      tess_label_table_add (table, segment->value, segment->name, segment->has_colour ? segment->rgba : NULL);
  }
  return table;
}

/* Takes what is said of other layers' segments out of the header. */
void
tess_nrrd_keep_layer (TessNrrdHeader *header, GPtrArray *segments, gint64 layer)
{
  g_autoptr (GHashTable) others = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) all = g_steal_pointer (&header->lines);

  for (guint i = 0; i < segments->len; i++) {
    const TessNrrdSegment *segment = g_ptr_array_index (segments, i);

    if (segment->layer != layer)
      g_hash_table_add (others, GUINT_TO_POINTER (segment->number + 1));
  }
  header->lines = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_nrrd_line_free);
  for (guint i = 0; i < all->len; i++) {
    TessNrrdLine *line = g_ptr_array_index (all, i);
    guint number;

    if (line->kind == TESS_NRRD_PAIR && tess_nrrd_key_segment (line->name, &number, NULL) &&
        g_hash_table_contains (others, GUINT_TO_POINTER (number + 1)))
      tess_nrrd_line_free (line);
    else
      g_ptr_array_add (header->lines, line);
  }
  g_ptr_array_set_free_func (all, NULL); /* they have gone where they belong */
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
write_colour (GString *text, const guint8 rgba[4])
{
  for (int i = 0; i < 3; i++) {
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_formatd (number, sizeof number, "%.6g", rgba[i] / 255.0);
    g_string_append_printf (text, "%s%s", i ? " " : "", number);
  }
}

/* Number of a segment + 1 -> its lines. */
static GHashTable *
lines_of_segments (const TessNrrdHeader *source)
{
  GHashTable *table = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);

  for (guint i = 0; i < source->lines->len; i++) {
    TessNrrdLine *line = g_ptr_array_index (source->lines, i);
    GPtrArray *lines;
    guint number;

    if (line->kind != TESS_NRRD_PAIR || !tess_nrrd_key_segment (line->name, &number, NULL))
      continue;
    lines = g_hash_table_lookup (table, GUINT_TO_POINTER (number + 1));
    if (!lines) {
      lines = g_ptr_array_new ();
      g_hash_table_insert (table, GUINT_TO_POINTER (number + 1), lines);
    }
    g_ptr_array_add (lines, line);
  }
  return table;
}

/* One segment; `lines`: what the source's header says of it, or NULL. */
static void
write_segment (GString *text, guint number, const TessLabel *label, GPtrArray *lines, const gint64 dim[3],
               gboolean same_dim)
{
  static const char *const ours[] = {"Name", "Color", "LabelValue", "Layer", "Extent", "ID", NULL};
  g_autofree char *name = escape (label->name);
  gboolean has_id = FALSE, has_tags = FALSE, has_extent = FALSE;

  for (guint i = 0; lines && i < lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (lines, i);
    const char *rest;
    guint of;

    if (!tess_nrrd_key_segment (line->name, &of, &rest) ||
        (g_strv_contains (ours, rest) && strcmp (rest, "ID") != 0 && !(same_dim && strcmp (rest, "Extent") == 0)))
      continue;
    g_string_append_printf (text, "Segment%u_%s:=%s\n", number, rest, line->value);
    has_id |= strcmp (rest, "ID") == 0;
    has_tags |= strcmp (rest, "Tags") == 0;
    has_extent |= strcmp (rest, "Extent") == 0;
  }
  g_string_append_printf (text, "Segment%u_Color:=", number);
  write_colour (text, label->rgba);
  g_string_append_c (text, '\n');
  if (!has_extent)
    g_string_append_printf (text, "Segment%u_Extent:=0 %" PRId64 " 0 %" PRId64 " 0 %" PRId64 "\n", number, dim[0] - 1,
                            dim[1] - 1, dim[2] - 1);
  if (!has_id)
    g_string_append_printf (text, "Segment%u_ID:=Segment_%" PRId64 "\n", number, label->value);
  g_string_append_printf (text, "Segment%u_LabelValue:=%" PRId64 "\nSegment%u_Layer:=0\nSegment%u_Name:=%s\n", number,
                          label->value, number, number, name);
  if (!has_tags)
    g_string_append_printf (text, "Segment%u_Tags:=|\n", number);
}

/**
 * tess_nrrd_write_segments:
 * @table: 0 and less are left out: they are no segments
 * @source: (nullable): the header of the file the labels came from
 * @dim: of the volume, for the extents
 *
 * First the source's segments that are still there, in their order, then the others.
 */
void
tess_nrrd_write_segments (GString *text, TessLabelTable *table, const TessNrrdHeader *source, const gint64 dim[3])
{
  g_autoptr (GPtrArray) segments = source ? tess_nrrd_segments (source) : NULL;
  g_autoptr (GHashTable) lines = source ? lines_of_segments (source) : NULL;
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);
  gboolean same_dim = source && memcmp (source->dim, dim, sizeof source->dim) == 0;
  guint number = 0;

  for (guint i = 0; segments && i < segments->len; i++) {
    const TessNrrdSegment *segment = g_ptr_array_index (segments, i);
    const TessLabel *label = segment->value > 0 ? tess_label_table_find (table, segment->value) : NULL;

    if (label && g_hash_table_add (done, (gpointer)label))
      write_segment (text, number++, label, g_hash_table_lookup (lines, GUINT_TO_POINTER (segment->number + 1)), dim,
                     same_dim);
  }
  for (guint i = 0; i < tess_label_table_n (table); i++) {
    const TessLabel *label = tess_label_table_peek (table, i);

    if (label->value > 0 && !g_hash_table_contains (done, label))
      write_segment (text, number++, label, NULL, dim, FALSE);
  }
}
