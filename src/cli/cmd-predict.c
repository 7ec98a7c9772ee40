#include "tess-cli.h"

#include "tess-atomic-file.h"
#include "tess-dataset.h"
#include "tess-format.h"
#include "tess-predictor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One scan to segment. */
typedef struct {
  char *id;
  gboolean suffixed; /* its first file is ID_0000 */
  GPtrArray *inputs; /* paths in channel order */
  char *output;
} Scan;

static void
scan_free (gpointer data)
{
  Scan *scan = data;

  g_free (scan->id);
  g_free (scan->output);
  g_ptr_array_unref (scan->inputs);
  g_free (scan);
}

static Scan *
scan_new (const char *id)
{
  Scan *scan = g_new0 (Scan, 1);

  scan->id = g_strdup (id);
  scan->inputs = g_ptr_array_new_with_free_func (g_free);
  return scan;
}

/* "--input A B C" becomes "--input A --input B --input C", which GOption understands: words after an input up to the
 * next option are inputs too. */
static char **
spread_inputs (int argc, char **argv, int *n)
{
  GPtrArray *words = g_ptr_array_new ();
  gboolean inside = FALSE, first = FALSE;

  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];

    if (inside && (word[0] != '-' || word[1] == '\0') && !first)
      g_ptr_array_add (words, g_strdup ("--input"));
    else if (!first)
      inside = FALSE;
    first = FALSE;
    g_ptr_array_add (words, g_strdup (word));
    if (!inside && (strcmp (word, "--input") == 0 || strcmp (word, "-i") == 0))
      inside = first = TRUE;
    else if (g_str_has_prefix (word, "--input="))
      inside = TRUE;
  }
  *n = (int)words->len;
  g_ptr_array_add (words, NULL);
  return (char **)g_ptr_array_free (words, FALSE);
}

/* Position of the channel suffix "_0001" in a stem, or -1. */
static int
channel_suffix (const char *stem, guint *channel)
{
  gsize n = strlen (stem);

  if (n < 6 || stem[n - 5] != '_')
    return -1;
  *channel = 0;
  for (gsize i = n - 4; i < n; i++) {
    if (!g_ascii_isdigit (stem[i]))
      return -1;
    *channel = *channel * 10 + (guint)(stem[i] - '0');
  }
  return (int)n - 5;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* nnU-Net's naming: ID_0000, ID_0001, ... are the channels of ID; any other name is a scan of its own. Files come
 * sorted by name, so channels come in order. */
static GPtrArray *
scans_of_folder (const char *folder, const char *output, GError **error)
{
  g_autoptr (GPtrArray) scans = g_ptr_array_new_with_free_func (scan_free);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) by_id = g_hash_table_new (g_str_hash, g_str_equal);
  GError *local = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &local);
  const char *name;

  if (!dir) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: the folder cannot be read: %s"), folder, local->message);
    g_error_free (local);
    return NULL;
  }
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *full = g_build_filename (folder, name, NULL);

    if (name[0] != '.' && tess_format_for_path (name, NULL) && !tess_volume_is_companion (full) &&
        g_file_test (full, G_FILE_TEST_IS_REGULAR))
      g_ptr_array_add (names, g_strdup (name));
  }
  g_ptr_array_sort (names, compare_strings);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *id = tess_volume_stem (names->pdata[i]);
    guint channel = 0;
    int suffix = channel_suffix (id, &channel);
    g_autofree char *base = suffix >= 0 ? g_strndup (id, (gsize)suffix) : NULL;
    Scan *scan = base ? g_hash_table_lookup (by_id, base) : NULL;

    if (!scan || !scan->suffixed || channel == 0 || scan->inputs->len != channel) {
      const char *own = base && channel == 0 ? base : id;

      if (g_hash_table_contains (by_id, own)) {
        g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("%s: holds two scans named %s; move one of them away"),
                     folder, own);
        return NULL;
      }
      scan = scan_new (own);
      scan->suffixed = own == base;
      scan->output = g_strdup_printf ("%s%s%s.nii.gz", output, g_str_has_suffix (output, "/") ? "" : "/", own);
      g_hash_table_insert (by_id, scan->id, scan);
      g_ptr_array_add (scans, scan);
    }
    g_ptr_array_add (scan->inputs, g_build_filename (folder, names->pdata[i], NULL));
  }
  if (scans->len == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("%s: holds no scan that can be read; give a folder of NIfTI files"), folder);
    return NULL;
  }
  return g_steal_pointer (&scans);
}

