/* `tessera-cli predict` and `tessera-cli evaluate`, run as programs. */
#include "infer-fixture.h"

#include "tess-cpu-backend.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <glib/gstdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const double unit[3] = {1.0, 1.0, 1.0};
static const gint64 patch[3] = {16, 16, 8};
static const gint64 dim[3] = {21, 18, 13};

typedef struct {
  char *folder, *out, *err;
  int code;
} Cli;

/* Runs the program in the folder; words are split at spaces. */
static void G_GNUC_PRINTF (2, 3) run (Cli *cli, const char *format, ...)
{
  g_autofree char *line = NULL;
  g_auto (GStrv) words = NULL;
  const char *program = g_getenv ("TESSERA_TEST_CLI");
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) argv = NULL;
  GError *error = NULL;
  va_list args;
  int status;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  words = g_strsplit (line, " ", -1);
  g_strv_builder_add (builder, program);
  g_strv_builder_addv (builder, (const char **)words);
  argv = g_strv_builder_end (builder);
  g_clear_pointer (&cli->out, g_free);
  g_clear_pointer (&cli->err, g_free);
  g_spawn_sync (cli->folder, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &cli->out, &cli->err, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  cli->code = WEXITSTATUS (status);
}

static void
expect (Cli *cli, int code, const char *out, const char *err)
{
  if (cli->code != code || !strstr (cli->out, out) || !strstr (cli->err, err))
    g_error ("expected %d, \"%s\", \"%s\", but got %d\n%s\n%s", code, out, err, cli->code, cli->out, cli->err);
}

static void
cli_init (Cli *cli)
{
  *cli = (Cli){.folder = fixture_folder ()};
}

static void
cli_clear (Cli *cli)
{
  g_free (cli->out);
  g_free (cli->err);
  fixture_remove (cli->folder);
}

static TessVolume *
scan (guint32 seed)
{
  const double spacing[3] = {1.5, -1.0, 2.0}, angle[3] = {0.1, 0.2, -0.3}, offset[3] = {5, -6, 70};
  TessAffine affine = fixture_affine (spacing, angle, offset);

  return fixture_scan (dim, 1, &affine, seed);
}

static void
save (Cli *cli, TessVolume *volume, const char *name)
{
  g_autofree char *path = g_build_filename (cli->folder, name, NULL);
  GError *error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  tess_volume_unref (volume);
}

static void
model (Cli *cli, guint n_channels)
{
  g_autofree char *path = g_build_filename (cli->folder, "m.safetensors", NULL);
  g_autoptr (TessPlan) plan = fixture_plan (n_channels, 3, unit, patch);

  fixture_save_model (path, plan, 11, NULL);
}

