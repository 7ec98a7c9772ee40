#include "tess-cli.h"
#include "tess-findings-csv.h"
#include "tess-format.h"
#include "tess-format-registry.h"
#include "tess-overlay.h"
#include "tess-statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define MAX_LISTED 40 /* findings on the card; --json has all */

/* The findings of a table that are the scan's, and where they are in it. */
typedef struct {
  TessFindings *all, *own; /* NULL: no table was asked for */
  double *indices;         /* voxels, three a finding of `own` */
  gboolean *inside;
  guint n_outside;
} Places;

static void
places_clear (Places *places)
{
  g_clear_pointer (&places->all, tess_findings_unref);
  g_clear_pointer (&places->own, tess_findings_unref);
  g_free (places->indices);
  g_free (places->inside);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Places, places_clear)

static gboolean
find_places (Places *places, const char *table, TessVolume *volume, const char *location, GError **error)
{
  TessGrid grid = tess_volume_grid (volume);
  guint n;

  places->all = tess_findings_csv_load (table, error);
  if (!places->all)
    return FALSE;
  places->own = tess_findings_of_scan (places->all, volume, location);
  n = tess_findings_n (places->own);
  places->indices = g_new (double, 3 * (gsize)n);
  places->inside = g_new (gboolean, n);
  tess_findings_place (places->own, &grid, places->indices, places->inside); /* a volume's affine can be inverted */
  for (guint i = 0; i < n; i++)
    places->n_outside += places->inside[i] ? 0 : 1;
  return TRUE;
}

static void
add_numbers (JsonObject *object, const char *name, const double *values, guint n)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < n; i++)
    json_array_add_double_element (array, values[i]);
  json_object_set_array_member (object, name, array);
}

static JsonArray *
findings_json (const Places *places)
{
  const char *const *columns = tess_findings_columns (places->own);
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < tess_findings_n (places->own); i++) {
    const TessFinding *finding = tess_findings_peek (places->own, i);
    JsonObject *object = json_object_new (), *texts = json_object_new ();

    json_object_set_string_member (object, "id", finding->scan);
    add_numbers (object, "world", finding->world, 3);
    add_numbers (object, "voxel", places->indices + 3 * (gsize)i, 3);
    json_object_set_double_member (object, "diameter", finding->diameter); /* NaN is written as null */
    json_object_set_boolean_member (object, "inside", places->inside[i]);
    for (guint k = 0; columns[k]; k++)
      json_object_set_string_member (texts, columns[k], finding->texts[k]);
    json_object_set_object_member (object, "texts", texts);
    json_array_add_object_element (array, object);
  }
  return array;
}

static JsonNode *
info_json (TessVolume *volume, const TessFormat *format, const TessStatistics *statistics, GPtrArray *warnings,
           const Places *places)
{
  const gint64 *dim = tess_volume_dim (volume);
  const TessAffine *affine = tess_volume_affine (volume);
  JsonObject *object = json_object_new ();
  JsonArray *dims = json_array_new (), *rows = json_array_new (), *sentences = json_array_new ();
  JsonNode *root = json_node_new (JSON_NODE_OBJECT);
  double spacing[3];
  char codes[4];

  tess_affine_spacing (affine, spacing);
  tess_affine_orientation (affine, codes);
  json_object_set_string_member (object, "format", format->id);
  for (int k = 0; k < 3; k++)
    json_array_add_int_element (dims, dim[k]);
  json_object_set_array_member (object, "dims", dims);
  json_object_set_int_member (object, "channels", tess_volume_n_channels (volume));
  json_object_set_string_member (object, "dtype", tess_dtype_name (tess_volume_dtype (volume)));
  add_numbers (object, "spacing", spacing, 3);
  for (int r = 0; r < 4; r++) {
    JsonArray *row = json_array_new ();

    for (int k = 0; k < 4; k++)
      json_array_add_double_element (row, r < 3 ? affine->m[r][k] : k == 3 ? 1.0 : 0.0);
    json_array_add_array_element (rows, row);
  }
  json_object_set_array_member (object, "affine", rows);
  json_object_set_string_member (object, "orientation", codes);
  json_object_set_double_member (object, "min",
                                 statistics->min); /* NaN, when no value is a number, is written as null */
  json_object_set_double_member (object, "max", statistics->max);
  json_object_set_double_member (object, "mean", statistics->mean);
  json_object_set_double_member (object, "std", statistics->std);
  for (guint i = 0; i < warnings->len; i++)
    json_array_add_string_element (sentences, g_ptr_array_index (warnings, i));
  json_object_set_array_member (object, "warnings", sentences);
  if (places->own)
    json_object_set_array_member (object, "findings", findings_json (places));
  json_node_take_object (root, object);
  return root;
}

