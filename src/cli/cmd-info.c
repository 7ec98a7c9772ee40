#include "tess-cli.h"
#include "tess-format.h"
#include "tess-format-registry.h"
#include "tess-statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void
add_numbers (JsonObject *object, const char *name, const double *values, guint n)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < n; i++)
    json_array_add_double_element (array, values[i]);
  json_object_set_array_member (object, name, array);
}

static JsonNode *
info_json (TessVolume *volume, const TessFormat *format, const TessStatistics *statistics, GPtrArray *warnings)
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
  json_node_take_object (root, object);
  return root;
}

static void
print_card (const char *path, TessVolume *volume, const TessFormat *format, const TessStatistics *statistics,
            GPtrArray *warnings)
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
  for (guint i = 0; i < warnings->len; i++)
    printf (_ ("  note         %s\n"), (const char *)g_ptr_array_index (warnings, i));
  for (int k = 0; k < 3; k++)
    g_free (s[k]);
}

static GPtrArray *
all_warnings (TessVolume *volume, const TessStatistics *statistics)
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
  return all;
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
  TessProgress *progress;
  TessStatistics statistics;
  const TessFormat *format;
  GError *error = NULL;
  gboolean done, list = FALSE;
  const GOptionEntry options[] = {{"list", 0, 0, G_OPTION_ARG_NONE, &list,
                                   N_ ("list the volumes FILE holds (series of a folder or DICOMDIR, arrays)"), NULL},
                                  {NULL}};
  int code;

  if (!tess_cli_parse (cli, &argc, &argv, options, "FILE",
                       _ ("Shows what a volume file holds: size, type, place in space, values."), 1, 1, &code))
    return code;
  if (list)
    return list_entries (cli, argv[1]);
  progress = tess_cli_progress (cli, _ ("Reading"));
  volume = tess_volume_load (argv[1], progress, &error);
  done = volume && tess_volume_statistics (volume, -1, progress, &statistics, &error);
  tess_cli_progress_end (progress);
  if (!done)
    return tess_cli_fail (error);

  format = tess_format_for_path (argv[1], NULL);
  warnings = all_warnings (volume, &statistics);
  if (cli->json)
    tess_cli_print_json (info_json (volume, format, &statistics, warnings));
  else
    print_card (argv[1], volume, format, &statistics, warnings);
  return 0;
}
