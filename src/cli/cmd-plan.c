#include "tess-auto-plan.h"
#include "tess-cli.h"
#include "tess-format.h"
#include "tess-network-table.h"
#include "tess-train-memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOT_GIVEN G_MININT64

typedef struct {
  char *out, *cache, *memory, *patch, *architecture, *augmentation;
  gint64 batch, epochs;
  gboolean network, residual;
} Options;

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
  limits->batch = options->batch == NOT_GIVEN ? 0 : options->batch;
  limits->epochs = options->epochs == NOT_GIVEN ? 0 : options->epochs;
  if (options->residual)
    limits->architecture = TESS_PLAN_RESIDUAL_UNET;
  if (options->architecture && !tess_plan_architecture_from_name (options->architecture, &limits->architecture)) {
    g_autofree char *known = tess_plan_architecture_names ();

    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--architecture %s: use one of %s"), options->architecture,
                 known);
    return FALSE;
  }
  if (options->augmentation && !tess_plan_augmentation_from_name (options->augmentation, &limits->augmentation)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--augmentation %s: use full, spatial or none"),
                 options->augmentation);
    return FALSE;
  }
  if (options->patch && limits->architecture <= TESS_PLAN_RESIDUAL_UNET && limits->patch[0] % 2 &&
      limits->patch[1] % 2 && limits->patch[2] % 2) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("--patch %s: the network halves at least one axis; give an even number"), options->patch);
    return FALSE;
  }
  return TRUE;
}

/* ---- the network table ---- */

/* Of the forward program with all heads, one patch. */
static GPtrArray *
network_table (const TessPlan *plan, GError **error)
{
  TessNetworkSpec spec;
  TessProgramSpec program;

  tess_plan_network_spec (plan, &spec);
  tess_plan_program_spec (plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, TRUE, &program);
  return tess_network_table (&spec, &program, error);
}

/* D, H, W -> x, y, z */
static void
turned (const gint64 dhw[3], gint64 xyz[3])
{
  for (guint a = 0; a < 3; a++)
    xyz[a] = dhw[2 - a];
}

static void
shape_of (const TessNetworkRow *row, gint64 shape[4])
{
  turned (row->dim + 1, shape);
  shape[3] = row->dim[4];
}

static JsonArray *
ints_json (const gint64 *values, guint n)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < n; i++)
    json_array_add_int_element (array, values[i]);
  return array;
}

static JsonArray *
axes_json (const gint64 dhw[3])
{
  gint64 xyz[3];

  turned (dhw, xyz);
  return ints_json (xyz, 3);
}

static JsonObject *
table_json (const TessPlan *plan, GPtrArray *rows)
{
  JsonObject *table = json_object_new ();
  JsonArray *layers = json_array_new ();
  TessNetworkSpec spec;
  double mflops = 0.0, bytes = 0.0;

  for (guint i = 0; i < rows->len; i++) {
    const TessNetworkRow *row = g_ptr_array_index (rows, i);
    JsonObject *o = json_object_new ();
    gint64 shape[4];

    shape_of (row, shape);
    json_object_set_string_member (o, "name", row->name);
    json_object_set_string_member (o, "op", tess_op_name (row->kind));
    json_object_set_array_member (o, "output", ints_json (shape, 4));
    json_object_set_array_member (o, "kernel", axes_json (row->kernel));
    json_object_set_array_member (o, "stride", axes_json (row->stride));
    json_object_set_array_member (o, "receptive_field", axes_json (row->field));
    json_object_set_int_member (o, "parameters", row->n_parameters);
    json_object_set_double_member (o, "mflops", row->flops * 1e-6);
    json_object_set_int_member (o, "bytes", (gint64)row->bytes);
    json_object_set_boolean_member (o, "norm", row->norm);
    json_object_set_boolean_member (o, "activation", row->activation);
    json_array_add_object_element (layers, o);
    mflops += row->flops * 1e-6;
    bytes += (double)row->bytes;
  }
  tess_plan_network_spec (plan, &spec);
  json_object_set_string_member (table, "output_axes", "x,y,z,channels");
  json_object_set_array_member (table, "layers", layers);
  json_object_set_int_member (table, "parameters", tess_network_n_parameters (&spec));
  json_object_set_double_member (table, "mflops", mflops);
  json_object_set_double_member (table, "bytes", bytes);
  return table;
}

#define N_CELLS 8
static const int columns[N_CELLS] = {44, 22, 7, 10, 16, -12, -12, -10};

static void
print_counts (const char *const cells[5], gint64 n_parameters, double mflops, double bytes)
{
  g_autofree char *n = g_strdup_printf ("%" PRId64, n_parameters), *work = g_strdup_printf ("%.1f", mflops);
  g_autofree char *memory = tess_format_bytes ((guint64)bytes);

  tess_cli_print_row ((const char *[N_CELLS]){cells[0], cells[1], cells[2], cells[3], cells[4], n, work, memory},
                      columns, N_CELLS, " ");
}

static char *
axes_text (const gint64 dhw[3])
{
  return g_strdup_printf ("%" PRId64 ",%" PRId64 ",%" PRId64, dhw[2], dhw[1], dhw[0]);
}