static TessVolume *
load (Cli *cli, const char *name)
{
  g_autofree char *path = g_build_filename (cli->folder, name, NULL);
  GError *error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

/* What the library says of the same files. */
static void
check_output (Cli *cli, const char *output, const char *input_a, const char *input_b)
{
  g_autofree char *path = g_build_filename (cli->folder, "m.safetensors", NULL);
  g_autoptr (TessModel) m = tess_model_load (path, NULL);
  g_autoptr (TessPredictor) predictor = tess_predictor_new (m, tess_cpu_backend (), 0, 1, TESS_DTYPE_F32, NULL);
  g_autoptr (TessVolume) a = load (cli, input_a);
  g_autoptr (TessVolume) b = input_b ? load (cli, input_b) : NULL;
  TessVolume *images[2] = {a, b};
  g_autoptr (TessVolume) expected = tess_predictor_run (predictor, images, input_b ? 2 : 1, NULL, NULL);
  g_autoptr (TessVolume) got = load (cli, output);

  g_assert_nonnull (expected);
  g_assert_cmpint (tess_volume_dtype (got), ==, TESS_DTYPE_U8);
  g_assert_cmpmem (tess_volume_dim (got), sizeof dim, tess_volume_dim (a), sizeof dim);
  g_assert_cmpmem (tess_volume_affine (got), sizeof (TessAffine), tess_volume_affine (a), sizeof (TessAffine));
  g_assert_cmpmem (tess_volume_data (got), tess_volume_n_bytes (got), tess_volume_data (expected),
                   tess_volume_n_bytes (expected));
}

static gboolean
same_voxels (Cli *cli, const char *a_name, const char *b_name)
{
  g_autoptr (TessVolume) a = load (cli, a_name);
  g_autoptr (TessVolume) b = load (cli, b_name);

  return memcmp (tess_volume_data (a), tess_volume_data (b), tess_volume_n_bytes (a)) == 0;
}

static guint8 *
decode (JsonObject *o, const char *name, gsize *n)
{
  return g_base64_decode (json_object_get_string_member (o, name), n);
}

static gboolean
contains (const guint8 *data, gsize n, const char *text)
{
  return memmem (data, n, text, strlen (text)) != NULL;
}

/* The result has the scan's own header as nibabel writes it for a label map (tests/reference/nifti_extra.py): codes and
 * both positions bit for bit, units, description, other extensions; no scaling; and the names of the labels. */
static void
test_header (void)
{
  static const gsize fixed[2] = {348, 540};
  g_autoptr (JsonNode) root = NULL;
  JsonArray *results;
  GError *error = NULL;
  Cli cli;

  root = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "nifti_extra.json", NULL), &error);
  g_assert_no_error (error);
  results = json_object_get_array_member (json_node_get_object (root), "results");
  cli_init (&cli);
  model (&cli, 1);
  for (guint i = 0; i < json_array_get_length (results); i++) {
    JsonObject *o = json_array_get_object_element (results, i);
    g_autofree char *in = g_build_filename (cli.folder, "h_0000.nii", NULL);
    g_autofree char *out = g_build_filename (cli.folder, "h.nii", NULL), *written = NULL;
    g_autofree guint8 *scan_bytes = NULL, *expected = NULL;
    gsize n_scan, n_expected, n, voxels = 4 * 3 * 2;

    scan_bytes = decode (o, "scan", &n_scan);
    expected = decode (o, "label", &n_expected);
    g_assert_true (g_file_set_contents (in, (const char *)scan_bytes, (gssize)n_scan, NULL));
    run (&cli, "predict --quiet --model m.safetensors --input h_0000.nii --output h.nii --backend cpu --precision f32 "
               "--threads 1");
    expect (&cli, 0, "h: h.nii", "");
    g_assert_true (g_file_get_contents (out, &written, &n, NULL));
    if (i == 0)
      expected[38] = (guint8)written[38];                                      /* Analyze's "regular" */
    memcpy (expected + (i ? 168 : 108), written + (i ? 168 : 108), i ? 8 : 4); /* the names come before the voxels */
    g_assert_cmpmem (written, fixed[i], expected, fixed[i]);
    g_assert_cmpuint (n, >, fixed[i] + 4 + voxels);
    g_assert_true (contains ((const guint8 *)written, n, "<![CDATA[organ 1]]></Label>"));
    g_assert_true (contains ((const guint8 *)written, n, "a comment"));
  }
  cli_clear (&cli);
}

static void
test_one_scan (void)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *one, *label;
  JsonArray *cases;
  GError *error = NULL;
  Cli cli;

  cli_init (&cli);
  model (&cli, 1);
  save (&cli, scan (1), "a_0000.nii.gz");
  save (&cli, scan (2), "out.nii.gz"); /* in the way: overwritten */
  run (&cli, "predict --model m.safetensors --input a_0000.nii.gz --output out.nii.gz --backend cpu --precision f32 "
             "--threads 1 --json");
  expect (&cli, 0, "\"cases\"", "cpu");
  check_output (&cli, "out.nii.gz", "a_0000.nii.gz", NULL);
  root = tess_json_parse (cli.out, -1, "stdout", &error);
  g_assert_no_error (error);
  cases = json_object_get_array_member (json_node_get_object (root), "cases");
  g_assert_cmpuint (json_array_get_length (cases), ==, 1);
  one = json_array_get_object_element (cases, 0);
  g_assert_cmpstr (json_object_get_string_member (one, "case"), ==, "a");
  g_assert_cmpfloat (json_object_get_double_member (one, "seconds"), >, 0.0);
  label = json_object_get_object_member (json_object_get_object_member (one, "labels"), "1");
  g_assert_cmpstr (json_object_get_string_member (label, "name"), ==, "organ 1");
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (label, "volume_mm3"),
                                  3.0 * (double)json_object_get_int_member (label, "voxels"), 0.1);
  run (&cli, "predict --quiet --model m.safetensors --input a_0000.nii.gz --output plain.nii --backend cpu --precision "
             "f32 --threads 1");
  expect (&cli, 0, "a: plain.nii", "");
  g_assert_cmpstr (cli.err, ==, "");
  check_output (&cli, "plain.nii", "a_0000.nii.gz", NULL);
  run (&cli, "predict --quiet --mirror --model m.safetensors --input a_0000.nii.gz --output mirrored.nii --backend cpu "
             "--precision f32 --threads 1");
  expect (&cli, 0, "a: mirrored.nii", "");
  g_assert_false (same_voxels (&cli, "mirrored.nii", "plain.nii"));
  cli_clear (&cli);
}

