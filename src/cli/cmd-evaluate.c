#include "tess-cli.h"

#include "tess-evaluate.h"
#include "tess-format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A number of a result row, "-" where it is undefined. */
static char *
cell (JsonObject *row, const char *name, double scale)
{
  JsonNode *node = json_object_get_member (row, name);

  if (!node || JSON_NODE_HOLDS_NULL (node))
    return g_strdup ("-");
  return tess_format_number (json_node_get_double (node) * scale, 4);
}

#define N_CELLS 7

static void
print_cells (int width, const char *const *text)
{
  const int columns[N_CELLS] = {width, -6, -8, -8, -8, -12, -13};

  tess_cli_print_row (text, columns, N_CELLS, "  ");
}

static void
print_row (int width, const char *name, const char *label, JsonObject *row)
{
  g_autofree char *dice = cell (row, "dice", 1.0);
  g_autofree char *iou = cell (row, "iou", 1.0);
  g_autofree char *hd95 = cell (row, "hd95_mm", 1.0);
  g_autofree char *reference = cell (row, "volume_reference_mm3", 1e-3);
  g_autofree char *prediction = cell (row, "volume_prediction_mm3", 1e-3);

  print_cells (width, (const char *[N_CELLS]){name, label, dice, iou, hd95, reference, prediction});
}

static int
compare_labels (gconstpointer a, gconstpointer b)
{
  gint64 x = g_ascii_strtoll (a, NULL, 10), y = g_ascii_strtoll (b, NULL, 10);

  return (x > y) - (x < y);
}

static void
print_table (JsonObject *root)
{
  JsonArray *cases = json_object_get_array_member (root, "cases");
  JsonObject *mean = json_object_get_object_member (root, "mean");
  JsonObject *excluded = json_object_get_object_member (root, "excluded");
  g_autoptr (GList) labels = g_list_sort (json_object_get_members (mean), compare_labels);
  int width = MAX (tess_cli_columns (_ ("all labels")), tess_cli_columns (_ ("case")));

  for (guint i = 0; i < json_array_get_length (cases); i++)
    width = MAX (width,
                 tess_cli_columns (json_object_get_string_member (json_array_get_object_element (cases, i), "case")));
  print_cells (width, (const char *[N_CELLS]){_ ("case"), _ ("label"), "Dice", "IoU", "HD95 mm", _ ("reference ml"),
                                              _ ("prediction ml")});
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *one = json_array_get_object_element (cases, i);
    JsonObject *rows = json_object_get_object_member (one, "labels");

    for (GList *l = labels; l; l = l->next)
      print_row (width, json_object_get_string_member (one, "case"), l->data,
                 json_object_get_object_member (rows, l->data));
  }
  for (GList *l = labels; l; l = l->next)
    print_row (width, _ ("mean"), l->data, json_object_get_object_member (mean, l->data));
  print_row (width, _ ("all labels"), "", json_object_get_object_member (root, "foreground_mean"));
  for (GList *l = labels; l; l = l->next) {
    gint64 n = json_object_get_int_member (excluded, l->data);

    if (n)
      printf (_ ("label %s: %" PRId64 " of %u cases excluded, because it is in neither map\n"), (char *)l->data, n,
              json_array_get_length (cases));
  }
}

/* Files without a partner are no failure, but they are not passed over in silence. */
static void
note_unpaired (JsonObject *root, const char *kind, const char *folder)
{
  JsonArray *names = json_object_get_array_member (json_object_get_object_member (root, "unpaired"), kind);

  for (guint i = 0; i < json_array_get_length (names); i++)
    fprintf (stderr, _ ("tessera-cli: %s/%s: has no partner in the other folder; it was left out\n"), folder,
             json_array_get_string_element (names, i));
}

/* `tessera-cli evaluate`: compares segmentations with their references. */
int
tess_cmd_evaluate (TessCli *cli, int argc, char **argv)
{
  g_autofree char *reference = NULL;
  g_autofree char *prediction = NULL;
  g_autofree char *plan_path = NULL;
  g_autoptr (TessPlan) plan = NULL;
  const GOptionEntry entries[] = {
      {"reference", 'r', 0, G_OPTION_ARG_FILENAME, &reference, N_ ("what is right: a label map, or a folder of them"),
       "R"},
      {"prediction", 'p', 0, G_OPTION_ARG_FILENAME, &prediction, N_ ("what to judge: the same kind"), "P"},
      {"plan", 0, 0, G_OPTION_ARG_FILENAME, &plan_path,
       N_ ("judge the regions of this plan (a run's plan.json), without what it ignores"), "PLAN"},
      {NULL},
  };
  TessProgress *progress;
  JsonNode *result;
  GError *error = NULL;
  int code;

  if (!tess_cli_parse (cli, &argc, &argv, entries, "--reference R --prediction P",
                       _ ("Compares segmentations with their references: Dice, IoU, HD95 and volumes of every label."),
                       0, 0, &code))
    return code;
  if (!reference || !prediction) {
    fprintf (stderr, _ ("tessera-cli: evaluate: %s is missing; `tessera-cli evaluate --help` explains\n"),
             reference ? "--prediction" : "--reference");
    return 2;
  }
  if (plan_path && !(plan = tess_plan_load (plan_path, &error)))
    return tess_cli_fail (error);
  progress = tess_cli_progress (cli, _ ("Comparing"));
  result = tess_evaluate_for_plan (reference, prediction, plan, progress, &error);
  tess_cli_progress_end (progress);
  if (!result)
    return tess_cli_fail (error);
  note_unpaired (json_node_get_object (result), "reference", reference);
  note_unpaired (json_node_get_object (result), "prediction", prediction);
  if (cli->json) {
    tess_cli_print_json (result);
    return 0;
  }
  print_table (json_node_get_object (result));
  json_node_unref (result);
  return 0;
}
