#include "tess-auto-plan.h"
#include "tess-cli.h"
#include "tess-format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOT_GIVEN G_MININT64

typedef struct {
  char *out, *cache, *memory, *patch;
  gint64 batch, epochs;
  gboolean network;
} Options;

/* A row of the network table: one convolution with the norm that follows it. */
typedef struct {
  const char *name; /* of its weight, without ".weight" */
  gsize name_length;
  gint64 shape[4]; /* x, y, z, channels of the output */
  gint64 kernel[3], stride[3];
  gint64 n_parameters;
  double mflops;
  gboolean norm;
} Layer;

static gboolean
apply_options (const Options *options, TessPlannerLimits *limits, GError **error)
{
  if ((options->cache && !tess_cli_bytes (options->cache, "--cache", &limits->cache_bytes, error)) ||
      (options->memory && !tess_cli_bytes (options->memory, "--memory", &limits->memory_bytes, error)) ||
      (options->patch && !tess_cli_triple (options->patch, "--patch", 1, 4096, limits->patch, error)))
    return FALSE;
  if (options->batch != NOT_GIVEN && (options->batch < 1 || options->batch > 4096)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--batch %" PRId64 ": give a whole number from 1 to 4096"),
                 options->batch);
    return FALSE;
  }
  if (options->epochs != NOT_GIVEN && (options->epochs < 1 || options->epochs > 1000000)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--epochs %" PRId64 ": give a whole number from 1 to 1000000"),
                 options->epochs);
    return FALSE;
  }
  if (options->patch && limits->patch[0] % 2 && limits->patch[1] % 2 && limits->patch[2] % 2) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("--patch %s: the network halves at least one axis; give an even number"), options->patch);
    return FALSE;
  }
  limits->batch = options->batch == NOT_GIVEN ? 0 : options->batch;
  limits->epochs = options->epochs == NOT_GIVEN ? 0 : options->epochs;
  return TRUE;
}

/* ---- the network table ---- */

static void
layer_init (Layer *layer, const TessGraph *graph, guint i)
{
  const TessOp *op = tess_graph_op (graph, i);
  const TessTensor *w = tess_graph_tensor (graph, op->in[1]), *y = tess_graph_tensor (graph, op->out[0]);
  const char *name = w->name ? w->name : "";
  g_autofree char *bias = NULL;

  *layer = (Layer){.name = name, .name_length = strlen (name)};
  if (g_str_has_suffix (name, ".weight"))
    layer->name_length -= strlen (".weight");
  for (guint a = 0; a < 3; a++) { /* D, H, W -> x, y, z */
    layer->shape[a] = y->dim[3 - a];
    layer->kernel[a] = op->attr.conv.kernel[2 - a];
    layer->stride[a] = op->attr.conv.stride[2 - a];
  }
  layer->shape[3] = y->dim[4];
  layer->n_parameters = tess_tensor_n_elements (w);
  /* By name: a bias before a norm is a parameter, but no input of the op. */
  bias = g_strdup_printf ("%.*s.bias", (int)layer->name_length, layer->name);
  if (tess_graph_find (graph, bias) != TESS_NONE)
    layer->n_parameters += tess_tensor_n_elements (tess_graph_tensor (graph, tess_graph_find (graph, bias)));
  layer->mflops = tess_graph_op_flops (graph, i) * 1e-6;
}

/* Of the forward program with all heads, one patch; what is not a convolution has a row only through its parameters. */
static GArray *
network_table (const TessPlan *plan, TessNetwork **network, GError **error)
{
  TessNetworkSpec spec;
  TessProgramSpec program;
  GArray *rows;
  const TessGraph *graph;

  tess_plan_network_spec (plan, &spec);
  tess_plan_program_spec (plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, TRUE, &program);
  *network = tess_network_build (&spec, &program, error);
  if (!*network)
    return NULL;
  graph = (*network)->graph;
  rows = g_array_new (FALSE, TRUE, sizeof (Layer));
  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    if (op->kind == TESS_OP_CONV || op->kind == TESS_OP_CONV_TRANSPOSE) {
      Layer layer;

      layer_init (&layer, graph, i);
      g_array_append_val (rows, layer);
    } else if (op->kind == TESS_OP_NORM_ACT && rows->len > 0) {
      Layer *layer = &g_array_index (rows, Layer, rows->len - 1);

      layer->norm = TRUE;
      for (guint k = 1; k < op->n_in; k++)
        if (op->in[k] != TESS_NONE)
          layer->n_parameters += tess_tensor_n_elements (tess_graph_tensor (graph, op->in[k]));
    }
  }
  return rows;
}