/* A line a finding: its number, the words of its columns, where it is and how large. */
static void
print_findings (const Places *places)
{
  guint n = tess_findings_n (places->own);

  printf (_ ("  findings     %u of the %u in the table\n"), n, tess_findings_n (places->all));
  for (guint i = 0; i < MIN (n, MAX_LISTED); i++) {
    const TessFinding *finding = tess_findings_peek (places->own, i);
    const double *index = places->indices + 3 * (gsize)i;
    g_autofree char *world = tess_format_position (finding->world);
    g_autofree char *diameter = tess_format_number (finding->diameter, 3);

    printf (_ ("    %-4u       %s   voxel %.1f, %.1f, %.1f"), i + 1, world, index[0], index[1], index[2]);
    if (isfinite (finding->diameter))
      printf (_ ("   diameter %s mm"), diameter);
    printf ("%s\n", places->inside[i] ? "" : _ ("   outside"));
  }
  if (n > MAX_LISTED)
    printf (_ ("    …          %u more; --json lists all\n"), n - MAX_LISTED);
}

static void
print_card (const char *path, TessVolume *volume, const TessFormat *format, const TessStatistics *statistics,
            GPtrArray *warnings, const Places *places)
{
  const TessAffine *affine = tess_volume_affine (volume);
  g_autofree char *dims = tess_format_dims (tess_volume_dim (volume), 3);
  g_autofree char *bytes = tess_format_bytes (tess_volume_n_bytes (volume));
  g_autofree char *name = g_filename_display_name (path);
  g_autofree char *min = tess_format_number (statistics->min, 6), *max = tess_format_number (statistics->max, 6);
  g_autofree char *mean = tess_format_number (statistics->mean, 6), *std = tess_format_number (statistics->std, 6);
  gint64 n_channels = tess_volume_n_channels (volume);
  double spacing[3];
  char codes[4], *s[3];

  tess_affine_spacing (affine, spacing);
  tess_affine_orientation (affine, codes);
  for (int k = 0; k < 3; k++)
    s[k] = tess_format_number (spacing[k], 4);
  printf ("%s\n", name);
  printf (_ ("  format       %s%s\n"), format->name,
          tess_volume_intent (volume) == TESS_INTENT_LABEL ? _ (", labels") : "");
  printf (_ ("  voxels       %s\n"), dims);
  if (n_channels > 1)
    printf (_ ("  channels     %" PRId64 "\n"), n_channels);
  printf (_ ("  type         %s (%s in memory)\n"), tess_dtype_name (tess_volume_dtype (volume)), bytes);
  if (tess_volume_slope (volume) != 1.0 || tess_volume_intercept (volume) != 0.0) {
    g_autofree char *slope = tess_format_number (tess_volume_slope (volume), 6);
    g_autofree char *intercept = tess_format_number (tess_volume_intercept (volume), 6);

    printf (_ ("  scaling      value = %s x stored + %s\n"), slope, intercept);
  }
  printf (_ ("  spacing      %s x %s x %s mm\n"), s[0], s[1], s[2]);
  printf (_ ("  orientation  %s\n"), codes);
  for (int r = 0; r < 3; r++) {
    printf ("%s", r == 0 ? _ ("  affine     ") : "             ");
    for (int k = 0; k < 4; k++)
      printf (" %11.5f", affine->m[r][k]);
    printf ("\n");
  }
  printf (_ ("  range        %s to %s\n"), min, max);
  printf (_ ("  mean, std    %s, %s\n"), mean, std);
  if (places->own)
    print_findings (places);
  for (guint i = 0; i < warnings->len; i++)
    printf (_ ("  note         %s\n"), (const char *)g_ptr_array_index (warnings, i));
  for (int k = 0; k < 3; k++)
    g_free (s[k]);
}

static GPtrArray *
all_warnings (TessVolume *volume, const TessStatistics *statistics, const Places *places)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);

  for (const char *const *warning = tess_volume_warnings (volume); *warning; warning++)
    g_ptr_array_add (all, g_strdup (*warning));
  if (statistics->n_not_finite > 0)
    g_ptr_array_add (
        all, g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%" PRId64 " voxel is not a number (NaN or infinite).",
                                           "%" PRId64 " voxels are not numbers (NaN or infinite).",
                                           (gulong)statistics->n_not_finite),
                              statistics->n_not_finite));
  if (places->own && tess_findings_n (places->own) == 0 && tess_findings_n (places->all) > 0)
    g_ptr_array_add (all, g_strdup (_ ("No finding of the table is of this scan: no seriesuid is its name.")));
  if (places->n_outside > 0)
    g_ptr_array_add (all, g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u finding lies outside the scan.",
                                                        "%u findings lie outside the scan.", places->n_outside),
                                           places->n_outside));
  return all;
}