static void
test_two_channels (void)
{
  const char *common = "--backend cpu --precision f32 --threads 1 --quiet";
  const char *ways[] = {"predict --input a.nii.gz b.nii.gz --output out.nii.gz --model m.safetensors",
                        "predict --input a.nii.gz --model m.safetensors --input b.nii.gz --output out.nii.gz",
                        "predict --input=a.nii.gz b.nii.gz -o out.nii.gz -m m.safetensors"};
  Cli cli;

  cli_init (&cli);
  model (&cli, 2);
  save (&cli, scan (1), "a.nii.gz");
  save (&cli, scan (2), "b.nii.gz");
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
    g_autofree char *path = g_build_filename (cli.folder, "out.nii.gz", NULL);

    run (&cli, "%s %s", ways[i], common);
    expect (&cli, 0, "", "");
    check_output (&cli, "out.nii.gz", "a.nii.gz", "b.nii.gz");
    g_remove (path);
  }
  run (&cli, "predict --model m.safetensors --input a.nii.gz --output out.nii.gz %s", common);
  expect (&cli, 1, "", "a.nii.gz");
  run (&cli, "predict --model m.safetensors --input a.nii.gz b.nii.gz a.nii.gz --output out.nii.gz %s", common);
  expect (&cli, 1, "", "the scan has 3 channel files, but the model was trained on 2 channels");
  cli_clear (&cli);
}

static void
test_folder (void)
{
  g_autofree char *in = NULL, *broken = NULL;
  Cli cli;

  cli_init (&cli);
  model (&cli, 1);
  in = g_build_filename (cli.folder, "in", NULL);
  broken = g_build_filename (in, "b_0000.nii.gz", NULL);
  g_mkdir (in, 0700);
  save (&cli, scan (1), "in/a_0000.nii.gz");
  save (&cli, scan (2), "in/case_0003.nii.gz");
  save (&cli, scan (3), "in/z.nii.gz");
  g_assert_true (g_file_set_contents (broken, "no scan", -1, NULL));
  run (&cli, "predict --model m.safetensors --input in --output new/out --backend cpu --precision f32 --threads 1");
  expect (&cli, 1, "case_0003: ", "b_0000.nii.gz");
  expect (&cli, 1, "z: ", "1 of 4 scans");
  check_output (&cli, "new/out/a.nii.gz", "in/a_0000.nii.gz", NULL);
  check_output (&cli, "new/out/case_0003.nii.gz", "in/case_0003.nii.gz", NULL);
  check_output (&cli, "new/out/z.nii.gz", "in/z.nii.gz", NULL);
  g_remove (broken);
  run (&cli,
       "predict --model m.safetensors --input in --output new/out --backend cpu --precision f32 --threads 1 --quiet");
  expect (&cli, 0, "", "");
  cli_clear (&cli);
}