static JsonArray *
ints_json (const gint64 *values, guint n)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < n; i++)
    json_array_add_int_element (array, values[i]);
  return array;
}

static JsonObject *
table_json (const TessPlan *plan, GArray *rows)
{
  JsonObject *table = json_object_new ();
  JsonArray *layers = json_array_new ();
  TessNetworkSpec spec;
  double mflops = 0.0;

  for (guint i = 0; i < rows->len; i++) {
    const Layer *layer = &g_array_index (rows, Layer, i);
    g_autofree char *name = g_strndup (layer->name, layer->name_length);
    JsonObject *o = json_object_new ();

    json_object_set_string_member (o, "name", name);
    json_object_set_array_member (o, "output", ints_json (layer->shape, 4));
    json_object_set_array_member (o, "kernel", ints_json (layer->kernel, 3));
    json_object_set_array_member (o, "stride", ints_json (layer->stride, 3));
    json_object_set_int_member (o, "parameters", layer->n_parameters);
    json_object_set_double_member (o, "mflops", layer->mflops);
    json_object_set_boolean_member (o, "norm", layer->norm);
    json_array_add_object_element (layers, o);
    mflops += layer->mflops;
  }
  tess_plan_network_spec (plan, &spec);
  json_object_set_string_member (table, "output_axes", "x,y,z,channels");
  json_object_set_array_member (table, "layers", layers);
  json_object_set_int_member (table, "parameters", tess_network_n_parameters (&spec));
  json_object_set_double_member (table, "mflops", mflops);
  return table;
}

#define N_CELLS 6
static const int columns[N_CELLS] = {44, 22, 7, 10, -12, -12};

static void
print_counts (const char *layer, const char *shape, const char *kernel, const char *stride, gint64 n_parameters,
              double mflops)
{
  g_autofree char *n = g_strdup_printf ("%" PRId64, n_parameters), *work = g_strdup_printf ("%.1f", mflops);

  tess_cli_print_row ((const char *[N_CELLS]){layer, shape, kernel, stride, n, work}, columns, N_CELLS, " ");
}

static void
table_text (const TessPlan *plan, GArray *rows)
{
  TessNetworkSpec spec;
  double mflops = 0.0;

  printf ("\n");
  tess_cli_print_row ((const char *[N_CELLS]){_ ("layer (+: norm and leaky ReLU)"), _ ("output x,y,z,channels"),
                                              _ ("kernel"), _ ("stride"), _ ("parameters"), _ ("MFLOP")},
                      columns, N_CELLS, " ");
  for (guint i = 0; i < rows->len; i++) {
    const Layer *layer = &g_array_index (rows, Layer, i);
    g_autofree char *name = g_strdup_printf ("%.*s%s", (int)layer->name_length, layer->name, layer->norm ? " +" : "");
    g_autofree char *shape = tess_format_dims (layer->shape, 4);
    g_autofree char *kernel =
        g_strdup_printf ("%d,%d,%d", (int)layer->kernel[0], (int)layer->kernel[1], (int)layer->kernel[2]);
    g_autofree char *stride =
        g_strdup_printf ("%d,%d,%d", (int)layer->stride[0], (int)layer->stride[1], (int)layer->stride[2]);

    print_counts (name, shape, kernel, stride, layer->n_parameters, layer->mflops);
    mflops += layer->mflops;
  }
  tess_plan_network_spec (plan, &spec);
  print_counts (_ ("sum (one patch, forward)"), "", "", "", tess_network_n_parameters (&spec), mflops);
}

/* ---- the command ---- */

static gboolean
print_plan (TessCli *cli, const Options *options, const TessPlan *plan, GError **error)
{
  g_autoptr (TessNetwork) network = NULL; /* lends the names */
  g_autoptr (GArray) rows = NULL;

  if (options->network && !(rows = network_table (plan, &network, error)))
    return FALSE;
  if (cli->json) {
    JsonNode *root = tess_plan_to_json (plan);

    if (rows)
      json_object_set_object_member (json_node_get_object (root), "network_table", table_json (plan, rows));
    tess_cli_print_json (root);
    return TRUE;
  }
  for (guint i = 0; i < plan->reasons->len; i++)
    printf ("%s\n", (const char *)g_ptr_array_index (plan->reasons, i));
  if (rows)
    table_text (plan, rows);
  return TRUE;
}