/* What is read is counted on the way. */
static void
live_cb (TessVolume *volume, gpointer data)
{
  TessStatisticsRun **run = data;

  if (*run)
    tess_statistics_run_advance (*run);
  else
    *run = tess_statistics_follow (volume);
}

static JsonNode *
entries_json (GPtrArray *entries)
{
  JsonArray *all = json_array_new ();
  JsonObject *object = json_object_new ();
  JsonNode *root = json_node_new (JSON_NODE_OBJECT);

  for (guint i = 0; i < entries->len; i++) {
    const TessVolumeEntry *entry = g_ptr_array_index (entries, i);
    JsonObject *o = json_object_new ();
    JsonArray *dims = json_array_new ();

    for (int k = 0; k < 3; k++)
      json_array_add_int_element (dims, entry->dim[k]);
    json_object_set_string_member (o, "id", entry->id);
    json_object_set_string_member (o, "description", entry->description ? entry->description : "");
    json_object_set_array_member (o, "dims", dims);
    json_object_set_int_member (o, "channels", entry->n_channels);
    json_object_set_string_member (o, "dtype", tess_dtype_name (entry->dtype));
    json_array_add_object_element (all, o);
  }
  json_object_set_array_member (object, "entries", all);
  json_node_take_object (root, object);
  return root;
}

/* What may be named as PATH::ENTRY: series of a study, arrays of an archive. */
static int
list_entries (TessCli *cli, const char *path)
{
  GError *error = NULL;
  g_autoptr (GPtrArray) entries = tess_volume_entries (path, &error);

  if (!entries)
    return tess_cli_fail (error);
  if (cli->json) {
    tess_cli_print_json (entries_json (entries));
    return 0;
  }
  if (entries->len == 0)
    printf ("%s\n", _ ("one volume, which needs no name"));
  for (guint i = 0; i < entries->len; i++) {
    const TessVolumeEntry *entry = g_ptr_array_index (entries, i);
    g_autofree char *dims = tess_format_dims (entry->dim, 3);

    printf ("%s\t%s\t%s\t%s\n", entry->id, dims, tess_dtype_name (entry->dtype),
            entry->description ? entry->description : "");
  }
  return 0;
}

int
tess_cmd_info (TessCli *cli, int argc, char **argv)
{
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GPtrArray) warnings = NULL;
  g_auto (Places) places = {NULL};
  g_autofree char *table = NULL;
  gboolean list = FALSE;
  const GOptionEntry entries[] = {
      {"findings", 0, 0, G_OPTION_ARG_FILENAME, &table,
       N_ ("table of findings (seriesuid,coordX,coordY,coordZ,diameter_mm): which are this scan's, and where"), "CSV"},
      {"list", 0, 0, G_OPTION_ARG_NONE, &list,
       N_ ("list the volumes FILE holds (series of a folder or DICOMDIR, arrays)"), NULL},
      {NULL},
  };
  g_autoptr (TessStatisticsRun) run = NULL;
  TessProgress *progress;
  TessStatistics statistics;
  const TessFormat *format;
  GError *error = NULL;
  gboolean done;
  int code;

  if (!tess_cli_parse (cli, &argc, &argv, entries, "FILE",
                       _ ("Shows what a volume file holds: size, type, place in space, values."), 1, 1, &code))
    return code;
  if (list)
    return list_entries (cli, argv[1]);
  progress = tess_cli_progress (cli, _ ("Reading"));
  volume = tess_volume_load_live (argv[1], progress, live_cb, &run, &error);
  done = volume && (run ? tess_statistics_run_finish (run, volume, progress, &statistics, &error)
                        : tess_volume_statistics (volume, -1, progress, &statistics, &error)) &&
         (!table || find_places (&places, table, volume, argv[1], &error));
  tess_cli_progress_end (progress);
  if (!done)
    return tess_cli_fail (error);

  format = tess_format_for_path (argv[1], NULL);
  warnings = all_warnings (volume, &statistics, &places);
  if (cli->json)
    tess_cli_print_json (info_json (volume, format, &statistics, warnings, &places));
  else
    print_card (argv[1], volume, format, &statistics, warnings, &places);
  return 0;
}