static GPtrArray *
single_scan (char **inputs, const char *output, GError **error)
{
  g_autoptr (GPtrArray) scans = g_ptr_array_new_with_free_func (scan_free);
  g_autofree char *id = tess_volume_stem (inputs[0]);
  g_autofree char *parent = NULL;
  const TessFormat *format;
  guint channel;
  int suffix = channel_suffix (id, &channel);
  Scan *scan;

  if (suffix >= 0 && channel == 0)
    id[suffix] = '\0';
  scan = scan_new (id);
  g_ptr_array_add (scans, scan);
  for (guint i = 0; inputs[i]; i++) {
    if (g_file_test (inputs[i], G_FILE_TEST_IS_DIR)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                   _ ("%s: is a folder; give one folder alone, or the files of one scan"), inputs[i]);
      return NULL;
    }
    g_ptr_array_add (scan->inputs, g_strdup (inputs[i]));
  }
  scan->output =
      g_file_test (output, G_FILE_TEST_IS_DIR) ? g_strdup_printf ("%s/%s.nii.gz", output, id) : g_strdup (output);

  /* All that can go wrong with the output is said before the work, not after it. */
  format = tess_format_for_path (scan->output, error);
  if (!format)
    return NULL;
  if (!format->save) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: %s can be read but not written; use .nii.gz"),
                 scan->output, format->name);
    return NULL;
  }
  parent = g_path_get_dirname (scan->output);
  if (!g_file_test (parent, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: there is no folder %s; create it first"), scan->output,
                 parent);
    return NULL;
  }
  if (!tess_cli_check_output (scan->output, (const char *const *)inputs, error))
    return NULL;
  return g_steal_pointer (&scans);
}

/* Files may hold several channels, so more files than channels is all that can be said without opening them. */
static gboolean
check_channels (const Scan *scan, const TessPlan *plan, GError **error)
{
  guint n = scan->inputs->len;

  if (n <= plan->n_channels && (n == plan->n_channels || n == 1))
    return TRUE;
  g_set_error (
      error, TESS_ERROR, TESS_ERROR_MISMATCH,
      _ ("%s: the scan has %u channel files, but the model was trained on %u channels; give one file for each, "
         "in the plan's order"),
      (const char *)scan->inputs->pdata[0], n, plan->n_channels);
  return FALSE;
}

static JsonObject *
labels_json (TessVolume *result, const TessPlan *plan, GString *line)
{
  JsonObject *labels = json_object_new ();
  const guint8 *voxels = tess_volume_data (result);
  gint64 n = tess_volume_n_voxels (result);
  double voxel = tess_affine_determinant (tess_volume_affine (result));
  gint64 count[256] = {0};

  voxel = voxel < 0.0 ? -voxel : voxel;
  for (gint64 i = 0; i < n; i++)
    count[voxels[i]]++;
  for (guint i = 1; i < plan->n_labels; i++) {
    gint64 value = plan->labels[i].value;
    g_autofree char *key = g_strdup_printf ("%" G_GINT64_FORMAT, value);
    g_autofree char *ml = tess_format_number (voxel * (double)count[value] / 1000.0, 4);
    JsonObject *o = json_object_new ();

    json_object_set_string_member (o, "name", plan->labels[i].name);
    json_object_set_int_member (o, "voxels", count[value]);
    json_object_set_double_member (o, "volume_mm3", voxel * (double)count[value]);
    json_object_set_object_member (labels, key, o);
    g_string_append_printf (line, _ ("; %s %s ml"), plan->labels[i].name, ml);
  }
  return labels;
}