static TessPlan *
make_plan (TessCli *cli, const char *directory, const TessPlannerLimits *limits, GError **error)
{
  g_autoptr (TessDataset) dataset = NULL;
  TessPlan *plan = NULL;
  TessProgress *progress = tess_cli_progress (cli, _ ("Looking at the dataset"));

  dataset = tess_dataset_open (directory, progress, error);
  tess_cli_progress_end (progress);
  if (!dataset)
    return NULL;
  progress = tess_cli_progress (cli, _ ("Reading every case"));
  plan = tess_auto_plan (dataset, limits, progress, error);
  tess_cli_progress_end (progress);
  return plan;
}

static int
run_plan (TessCli *cli, const Options *options, const char *directory, GError **error)
{
  const TessBackendIface *backend;
  TessPlannerLimits limits;
  TessDType act_dtype;
  guint device, n_threads;
  g_autoptr (TessPlan) plan = NULL;
  g_autofree char *folder = NULL, *description = NULL, *splits = NULL;

  if (!options->out) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("plan: --out is missing; say where the plan is to be written"));
    return FALSE;
  }
  folder = g_path_get_dirname (options->out);
  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) { /* said before every case is read */
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: there is no folder %s; make it first"), options->out,
                 folder);
    return FALSE;
  }
  description = g_build_filename (directory, "dataset.json", NULL);
  splits = g_build_filename (directory, "splits_final.json", NULL);
  if (!tess_cli_check_output (options->out, (const char *[]){description, splits, NULL}, error) ||
      !tess_cli_backend (cli, &backend, &device, &n_threads, &act_dtype, error))
    return FALSE;
  tess_auto_limits (backend, device, &limits);
  limits.bf16 = act_dtype == TESS_DTYPE_BF16;
  if (!apply_options (options, &limits, error))
    return FALSE;
  plan = make_plan (cli, directory, &limits, error);
  if (!plan)
    return FALSE;
  if (cli->seed >= 0)
    plan->training.seed = cli->seed;
  return tess_plan_save (plan, options->out, error) && print_plan (cli, options, plan, error);
}

int
tess_cmd_plan (TessCli *cli, int argc, char **argv)
{
  Options options = {.batch = NOT_GIVEN, .epochs = NOT_GIVEN};
  const GOptionEntry entries[] = {
      {"out", 'o', 0, G_OPTION_ARG_FILENAME, &options.out, N_ ("write the plan to FILE (JSON)"), "FILE"},
      {"network", 0, 0, G_OPTION_ARG_NONE, &options.network, N_ ("print the network layer by layer"), NULL},
      {"patch", 0, 0, G_OPTION_ARG_STRING, &options.patch, N_ ("use this patch, voxels of the target grid"), "X,Y,Z"},
      {"batch", 0, 0, G_OPTION_ARG_INT64, &options.batch, N_ ("use this batch size"), "N"},
      {"epochs", 0, 0, G_OPTION_ARG_INT64, &options.epochs, N_ ("train this many epochs"), "N"},
      {"memory", 0, 0, G_OPTION_ARG_STRING, &options.memory,
       /* xgettext:no-c-format */
       N_ ("memory training may take, such as 8G (default: half of what is free, 90 % on a GPU)"), "BYTES"},
      {"cache", 0, 0, G_OPTION_ARG_STRING, &options.cache,
       N_ ("memory for decoded cases, such as 2G (default: a quarter of what is free)"), "BYTES"},
      {NULL},
  };
  GError *error = NULL;
  int code = 0;

  if (tess_cli_parse (cli, &argc, &argv, entries, "DATASET --out PLAN",
                      _ ("Reads every case of the dataset in the folder DATASET (nnU-Net's raw layout), decides how to "
                         "train on it and says\nwhy. K, M and G are powers of 1000, Ki, Mi and Gi of 1024."),
                      1, 1, &code) &&
      !run_plan (cli, &options, argv[1], &error))
    code = tess_cli_fail (error);
  g_free (options.out);
  g_free (options.cache);
  g_free (options.memory);
  g_free (options.patch);
  return code;
}
