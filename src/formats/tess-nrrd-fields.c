#include "tess-nrrd-header.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name;
  TessDType dtype;
} types[] = {
    {"signed char", TESS_DTYPE_I8},
    {"int8", TESS_DTYPE_I8},
    {"int8_t", TESS_DTYPE_I8},
    {"uchar", TESS_DTYPE_U8},
    {"unsigned char", TESS_DTYPE_U8},
    {"uint8", TESS_DTYPE_U8},
    {"uint8_t", TESS_DTYPE_U8},
    {"short", TESS_DTYPE_I16},
    {"short int", TESS_DTYPE_I16},
    {"signed short", TESS_DTYPE_I16},
    {"signed short int", TESS_DTYPE_I16},
    {"int16", TESS_DTYPE_I16},
    {"int16_t", TESS_DTYPE_I16},
    {"ushort", TESS_DTYPE_U16},
    {"unsigned short", TESS_DTYPE_U16},
    {"unsigned short int", TESS_DTYPE_U16},
    {"uint16", TESS_DTYPE_U16},
    {"uint16_t", TESS_DTYPE_U16},
    {"int", TESS_DTYPE_I32},
    {"signed int", TESS_DTYPE_I32},
    {"int32", TESS_DTYPE_I32},
    {"int32_t", TESS_DTYPE_I32},
    {"uint", TESS_DTYPE_U32},
    {"unsigned int", TESS_DTYPE_U32},
    {"uint32", TESS_DTYPE_U32},
    {"uint32_t", TESS_DTYPE_U32},
    {"longlong", TESS_DTYPE_I64},
    {"long long", TESS_DTYPE_I64},
    {"long long int", TESS_DTYPE_I64},
    {"signed long long", TESS_DTYPE_I64},
    {"signed long long int", TESS_DTYPE_I64},
    {"int64", TESS_DTYPE_I64},
    {"int64_t", TESS_DTYPE_I64},
    {"ulonglong", TESS_DTYPE_U64},
    {"unsigned long long", TESS_DTYPE_U64},
    {"unsigned long long int", TESS_DTYPE_U64},
    {"uint64", TESS_DTYPE_U64},
    {"uint64_t", TESS_DTYPE_U64},
    {"float", TESS_DTYPE_F32},
    {"double", TESS_DTYPE_F64},
};

static const struct {
  const char *name;
  TessNrrdEncoding encoding;
} encodings[] = {
    {"raw", TESS_NRRD_RAW},    {"txt", TESS_NRRD_TEXT},  {"text", TESS_NRRD_TEXT},
    {"ascii", TESS_NRRD_TEXT}, {"hex", TESS_NRRD_HEX},   {"gz", TESS_NRRD_GZIP},
    {"gzip", TESS_NRRD_GZIP},  {"bz2", TESS_NRRD_BZIP2}, {"bzip2", TESS_NRRD_BZIP2},
};

static gboolean
fail_field (GError **error, const char *path, const char *field)
{
  return tess_nrrd_fail (error, path, TESS_ERROR_FORMAT,
                         _ ("the field \"%s\" of its header is wrong; the file is damaged, copy or export it again"),
                         field);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* A number in *text, with blanks before it; moves on. NaN is one. */
static gboolean
take_double (const char **text, double *value)
{
  char *end;

  while (g_ascii_isspace (**text))
    (*text)++;
  *value = g_ascii_strtod (*text, &end);
  if (end == *text)
    return FALSE;
  *text = end;
  return TRUE;
}

static gboolean
take_int (const char **text, gint64 *value)
{
  char *end;

  while (g_ascii_isspace (**text))
    (*text)++;
  if (!g_ascii_isdigit (**text) && **text != '-' && **text != '+')
    return FALSE;
  *value = g_ascii_strtoll (*text, &end, 10);
  if (end == *text || (*end && !g_ascii_isspace (*end)))
    return FALSE;
  *text = end;
  return TRUE;
}

static gboolean
take_char (const char **text, char c)
{
  while (g_ascii_isspace (**text))
    (*text)++;
  if (**text != c)
    return FALSE;
  (*text)++;
  return TRUE;
}

static gboolean
at_end (const char *text)
{
  while (g_ascii_isspace (*text))
    text++;
  return *text == '\0';
}

/* "(a,b,c)" of n numbers, of which the first three are kept. */
static gboolean
take_vector (const char **text, guint n, double out[3])
{
  if (!take_char (text, '('))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    double value;

    if ((i > 0 && !take_char (text, ',')) || !take_double (text, &value))
      return FALSE;
    if (i < 3)
      out[i] = value;
  }
  return take_char (text, ')');
}

