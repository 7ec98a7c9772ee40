/* Every file below the folder of real test files against what a reference library says of it
 * (tests/reference/all_files.py), with a table of all of them: formats/all-files.md in the tests' build folder. */
#include "tess-format-registry.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

#define DIGITS 20 /* of a SHA-1 */

static const char *const other_kinds[] = {".csv", ".json", ".pth", ".bin", ".txt", ".md"};

typedef struct {
  const char *root;
  GString *table, *faults;
  GHashTable *known; /* paths of the reference, and of the files that go with one */
  guint n_equal, n_refused, n_other, n_faults;
  gboolean have_dicom;
} All;

static void row (All *all, const char *path, const char *by, const char *dims, const char *verdict, const char *said);
static void fault (All *all, const char *path, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
row (All *all, const char *path, const char *by, const char *dims, const char *verdict, const char *said)
{
  g_autofree char *line = g_strdup (said);

  g_string_append_printf (all->table, "| %s | %s | %s | %s | %s |\n", path, by, dims, verdict,
                          g_strdelimit (line, "|\n", '/'));
}

static void
fault (All *all, const char *path, const char *format, ...)
{
  va_list args;

  g_string_append_printf (all->faults, "\n%s: ", path);
  va_start (args, format);
  g_string_append_vprintf (all->faults, format, args);
  va_end (args);
  all->n_faults++;
}

/* SHA-1 of all real values as little-endian float64; -0 as 0, one NaN for all. */
static char *
digest_values (TessVolume *volume)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA1);
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume)), block = 1 << 16;
  g_autofree double *values = g_new (double, block);
  const guint64 one_nan = G_GUINT64_CONSTANT (0x7ff8000000000000);

  g_assert_cmpint (G_BYTE_ORDER, ==, G_LITTLE_ENDIAN);
  for (gsize at = 0; at < n; at += block) {
    gsize k = MIN (block, n - at);

    tess_volume_values_f64 (volume, at, k, values);
    for (gsize i = 0; i < k; i++) {
      values[i] += 0.0;
      if (isnan (values[i]))
        memcpy (&values[i], &one_nan, 8);
    }
    g_checksum_update (sum, (const guchar *)values, (gssize)(k * 8));
  }
  return g_strndup (g_checksum_get_string (sum), DIGITS);
}

/* SHA-1 of where a value is, in any channel; one byte a voxel. */
static char *
digest_segment (TessVolume *volume, int value)
{
  gint64 n = tess_volume_n_voxels (volume);
  g_autofree guint8 *mask = g_new0 (guint8, n);
  g_autofree double *values = g_new (double, n);
  g_autofree char *digest = NULL;

  for (gint64 c = 0; c < tess_volume_n_channels (volume); c++) {
    tess_volume_values_f64 (volume, (gsize)(c * n), (gsize)n, values);
    for (gint64 i = 0; i < n; i++)
      mask[i] |= values[i] == value;
  }
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA1, mask, (gsize)n);
  return g_strndup (digest, DIGITS);
}

static double
mean_of (TessVolume *volume)
{
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  g_autofree double *values = g_new (double, n);
  double sum = 0;

  tess_volume_values_f64 (volume, 0, n, values);
  for (gsize i = 0; i < n; i++)
    sum += values[i];
  return sum / (double)n;
}

static void
compare_values (All *all, JsonObject *o, const char *path, TessVolume *volume)
{
  if (json_object_has_member (o, "segments")) {
    JsonObject *segments = json_object_get_object_member (o, "segments");
    g_autoptr (GList) keys = json_object_get_members (segments);

    for (GList *k = keys; k; k = k->next) {
      g_autofree char *digest = digest_segment (volume, atoi (k->data));

      if (strcmp (digest, json_object_get_string_member (segments, k->data)) != 0)
        fault (all, path, "segment %s is elsewhere", (char *)k->data);
    }
  } else if (json_object_has_member (o, "mean")) {
    double mean = mean_of (volume), wanted = json_object_get_double_member (o, "mean");

    if (!(fabs (mean - wanted) <= json_object_get_double_member (o, "tolerance")))
      fault (all, path, "the mean is %.9g, the reference says %.9g", mean, wanted);
  } else {
    g_autofree char *digest = digest_values (volume);

    if (strcmp (digest, json_object_get_string_member (o, "values")) != 0)
      fault (all, path, "the values differ");
  }
}