static void
table_text (const TessPlan *plan, GPtrArray *rows)
{
  TessNetworkSpec spec;
  double mflops = 0.0, bytes = 0.0;

  printf ("\n");
  tess_cli_print_row ((const char *[N_CELLS]){_ ("layer (+: norm, *: leaky ReLU)"), _ ("output x,y,z,channels"),
                                              _ ("kernel"), _ ("stride"), _ ("receptive field"), _ ("parameters"),
                                              _ ("MFLOP"), _ ("memory")},
                      columns, N_CELLS, " ");
  for (guint i = 0; i < rows->len; i++) {
    const TessNetworkRow *row = g_ptr_array_index (rows, i);
    g_autofree char *name = g_strdup_printf ("%s%s%s%s", row->name, row->norm || row->activation ? " " : "",
                                             row->norm ? "+" : "", row->activation ? "*" : "");
    g_autofree char *shape = NULL, *kernel = axes_text (row->kernel), *stride = axes_text (row->stride);
    g_autofree char *field = axes_text (row->field);
    gint64 output[4];

    shape_of (row, output);
    shape = tess_format_dims (output, 4);
    print_counts ((const char *[5]){name, shape, kernel, stride, field}, row->n_parameters, row->flops * 1e-6,
                  (double)row->bytes);
    mflops += row->flops * 1e-6;
    bytes += (double)row->bytes;
  }
  tess_plan_network_spec (plan, &spec);
  print_counts ((const char *[5]){_ ("sum (one patch, forward)"), "", "", "", ""}, tess_network_n_parameters (&spec),
                mflops, bytes);
}

/* ---- the command ---- */

/* What a training of the plan takes here, as it is and with stages computed twice. */
typedef struct {
  guint64 bytes, recomputed, there;
} Memory;

/* FALSE on a machine that cannot train it. */
static gboolean
find_memory (const TessTrainMachine *machine, const TessPlan *plan, Memory *m)
{
  guint n_stages;

  m->there = tess_plan_memory_there (machine);
  m->bytes = tess_plan_memory (plan, machine, 0, &n_stages, NULL);
  m->recomputed = m->bytes;
  if (m->bytes > 0 && n_stages > 0)
    m->recomputed = tess_plan_memory (plan, machine, n_stages, NULL, NULL);
  return m->bytes > 0 && m->recomputed > 0;
}

static JsonObject *
memory_json (const Memory *m)
{
  JsonObject *o = json_object_new ();

  json_object_set_int_member (o, "training_bytes", (gint64)m->bytes);
  json_object_set_int_member (o, "recompute_bytes", (gint64)m->recomputed);
  json_object_set_int_member (o, "available_bytes", (gint64)m->there);
  return o;
}

static void
memory_text (const Memory *m)
{
  g_autofree char *bytes = tess_format_bytes (m->bytes), *recomputed = tess_format_bytes (m->recomputed);
  g_autofree char *there = tess_format_bytes (m->there);

  printf (_ ("training takes %s of memory here, %s with --recompute on; %s are there\n"), bytes, recomputed, there);
}

static gboolean
print_plan (TessCli *cli, const Options *options, const TessTrainMachine *machine, const TessPlan *plan, GError **error)
{
  g_autoptr (GPtrArray) rows = NULL;
  Memory memory;
  gboolean known = find_memory (machine, plan, &memory);

  if (options->network && !(rows = network_table (plan, error)))
    return FALSE;
  if (cli->json) {
    JsonNode *root = tess_plan_to_json (plan);

    if (known)
      json_object_set_object_member (json_node_get_object (root), "memory", memory_json (&memory));
    if (rows)
      json_object_set_object_member (json_node_get_object (root), "network_table", table_json (plan, rows));
    tess_cli_print_json (root);
    return TRUE;
  }
  for (guint i = 0; i < plan->reasons->len; i++)
    printf ("%s\n", (const char *)g_ptr_array_index (plan->reasons, i));
  if (known)
    memory_text (&memory);
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
  limits.n_threads = n_threads;
  if (!apply_options (options, &limits, error))
    return FALSE;
  plan = make_plan (cli, directory, &limits, error);
  if (!plan)
    return FALSE;
  if (cli->seed >= 0)
    plan->training.seed = cli->seed;
  return tess_plan_save (plan, options->out, error) &&
         print_plan (cli, options, &(TessTrainMachine){backend, device, n_threads, act_dtype}, plan, error);
}

int
tess_cmd_plan (TessCli *cli, int argc, char **argv)
{
  Options options = {.batch = NOT_GIVEN, .epochs = NOT_GIVEN};
  const GOptionEntry entries[] = {
      {"out", 'o', 0, G_OPTION_ARG_FILENAME, &options.out, N_ ("write the plan to FILE (JSON)"), "FILE"},
      {"network", 0, 0, G_OPTION_ARG_NONE, &options.network, N_ ("print the network layer by layer"), NULL},
      {"residual", 0, 0, G_OPTION_ARG_NONE, &options.residual, N_ ("a residual encoder instead of a plain one"), NULL},
      {"architecture", 0, 0, G_OPTION_ARG_STRING, &options.architecture,
       N_ ("the network: plain-unet, residual-unet, meshnet, ingradient-unet, se-residual or cased"), "NAME"},
      {"augmentation", 0, 0, G_OPTION_ARG_STRING, &options.augmentation,
       N_ ("full (nnU-Net's, the default), spatial (rotation, scale and mirroring only) or none"), "WHAT"},
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
  g_free (options.architecture);
  g_free (options.augmentation);
  return code;
}
