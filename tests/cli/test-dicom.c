/* Who the patient is stays in the DICOM files: nothing planted there shows up in what the helper answers, in what
 * tessera-cli prints, or in files made from the scan. */
#include "../formats/dicom-fixture.h"
#include "cli-run.h"
#include "tess-codec-client.h"
#include "tess-zip.h"

#include <gio/gio.h>

static const char *const secrets[] = {"secret", "19010203"};

static void
check (const char *bytes, gsize n, const char *where)
{
  g_autofree char *lower = g_malloc (n + 1);

  for (gsize i = 0; i < n; i++) /* text or not */
    lower[i] = g_ascii_tolower (bytes[i]);
  for (gsize k = 0; k < G_N_ELEMENTS (secrets); k++)
    if (memmem (lower, n, secrets[k], strlen (secrets[k])))
      g_error ("%s holds \"%s\"", where, secrets[k]);
}

static char *
unzipped (const char *bytes, gsize n, gsize *n_out)
{
  g_autoptr (GInputStream) in = g_memory_input_stream_new_from_data (bytes, (gssize)n, NULL);
  g_autoptr (GZlibDecompressor) inflater = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autoptr (GInputStream) through = g_converter_input_stream_new (in, G_CONVERTER (inflater));
  g_autoptr (GOutputStream) out = g_memory_output_stream_new_resizable ();

  g_assert_cmpint (g_output_stream_splice (out, through, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, NULL), >, 0);
  *n_out = g_memory_output_stream_get_data_size (G_MEMORY_OUTPUT_STREAM (out));
  return g_memory_output_stream_steal_data (G_MEMORY_OUTPUT_STREAM (out));
}

/* As it is, and unpacked. */
static void
check_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *bytes = NULL, *inside = NULL;
  gsize n, n_inside = 0;

  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  check (bytes, n, name);
  if (g_str_has_suffix (name, "gz")) {
    inside = unzipped (bytes, n, &n_inside);
    check (inside, n_inside, name);
  } else if (g_str_has_suffix (name, ".npz")) {
    g_autoptr (TessZip) zip = tess_zip_open (path, NULL);

    g_assert_nonnull (zip);
    for (guint i = 0; i < tess_zip_n (zip); i++) {
      g_autoptr (GBytes) data = tess_zip_load_member (zip, i, 1 << 20, NULL);

      g_assert_nonnull (data);
      check (tess_zip_peek_name (zip, i), strlen (tess_zip_peek_name (zip, i)), name);
      check (g_bytes_get_data (data, NULL), g_bytes_get_size (data), name);
    }
  }
}

static char *
write_study (const char *folder)
{
  static const double axial[6] = {1, 0, 0, 0, 1, 0}, sagittal[6] = {0, 1, 0, 0, 0, -1};
  char *study = g_build_filename (folder, "study", NULL);
  guint16 pixels[16];

  for (int k = 0; k < 4; k++) {
    const double position[3] = {0, 0, 2.0 * k};
    g_autofree char *name = g_strdup_printf ("%d.dcm", k);

    for (guint16 i = 0; i < 16; i++)
      pixels[i] = (guint16)(100 * k + i);
    dicom_write (study, name,
                 &(DicomSlice){.columns = 4,
                               .rows = 4,
                               .instance = k,
                               .position = position,
                               .orientation = axial,
                               .spacing = {1, 1},
                               .pixels = pixels,
                               .description = "Abdomen"});
  }
  dicom_write (folder, "several/a.dcm",
               &(DicomSlice){.columns = 4, .rows = 4, .orientation = axial, .pixels = pixels, .series = "1.2.9"});
  dicom_write (folder, "several/b.dcm",
               &(DicomSlice){.columns = 4, .rows = 4, .orientation = sagittal, .pixels = pixels, .series = "1.2.10"});
  return study;
}

static gboolean
on_answer (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;

  g_assert_no_error (problem);
  json_node_set_object (node, answer);
  text = json_to_string (node, FALSE);
  g_assert_nonnull (strstr (text, "Abdomen"));
  check (text, strlen (text), "the helper's answer");
  (*(guint *)user_data)++;
  return TRUE;
}

static void
test_answer (void)
{
  CliRun run;
  g_autofree char *study = NULL, *file = NULL;
  g_autoptr (TessCodec) codec = tess_codec_new (NULL);
  g_autoptr (GError) error = NULL;
  guint n = 0;

  cli_open (&run);
  study = write_study (run.folder);
  file = g_build_filename (study, "0.dcm", NULL);
  g_assert_true (tess_codec_scan (codec, &(TessCodecJob){.path = file}, 1, on_answer, &n, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 1);
  cli_close (&run);
}

static void
check_output (CliRun *run, int code)
{
  g_assert_cmpint (run->code, ==, code);
  check (run->out, strlen (run->out), "standard output");
  check (run->err, strlen (run->err), "standard error");
}

static void
test_outputs (void)
{
  static const char *const files[] = {"a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.npz", "a.npy", "a.mgz"};
  CliRun run;
  g_autofree char *study = NULL;

  cli_open (&run);
  study = write_study (run.folder);
  cli_run (&run, "info study");
  check_output (&run, 0);
  cli_run (&run, "info --json study");
  check_output (&run, 0);
  cli_run (&run, "info --list study");
  check_output (&run, 0);
  g_assert_nonnull (strstr (run.out, "1.2.3.4.5\t4 x 4 x 4\tuint16\tMR, Abdomen"));
  cli_run (&run, "info --json --list several");
  check_output (&run, 0);
  cli_run (&run, "info several");
  check_output (&run, 1);
  cli_failed (&run, 1, "holds 2 volumes");
  g_assert_nonnull (strstr (run.err, "1.2.9 (MR, 4 x 4 x 1)"));
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    cli_run (&run, "convert study %s", files[i]);
    check_output (&run, 0);
    check_file (run.folder, files[i]);
  }
  cli_run (&run, "render study --out a.png");
  check_output (&run, 0);
  check_file (run.folder, "a.png");
  cli_run (&run, "patches study --size 4 --stride 2 --json");
  check_output (&run, 0);
  cli_close (&run);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  g_test_add_func ("/cli/dicom/answer", test_answer);
  g_test_add_func ("/cli/dicom/outputs", test_outputs);
  return g_test_run ();
}