static void
compare_geometry (All *all, JsonObject *o, const char *path, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *affine = NULL;

  if (json_object_has_member (o, "affine"))
    affine = json_object_get_array_member (o, "affine");
  for (guint k = 0; k < 3; k++)
    if (tess_volume_dim (volume)[k] != json_array_get_int_element (dims, k))
      fault (all, path, "dim[%u] is %d", k, (int)tess_volume_dim (volume)[k]);
  if (tess_volume_n_channels (volume) != json_object_get_int_member (o, "channels"))
    fault (all, path, "it has %d channels", (int)tess_volume_n_channels (volume));
  for (guint k = 0; k < 12; k++) {
    double is = tess_volume_affine (volume)->m[k / 4][k % 4];
    double wanted = affine ? json_array_get_double_element (affine, k) : k % 5 == 0;

    if (!(fabs (is - wanted) <= 1e-5))
      fault (all, path, "affine [%u][%u] is %.9g, the reference says %.9g", k / 4, k % 4, is, wanted);
  }
}

static void
check_volume (All *all, JsonObject *o, const char *path, TessVolume *volume)
{
  const gint64 *dim = tess_volume_dim (volume);
  guint before = all->n_faults;
  g_autofree char *dims =
      g_strdup_printf ("%dx%dx%d, %d", (int)dim[0], (int)dim[1], (int)dim[2], (int)tess_volume_n_channels (volume));
  g_autofree char *warnings = g_strjoinv (" ", (char **)tess_volume_warnings (volume));

  compare_geometry (all, o, path, volume);
  if (all->n_faults == before)
    compare_values (all, o, path, volume);
  if (json_object_has_member (o, "warns")) {
    JsonArray *words = json_object_get_array_member (o, "warns");

    for (guint i = 0; i < json_array_get_length (words); i++)
      if (!strstr (warnings, json_array_get_string_element (words, i)))
        fault (all, path, "no warning says \"%s\"", json_array_get_string_element (words, i));
  }
  all->n_equal += all->n_faults == before;
  row (all, path, json_object_get_string_member (o, "by"), dims,
       all->n_faults > before                   ? "**DIFFERS**"
       : json_object_has_member (o, "mean")     ? "equal in the mean (lossy)"
       : json_object_has_member (o, "segments") ? "equal, segment by segment"
                                                : "equal",
       warnings);
}

/* Refused with the right kind of error, in one line that begins with the path and gives advice. */
static void
check_refusal (All *all, const char *path, const char *full, const char *kind, const char *says, const GError *error)
{
  int code = g_str_equal (kind, "unsupported") ? TESS_ERROR_UNSUPPORTED : TESS_ERROR_FORMAT;
  const char *said = error ? error->message : "it was read";
  guint before = all->n_faults;

  if (!g_error_matches (error, TESS_ERROR, code))
    fault (all, path, "it should be refused (%s); but: %s", kind, said);
  else if (!strstr (said, says) || !g_str_has_prefix (said, full) || strchr (said, '\n') || !strchr (said, ';'))
    fault (all, path, "the sentence is wrong: %s", said);
  all->n_refused += all->n_faults == before;
  row (all, path, "", "", all->n_faults > before ? "**NOT AS IT SHOULD**" : "refused",
       g_str_has_prefix (said, full) ? said + strlen (full) + 2 : said);
}

