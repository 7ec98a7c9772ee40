/* Real DICOM files with bytes changed, cut and repeated: each ends in a volume or in one sentence. TESSERA_MUTATIONS
 * says how many (60 unless told). */
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <string.h>

static const char *const seeds[] = {
    "dicom/transfer_syntax_ct/CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
    "dicom/transfer_syntax_ct/CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm",
    "dicom/transfer_syntax_ct/CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
    "dicom/transfer_syntax_ct/CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm",
    "dicom/transfer_syntax_ct/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm",
    "dicom/pydicom/MR_small_jp2klossless.dcm",
    "dicom/pydicom/emri_small_jpeg_2k_lossless.dcm",
    "dicom/pydicom/emri_small_big_endian.dcm",
    "dicom/pydicom/SC_rgb_rle_2frame.dcm",
    "dicom/pydicom/OT-PAL-8-face.dcm",
    "dicom/pydicom/image_dfl.dcm",
    "dicom/pydicom/parametric_map_float.dcm",
    "dicom/pydicom/UN_sequence.dcm",
    "dicom/dcmqi/liver.dcm",
    "dicom/dcmqi/partial_overlaps.dcm",
    "dicom/dcmqi/23x38x3/multiframe/mf.dcm",
    "dicom/dicomdir/DICOMDIR",
    "dicom/mr_rgb_j2k/IM-0001-0001-0001.dcm",
    "dicom/mr_enhanced_philips_fmri/IM-0001-9600-0001.dcm",
};

static guint8 *
mutate (GRand *rand, const guint8 *bytes, gsize n, gsize *n_out)
{
  guint kind = (guint)g_rand_int_range (rand, 0, 5);
  guint8 *out = g_malloc (2 * n);
  gsize head = MIN (n, 8192), where;

  memcpy (out, bytes, n);
  *n_out = n;
  if (kind == 0) { /* cut */
    *n_out = (gsize)g_rand_int_range (rand, 0, (gint32)n);
  } else if (kind == 1) { /* a piece twice */
    gsize from = (gsize)g_rand_int_range (rand, 0, (gint32)n),
          length = MIN (n - from, (gsize)g_rand_int_range (rand, 1, 512));

    memmove (out + from + length, out + from, n - from);
    *n_out = n + length;
  } else { /* bytes: in the header mostly, where sizes are */
    for (int i = g_rand_int_range (rand, 1, 24); i > 0; i--) {
      where = (gsize)g_rand_int_range (rand, 132, (gint32)MAX (133, kind == 4 ? n : head));
      if (where < n)
        out[where] = (guint8)(kind == 2   ? 0xff
                              : kind == 3 ? g_rand_int_range (rand, 0, 256)
                                          : out[where] ^ (1 << g_rand_int_range (rand, 0, 8)));
    }
  }
  return out;
}

static void
test_mutations (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA"), *wanted = g_getenv ("TESSERA_MUTATIONS");
  guint n = wanted ? (guint)g_ascii_strtoull (wanted, NULL, 10) : 60, n_read = 0, n_refused = 0, n_broke = 0,
        n_long = 0;
  g_autofree char *folder = NULL, *path = NULL, *first = g_build_filename (root ? root : "", seeds[0], NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  double longest = 0;

  if (!root || !g_file_test (first, G_FILE_TEST_EXISTS)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  folder = g_dir_make_tmp ("tess-hostile-XXXXXX", NULL);
  path = g_build_filename (folder, "hostile.dcm", NULL);
  for (guint i = 0; i < n; i++) {
    g_autofree char *seed = g_build_filename (root, seeds[i % G_N_ELEMENTS (seeds)], NULL), *bytes = NULL;
    g_autofree guint8 *changed = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = NULL;
    gsize size, n_changed;
    gint64 start;

    g_assert_true (g_file_get_contents (seed, &bytes, &size, NULL));
    changed = mutate (rand, (const guint8 *)bytes, size, &n_changed);
    g_assert_true (g_file_set_contents (path, (const char *)changed, (gssize)n_changed, NULL));
    start = g_get_monotonic_time ();
    volume = tess_volume_load (path, NULL, &error);
    longest = MAX (longest, (double)(g_get_monotonic_time () - start) / 1e6);
    g_assert_true ((volume != NULL) != (error != NULL));
    if (volume) {
      n_read++;
      continue;
    }
    n_refused++;
    n_broke += strstr (error->message, "broke off") != NULL;
    n_long += strstr (error->message, "longer than") != NULL;
    g_assert_true (error->domain == TESS_ERROR);
    if (!g_str_has_prefix (error->message, folder) || /* a DICOMDIR's errors name its files */
        strchr (error->message, '\n') || !g_utf8_validate (error->message, -1, NULL))
      g_error ("mutation %u: \"%s\"", i, error->message);
  }
  g_test_message (
      "%u mutated files: %u read, %u refused (the helper broke off %u times, was stopped %u times); longest %.1f s", n,
      n_read, n_refused, n_broke, n_long, longest);
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  g_test_add_func ("/codec/mutations", test_mutations);
  return g_test_run ();
}