/* Loads, segments, saves; what there is to say of it goes into `entry` and, without --json, to standard output. */
static gboolean
predict_scan (TessCli *cli, TessPredictor *predictor, const TessPlan *plan, const Scan *scan, TessProgress *progress,
              JsonObject *entry, GError **error)
{
  TessVolume *images[TESS_MAX_CHANNELS] = {NULL};
  g_autoptr (TessVolume) result = NULL;
  gint64 start = g_get_monotonic_time ();
  JsonArray *inputs = json_array_new ();
  gboolean ok;
  double seconds;

  for (guint i = 0; i < scan->inputs->len; i++)
    json_array_add_string_element (inputs, scan->inputs->pdata[i]);
  json_object_set_string_member (entry, "case", scan->id);
  json_object_set_array_member (entry, "inputs", inputs);
  json_object_set_string_member (entry, "output", scan->output);
  if (!check_channels (scan, plan, error))
    return FALSE;
  g_ptr_array_add (scan->inputs, NULL);
  ok = tess_load_images ((char *const *)scan->inputs->pdata, plan->n_channels, NULL, images, error);
  g_ptr_array_set_size (scan->inputs, (gint)scan->inputs->len - 1);
  if (!ok)
    return FALSE;
  result = tess_predictor_run (predictor, images, plan->n_channels, progress, error);
  for (guint i = 0; i < plan->n_channels; i++)
    tess_volume_unref (images[i]);
  if (!result) {
    if (!g_error_matches (*error, TESS_ERROR, TESS_ERROR_CANCELLED))
      g_prefix_error (error, "%s: ", (const char *)scan->inputs->pdata[0]);
    return FALSE;
  }
  if (!tess_volume_save (result, scan->output, NULL, error))
    return FALSE;

  seconds = (double)(g_get_monotonic_time () - start) / 1e6;
  {
    g_autoptr (GString) line = g_string_new (NULL);

    json_object_set_double_member (entry, "seconds", seconds);
    json_object_set_object_member (entry, "labels", labels_json (result, plan, line));
    if (!cli->json) {
      printf (_ ("%s: %s, %.1f s%s\n"), scan->id, scan->output, seconds, line->str);
      fflush (stdout);
    }
  }
  return TRUE;
}

/* Sums that lie in the machine's memory make a card wait for them. */
static void
note_near (TessCli *cli, const char *label, guint64 bytes)
{
  g_autofree char *size = tess_format_bytes (bytes);

  if (bytes > 0)
    tess_cli_note (cli,
                   _ ("%s: the card has no room for the sums of the logits (%s); they lay in this machine's memory, "
                      "which is slower"),
                   label, size);
}

/* All scans one after the other; one that fails is reported and the rest goes on. Returns the exit code. */
static int
predict_all (TessCli *cli, TessModel *model, TessPredictor *predictor, GPtrArray *scans, JsonArray *cases)
{
  guint n_failed = 0;

  for (guint i = 0; i < scans->len && !tess_cli_interrupted (); i++) {
    const Scan *scan = scans->pdata[i];
    g_autofree char *label =
        scans->len > 1 ? g_strdup_printf ("%s (%u/%u)", scan->id, i + 1, scans->len) : g_strdup (scan->id);
    TessProgress *progress = tess_cli_progress (cli, label);
    JsonObject *entry = json_object_new ();
    GError *error = NULL;
    gboolean ok = predict_scan (cli, predictor, model->plan, scan, progress, entry, &error);

    tess_cli_progress_end (progress);
    if (ok) {
      note_near (cli, scan->id, tess_predictor_near_bytes (predictor));
    } else {
      json_object_set_string_member (entry, "error", error->message);
      tess_cli_fail (error);
      n_failed++;
    }
    json_array_add_object_element (cases, entry);
  }
  if (scans->len > 1 && n_failed)
    tess_cli_note (cli, _ ("%u of %u scans could not be segmented"), n_failed, scans->len);
  return n_failed || tess_cli_interrupted () ? 1 : 0;
}

/* Where the results of a folder of scans go: made here, and never the folder of the scans, whose files would be
 * written over. */
static gboolean
open_output_folder (const char *input, const char *output, GError **error)
{
  gboolean there = g_file_test (output, G_FILE_TEST_EXISTS);
  struct stat in, out;

  if (there ? !g_file_test (output, G_FILE_TEST_IS_DIR) : tess_format_for_path (output, NULL) != NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 there ? _ ("%s: is a file; the scans of a folder need an output folder")
                       : _ ("%s: is the name of a file; the scans of a folder need an output folder"),
                 output);
    return FALSE;
  }
  if (there && stat (input, &in) == 0 && stat (output, &out) == 0 && in.st_dev == out.st_dev &&
      in.st_ino == out.st_ino) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s: holds the scans; choose another folder for the output"),
                 output);
    return FALSE;
  }
  if (!tess_make_directory (output, error))
    return FALSE;
  if (access (output, W_OK | X_OK) == 0)
    return TRUE;
  tess_error_set_errno (error, output, errno, _ ("write"));
  return FALSE;
}