static void
test_folder_channels (void)
{
  g_autofree char *in = NULL;
  Cli cli;

  cli_init (&cli);
  model (&cli, 2);
  in = g_build_filename (cli.folder, "in", NULL);
  g_mkdir (in, 0700);
  save (&cli, scan (1), "in/a_0000.nii.gz");
  save (&cli, scan (2), "in/a_0001.nii.gz");
  save (&cli, scan (3), "in/b_0000.nii.gz");
  save (&cli, scan (4), "in/b_0001.nii.gz");
  save (&cli, scan (5), "in/b_0002.nii.gz");
  save (&cli, scan (6), "in/c_0000.nii.gz"); /* channel 1 is missing: these are two scans of one channel */
  save (&cli, scan (7), "in/c_0002.nii.gz");
  run (&cli, "predict --model m.safetensors --input in --output out --backend cpu --precision f32 --threads 1 --quiet");
  expect (&cli, 1, "a: ", "b_0000.nii.gz: the scan has 3 channel files");
  expect (&cli, 1, "", "in/c_0000.nii.gz: ");
  expect (&cli, 1, "", "in/c_0002.nii.gz: ");
  check_output (&cli, "out/a.nii.gz", "in/a_0000.nii.gz", "in/a_0001.nii.gz");
  cli_clear (&cli);
}

static char *
contents (Cli *cli, const char *name)
{
  g_autofree char *path = g_build_filename (cli->folder, name, NULL), *text = NULL;
  gsize n;

  g_assert_true (g_file_get_contents (path, &text, &n, NULL));
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *)text, n);
}

/* A scan is never written over by its segmentation, whatever way its name is given. */
static void
test_keeps_the_scan (void)
{
  const char *common = "--backend cpu --precision f32 --threads 1 --quiet";
  g_autofree char *in = NULL, *link = NULL, *before = NULL, *after = NULL, *before_pair = NULL, *after_pair = NULL;
  Cli cli;

  cli_init (&cli);
  model (&cli, 1);
  in = g_build_filename (cli.folder, "in", NULL);
  link = g_build_filename (cli.folder, "link.nii.gz", NULL);
  g_mkdir (in, 0700);
  save (&cli, scan (1), "in/a.nii.gz");
  save (&cli, scan (2), "in/b.hdr");
  g_assert_cmpint (symlink ("in/a.nii.gz", link), ==, 0);
  before = contents (&cli, "in/a.nii.gz");
  before_pair = contents (&cli, "in/b.img");
  run (&cli, "predict --model m.safetensors --input in/a.nii.gz --output ./in/../in/a.nii.gz %s", common);
  expect (&cli, 2, "", "is also the input");
  run (&cli, "predict --model m.safetensors --input link.nii.gz --output in/a.nii.gz %s", common);
  expect (&cli, 2, "", "is also the input");
  run (&cli, "predict --model m.safetensors --input in/b.hdr --output in/b.img %s", common);
  expect (&cli, 2, "", "is also the input");
  run (&cli, "predict --model m.safetensors --input in --output in/. %s", common);
  expect (&cli, 2, "", "holds the scans");
  run (&cli, "predict --model m.safetensors --input in --output new.nii.gz %s", common);
  expect (&cli, 2, "", "need an output folder");
  run (&cli, "patches in/a.nii.gz --size 8 --add-index --reconstruct in/a.nii.gz");
  expect (&cli, 2, "", "is also the input");
  run (&cli, "render in/a.nii.gz --out in/a.nii.gz");
  expect (&cli, 2, "", "is also the input");
  run (&cli, "predict --model m.safetensors --input in --output out %s", common); /* a pair is one scan */
  expect (&cli, 0, "b: ", "");
  check_output (&cli, "out/b.nii.gz", "in/b.hdr", NULL);
  run (&cli, "evaluate --reference in --prediction in");
  expect (&cli, 1, "", "in/a.nii.gz: "); /* not labels, but not two of one name */
  after = contents (&cli, "in/a.nii.gz");
  after_pair = contents (&cli, "in/b.img");
  g_assert_cmpstr (before, ==, after);
  g_assert_cmpstr (before_pair, ==, after_pair);
  cli_clear (&cli);
}