/* One whole number that is all of the value. */
static gboolean
whole_int (const char *text, gint64 lo, gint64 hi, gint64 *value)
{
  return take_int (&text, value) && at_end (text) && *value >= lo && *value <= hi;
}

static gboolean
parse_per_axis (TessNrrdHeader *header, const char *name, double (*place) (TessNrrdAxis *, double))
{
  const char *text = tess_nrrd_header_field (header, name);
  double value;

  if (!text)
    return TRUE;
  for (guint i = 0; i < header->n_axes; i++) {
    if (!take_double (&text, &value))
      return FALSE;
    place (&header->axis[i], value);
  }
  return at_end (text);
}

static double
place_spacing (TessNrrdAxis *axis, double value)
{
  return axis->spacing = value;
}

static double
place_min (TessNrrdAxis *axis, double value)
{
  return axis->min = value;
}

static double
place_max (TessNrrdAxis *axis, double value)
{
  return axis->max = value;
}

/* Words between blanks, one an axis. */
static gboolean
parse_words (TessNrrdHeader *header, const char *name, void (*place) (TessNrrdAxis *, const char *))
{
  const char *text = tess_nrrd_header_field (header, name);
  guint n = 0;
  g_auto (GStrv) words = text ? g_strsplit_set (text, " \t", -1) : NULL;

  if (!text)
    return TRUE;
  for (char **word = words; *word; word++)
    if (**word && n < header->n_axes)
      place (&header->axis[n++], *word);
    else if (**word)
      return FALSE;
  return n == header->n_axes;
}

static void
place_kind (TessNrrdAxis *axis, const char *word)
{
  if (strcmp (word, "???") != 0 && g_ascii_strcasecmp (word, "none") != 0) {
    g_free (axis->kind);
    axis->kind = g_ascii_strdown (word, -1);
  }
}

static void
place_centre (TessNrrdAxis *axis, const char *word)
{
  axis->node = g_ascii_strcasecmp (word, "node") == 0;
}