static void
check_entry (All *all, JsonObject *o)
{
  const char *path = json_object_get_string_member (o, "path");
  g_autofree char *full = g_build_filename (all->root, path, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = NULL;

  if (!all->have_dicom && g_str_has_prefix (path, "dicom/") && !strstr (path, ".nii") && !strstr (path, ".nrrd")) {
    row (all, path, "", "", "not tried: built without GDCM", "");
    return;
  }
  volume = tess_volume_load (full, NULL, &error);
  if (json_object_has_member (o, "fails")) {
    check_refusal (all, path, full, json_object_get_string_member (o, "fails"),
                   json_object_get_string_member (o, "says"), error);
  } else if (volume) {
    check_volume (all, o, path, volume);
  } else if (json_object_has_member (o, "colours") && g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED)) {
    check_refusal (all, path, full, "unsupported", "colours", error);
  } else {
    fault (all, path, "refused: %s", error->message);
    row (all, path, json_object_get_string_member (o, "by"), "", "**REFUSED**", error->message);
  }
}

/* Is the file, or a folder above it, in the reference? */
static gboolean
is_known (All *all, const char *path)
{
  g_autofree char *part = g_strdup (path);
  char *slash;

  do {
    if (g_hash_table_contains (all->known, part))
      return TRUE;
    slash = strrchr (part, '/');
    if (slash)
      *slash = '\0';
  } while (slash);
  return FALSE;
}

/* Files that nothing was said about: of another kind, and then no volume, or a fault. */
static void
look_for_others (All *all, const char *folder)
{
  g_autofree char *full = g_build_filename (all->root, folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (full, 0, NULL);
  const char *name;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = *folder ? g_build_filename (folder, name, NULL) : g_strdup (name);
    g_autofree char *here = g_build_filename (all->root, path, NULL);
    gboolean other = FALSE;

    if (is_known (all, path))
      continue;
    if (g_file_test (here, G_FILE_TEST_IS_DIR)) {
      look_for_others (all, path);
      continue;
    }
    for (guint i = 0; i < G_N_ELEMENTS (other_kinds); i++)
      other = other || g_str_has_suffix (name, other_kinds[i]);
    if (other) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TessVolume) volume = tess_volume_load (here, NULL, &error);

      check_refusal (all, path, here, "unsupported", "", error);
      all->n_other++;
    } else {
      fault (all, path, "this file is not in all_files.json");
    }
  }
}

static void
remember (All *all, JsonObject *o)
{
  const char *path = json_object_get_string_member (o, "path");

  g_hash_table_add (all->known, g_strdup (path));
  if (json_object_has_member (o, "with")) {
    JsonArray *with = json_object_get_array_member (o, "with");
    g_autofree char *folder = g_path_get_dirname (path);

    for (guint i = 0; i < json_array_get_length (with); i++)
      g_hash_table_add (all->known, g_build_filename (folder, json_array_get_string_element (with, i), NULL));
  }
}

static void
test_all_files (void)
{
  const char *codec = g_getenv ("TESSERA_CODEC");
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GString) table =
      g_string_new ("| file or folder | compared with | dims, channels | verdict | what Tessera "
                    "says |\n|---|---|---|---|---|\n");
  g_autoptr (GString) faults = g_string_new (NULL);
  All all = {.root = g_getenv ("TESSERA_SHARED_DATA"), .table = table, .faults = faults, .known = known};
  g_autofree char *out = g_build_filename (g_test_get_dir (G_TEST_BUILT), "formats", "all-files.md", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = NULL;
  JsonArray *list;

  if (!all.root || !g_file_test (all.root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  all.have_dicom = codec && g_file_test (codec, G_FILE_TEST_IS_EXECUTABLE);
  node = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "all_files.json", NULL), &error);
  g_assert_no_error (error);
  list = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (list); i++)
    remember (&all, json_array_get_object_element (list, i));
  for (guint i = 0; i < json_array_get_length (list); i++)
    check_entry (&all, json_array_get_object_element (list, i));
  look_for_others (&all, "");
  g_assert_true (g_file_set_contents (out, table->str, (gssize)table->len, NULL));
  g_test_message ("%u equal, %u refused as they should be (%u of other kinds), %u faults: %s", all.n_equal,
                  all.n_refused, all.n_other, all.n_faults, out);
  if (all.n_faults > 0)
    g_error ("%u faults:%s", all.n_faults, faults->str);
  g_assert_cmpuint (all.n_equal, >, all.have_dicom ? 590 : 500);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/formats/all-files", test_all_files);
  return g_test_run ();
}