static int
run (TessCli *cli, const char *model_path, const char *dilation, gboolean mirror, char **inputs, const char *output)
{
  g_autoptr (TessModel) model = NULL;
  g_autoptr (TessPredictor) predictor = NULL;
  g_autoptr (GPtrArray) scans = NULL;
  gboolean folder = inputs[1] == NULL && g_file_test (inputs[0], G_FILE_TEST_IS_DIR);
  const TessBackendIface *backend;
  guint device, n_threads;
  TessDType dtype;
  GError *error = NULL;
  JsonObject *root;
  JsonArray *cases;
  int code;

  model = tess_cli_load_model (model_path, dilation, &error);
  if (!model)
    return tess_cli_fail (error);
  if (!model->file) /* another program's: how results may differ from its own */
    tess_cli_note_lines (cli, model->plan->reasons);
  scans = folder ? scans_of_folder (inputs[0], output, &error) : single_scan (inputs, output, &error);
  if (!scans || (folder && !open_output_folder (inputs[0], output, &error)) ||
      (!folder && !check_channels (scans->pdata[0], model->plan, &error)))
    return tess_cli_fail (error);
  if (!tess_cli_backend (cli, &backend, &device, &n_threads, &dtype, &error))
    return tess_cli_fail (error);
  predictor = tess_predictor_new (model, backend, device, n_threads, dtype, &error);
  if (!predictor)
    return tess_cli_fail (error);
  if (mirror && tess_predictor_set_mirror (predictor, 7) == 0)
    tess_cli_note (cli, _ ("%s: was not trained with mirroring, so that nothing is mirrored"), model_path);

  cases = json_array_new ();
  code = predict_all (cli, model, predictor, scans, cases);
  root = json_object_new ();
  json_object_set_string_member (root, "model", model_path);
  json_object_set_string_member (root, "backend", backend->id);
  json_object_set_string_member (root, "precision", dtype == TESS_DTYPE_BF16 ? "bf16" : "f32");
  json_object_set_array_member (root, "cases", cases);
  if (cli->json) {
    JsonNode *node = json_node_new (JSON_NODE_OBJECT);

    json_node_set_object (node, root);
    tess_cli_print_json (node);
  }
  json_object_unref (root);
  return code;
}

/* `tessera-cli predict`: segments one scan, or every scan of a folder, with a trained model. */
int
tess_cmd_predict (TessCli *cli, int argc, char **argv)
{
  g_autofree char *model = NULL;
  g_autofree char *output = NULL, *dilation = NULL;
  g_auto (GStrv) inputs = NULL;
  gboolean mirror = FALSE;
  const GOptionEntry entries[] = {
      {"model", 'm', 0, G_OPTION_ARG_FILENAME, &model, N_ ("the trained model"), "FILE"},
      {"input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &inputs,
       N_ ("the channels of one scan in plan order, or a folder of scans"), "IN..."},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_ ("the segmentation, format by its ending, or a folder"),
       "OUT"},
      {"mirror", 0, 0, G_OPTION_ARG_NONE, &mirror,
       N_ ("average over every tile mirrored, along the axes mirrored in training: up to 8 times the work"), NULL},
      {"dilation", 0, 0, G_OPTION_ARG_STRING, &dilation,
       N_ ("of a MeshNet from PyTorch, whose file does not hold them: one number a layer"), "1,2,4,..."},
      {NULL},
  };
  int n, code = 0;
  char **words = spread_inputs (argc, argv, &n);
  char **rest = g_memdup2 (words, sizeof (char *) * (gsize)(n + 1)); /* parsing takes words out of this copy */
  char **cursor = rest;

  if (tess_cli_parse (cli, &n, &cursor, entries, "--model FILE --input IN... --output OUT",
                      _ ("Segments a scan with a trained model, on the scan's own grid."), 0, 0, &code)) {
    const char *missing = !model ? "--model" : !inputs ? "--input" : !output ? "--output" : NULL;

    if (missing) {
      fprintf (stderr, _ ("tessera-cli: predict: %s is missing; `tessera-cli predict --help` explains\n"), missing);
      code = 2;
    } else {
      code = run (cli, model, dilation, mirror, inputs, output);
    }
  }
  g_free (rest);
  g_strfreev (words);
  return code;
}