/* Wrong uses end with 2, failures with 1 and one line that names the file. */
static void
test_errors (void)
{
  Cli cli;

  cli_init (&cli);
  model (&cli, 1);
  save (&cli, scan (1), "a.nii.gz");
  run (&cli, "predict --help");
  expect (&cli, 0, "--model", "");
  run (&cli, "predict --input a.nii.gz --output o.nii.gz");
  expect (&cli, 2, "", "--model");
  run (&cli, "predict --model m.safetensors --output o.nii.gz");
  expect (&cli, 2, "", "--input");
  run (&cli, "predict --model m.safetensors --input a.nii.gz");
  expect (&cli, 2, "", "--output");
  run (&cli, "predict --model m.safetensors --input a.nii.gz --output o.nii.gz b.nii.gz");
  expect (&cli, 2, "", "too many operands");
  run (&cli, "predict --model absent.safetensors --input a.nii.gz --output o.nii.gz");
  expect (&cli, 1, "", "tessera-cli: absent.safetensors: ");
  run (&cli, "predict --model a.nii.gz --input a.nii.gz --output o.nii.gz");
  expect (&cli, 1, "", "tessera-cli: a.nii.gz: ");
  run (&cli, "predict --model m.safetensors --input absent.nii.gz --output o.nii.gz --quiet");
  expect (&cli, 1, "", "tessera-cli: absent.nii.gz: ");
  run (&cli, "predict --model m.safetensors --input a.nii.gz --output o.xyz");
  expect (&cli, 1, "", "tessera-cli: o.xyz: ");
  run (&cli, "predict --model m.safetensors --input a.nii.gz --output no/where/o.nii.gz");
  expect (&cli, 1, "", "there is no folder no/where");
  run (&cli, "predict --model m.safetensors --input a.nii.gz --output o.nii.gz --backend abacus");
  g_assert_cmpint (cli.code, !=, 0);
  run (&cli, "evaluate --reference a.nii.gz");
  expect (&cli, 2, "", "--prediction");
  run (&cli, "evaluate --reference a.nii.gz --prediction absent.nii.gz");
  expect (&cli, 1, "", "tessera-cli: absent.nii.gz: ");
  cli_clear (&cli);
}

static void
test_evaluate (void)
{
  const double spacing[3] = {1, 1, 1}, still[3] = {0, 0, 0};
  TessAffine affine = fixture_affine (spacing, still, still);
  g_autoptr (JsonNode) root = NULL;
  JsonObject *mean;
  GError *error = NULL;
  Cli cli;

  cli_init (&cli);
  for (int i = 0; i < 2; i++) {
    TessVolume *v = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
    guint8 *p = tess_volume_data_mut (v);

    for (gint64 k = 0; k < tess_volume_n_voxels (v); k++)
      p[k] = k % dim[0] >= 4 && k % dim[0] < 8 + 4 * i;
    tess_volume_set_watermark (v, tess_volume_n_slices (v));
    save (&cli, v, i ? "p.nii.gz" : "r.nii.gz");
  }
  run (&cli, "evaluate --reference r.nii.gz --prediction p.nii.gz");
  expect (&cli, 0, "0.6667", "");
  expect (&cli, 0, "mean", "");
  run (&cli, "evaluate --reference r.nii.gz --prediction p.nii.gz --json");
  expect (&cli, 0, "", "");
  root = tess_json_parse (cli.out, -1, "stdout", &error);
  g_assert_no_error (error);
  mean = json_object_get_object_member (json_object_get_object_member (json_node_get_object (root), "mean"), "1");
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (mean, "dice"), 2.0 / 3.0, 1e-12);
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (mean, "hd95_mm"), 4.0, 1e-6);
  cli_clear (&cli);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/predict/one-scan", test_one_scan);
  g_test_add_func ("/cli/predict/header", test_header);
  g_test_add_func ("/cli/predict/two-channels", test_two_channels);
  g_test_add_func ("/cli/predict/folder", test_folder);
  g_test_add_func ("/cli/predict/folder-channels", test_folder_channels);
  g_test_add_func ("/cli/predict/keeps-the-scan", test_keeps_the_scan);
  g_test_add_func ("/cli/predict/errors", test_errors);
  g_test_add_func ("/cli/evaluate", test_evaluate);
  return g_test_run ();
}