/* "left-posterior-superior", "LPS", "...-time", "LPST"; the sides in this order, as all spaces NRRD names. */
static gboolean
parse_space_name (TessNrrdHeader *header, const char *text, guint *dimension)
{
  static const char *const sides[3][2] = {{"right", "left"}, {"anterior", "posterior"}, {"superior", "inferior"}};
  static const struct {
    const char *name;
    guint dimension;
  } others[] = {
      {"scanner-xyz", 3},          {"scanner-xyz-time", 4}, {"3d-right-handed", 3},
      {"3d-right-handed-time", 4}, {"3d-left-handed", 3},   {"3d-left-handed-time", 4},
  };
  g_auto (GStrv) words = g_strsplit (text, "-", -1);
  guint n = g_strv_length (words);

  header->named_space = TRUE;
  if (n == 1 && (strlen (text) == 3 || (strlen (text) == 4 && g_ascii_toupper (text[3]) == 'T'))) {
    for (int k = 0; k < 3; k++) {
      if (g_ascii_tolower (text[k]) == sides[k][0][0])
        header->to_ras[k] = 1.0;
      else if (g_ascii_tolower (text[k]) == sides[k][1][0])
        header->to_ras[k] = -1.0;
      else
        return FALSE;
    }
    *dimension = (guint)strlen (text);
    header->anatomical = TRUE;
    return TRUE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    if (g_ascii_strcasecmp (text, others[i].name) == 0) {
      *dimension = others[i].dimension;
      return TRUE;
    }
  if (n != 3 && !(n == 4 && g_ascii_strcasecmp (words[3], "time") == 0))
    return FALSE;
  for (int k = 0; k < 3; k++)
    if (g_ascii_strcasecmp (words[k], sides[k][0]) == 0)
      header->to_ras[k] = 1.0;
    else if (g_ascii_strcasecmp (words[k], sides[k][1]) == 0)
      header->to_ras[k] = -1.0;
    else
      return FALSE;
  *dimension = n;
  header->anatomical = TRUE;
  return TRUE;
}

static gboolean
parse_space (TessNrrdHeader *header, const char *path, GError **error)
{
  const char *space = tess_nrrd_header_field (header, "space");
  const char *dimension = tess_nrrd_header_field (header, "space dimension");
  const char *directions = tess_nrrd_header_field (header, "space directions");
  const char *origin = tess_nrrd_header_field (header, "space origin");
  guint n = 0;
  gint64 given;

  header->to_ras[0] = header->to_ras[1] = -1.0; /* as ITK does: what is not said is LPS */
  header->to_ras[2] = 1.0;
  if (space && !parse_space_name (header, space, &n))
    return tess_nrrd_fail (error, path, TESS_ERROR_UNSUPPORTED,
                           _ ("its header gives the unknown space \"%s\"; write left-posterior-superior or "
                              "right-anterior-superior there"),
                           space);
  if (dimension) {
    if (!whole_int (dimension, 1, TESS_NRRD_MAX_AXES, &given) || (n && n != (guint)given))
      return fail_field (error, path, "space dimension");
    n = (guint)given;
  }
  if ((directions || origin) && n == 0)
    return tess_nrrd_fail (error, path, TESS_ERROR_FORMAT,
                           _ ("its header gives \"%s\" without the \"space\" they are in; add that line to the header"),
                           directions ? "space directions" : "space origin");
  for (guint i = 0; directions && i < header->n_axes; i++) {
    TessNrrdAxis *axis = &header->axis[i];

    while (g_ascii_isspace (*directions))
      directions++;
    if (g_ascii_strncasecmp (directions, "none", 4) == 0) {
      directions += 4;
      continue;
    }
    if (!take_vector (&directions, n, axis->vector))
      return fail_field (error, path, "space directions");
    axis->has_vector = isfinite (axis->vector[0]) && isfinite (axis->vector[1]) && isfinite (axis->vector[2]);
    if (n > 3 && axis->vector[0] == 0.0 && axis->vector[1] == 0.0 && axis->vector[2] == 0.0)
      axis->has_vector = FALSE; /* time */
  }
  if (directions && !at_end (directions))
    return fail_field (error, path, "space directions");
  if (origin) {
    if (!take_vector (&origin, n, header->origin) || !at_end (origin))
      return fail_field (error, path, "space origin");
    header->has_origin = isfinite (header->origin[0]) && isfinite (header->origin[1]) && isfinite (header->origin[2]);
  }
  return TRUE;
}

static gboolean
parse_type (TessNrrdHeader *header, const char *path, GError **error)
{
  const char *type = tess_nrrd_header_field (header, "type"), *encoding = tess_nrrd_header_field (header, "encoding");
  gboolean found = FALSE;

  for (guint i = 0; type && !found && i < G_N_ELEMENTS (types); i++)
    if (g_ascii_strcasecmp (type, types[i].name) == 0) {
      header->dtype = types[i].dtype;
      found = TRUE;
    }
  if (!found && type)
    return tess_nrrd_fail (
        error, path, TESS_ERROR_UNSUPPORTED,
        _ ("its voxels are of the type \"%s\", which is not supported; export them as integers or floats"), type);
  if (!found)
    return fail_field (error, path, "type");
  found = FALSE;
  for (guint i = 0; encoding && !found && i < G_N_ELEMENTS (encodings); i++)
    if (g_ascii_strcasecmp (encoding, encodings[i].name) == 0) {
      header->encoding = encodings[i].encoding;
      found = TRUE;
    }
  if (!found && encoding)
    return tess_nrrd_fail (error, path, TESS_ERROR_UNSUPPORTED,
                           _ ("its encoding \"%s\" is not supported; export it again as raw or gzip"), encoding);
  return found || fail_field (error, path, "encoding");
}

static gboolean
parse_sizes (TessNrrdHeader *header, const char *path, GError **error)
{
  const char *dimension = tess_nrrd_header_field (header, "dimension"),
             *sizes = tess_nrrd_header_field (header, "sizes");
  gint64 n, total = (gint64)tess_dtype_size (header->dtype);

  if (!dimension || !whole_int (dimension, 1, TESS_NRRD_MAX_AXES, &n))
    return fail_field (error, path, "dimension");
  header->n_axes = (guint)n;
  for (guint i = 0; i < header->n_axes; i++) {
    TessNrrdAxis *axis = &header->axis[i];

    axis->spacing = axis->min = axis->max = NAN;
    if (!sizes || !take_int (&sizes, &axis->size) || axis->size < 1 ||
        __builtin_mul_overflow (total, axis->size, &total))
      return fail_field (error, path, "sizes");
  }
  return at_end (sizes) || fail_field (error, path, "sizes");
}

static gboolean
parse_data (TessNrrdHeader *header, const char *path, GError **error)
{
  const char *endian = tess_nrrd_header_field (header, "endian"), *file = tess_nrrd_header_field (header, "data file");
  const char *lines = tess_nrrd_header_field (header, "line skip"),
             *bytes = tess_nrrd_header_field (header, "byte skip");
  gint64 skip = 0;

  if (endian) {
    header->big_endian = g_ascii_strcasecmp (endian, "big") == 0;
    if (!header->big_endian && g_ascii_strcasecmp (endian, "little") != 0)
      return fail_field (error, path, "endian");
    header->has_endian = TRUE;
  }
  if (lines && !whole_int (lines, 0, G_MAXINT64, &skip))
    return fail_field (error, path, "line skip");
  header->line_skip = (guint64)skip;
  if (bytes && !whole_int (bytes, -1, G_MAXINT64, &header->byte_skip))
    return fail_field (error, path, "byte skip");
  header->has_byte_skip = bytes != NULL;
  if (!file)
    return TRUE;
  if (*file == '\0')
    return fail_field (error, path, "data file");
  header->data_file = g_strdup (file);
  return TRUE;
}

/**
 * tess_nrrd_parse_fields:
 *
 * What the lines say. Errors: FORMAT, UNSUPPORTED.
 */
gboolean
tess_nrrd_parse_fields (TessNrrdHeader *header, const char *path, GError **error)
{
  static const char *const per_axis[] = {"spacings", "axis mins", "axis maxs", "kinds", "centers"};
  gboolean good[5];

  if (!parse_type (header, path, error) || !parse_sizes (header, path, error) || !parse_space (header, path, error) ||
      !parse_data (header, path, error))
    return FALSE;
  good[0] = parse_per_axis (header, "spacings", place_spacing);
  good[1] = parse_per_axis (header, "axis mins", place_min);
  good[2] = parse_per_axis (header, "axis maxs", place_max);
  good[3] = parse_words (header, "kinds", place_kind);
  good[4] = parse_words (header, "centers", place_centre);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    if (!good[i])
      return fail_field (error, path, per_axis[i]);
  tess_nrrd_assign_axes (header);
  return TRUE;
}
