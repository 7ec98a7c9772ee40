/* Files that must be refused in one line, never crash and never make us allocate what they cannot hold. */
#include "nifti-fixture.h"
#include "tess-available-memory.h"
#include "tess-format-registry.h"

#include <fcntl.h>
#include <math.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* Loading fails with `code` in one line that starts with the file's name and ends with advice; nothing is printed. */
static void
assert_refused (const char *path, TessError code)
{
  g_autofree char *log = in_folder ("stderr");
  g_autoptr (GError) error = NULL;
  int file = open (log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup (STDERR_FILENO);
  TessVolume *volume;

  dup2 (file, STDERR_FILENO);
  volume = tess_volume_load (path, NULL, &error);
  dup2 (saved, STDERR_FILENO);
  close (saved);
  g_assert_cmpint (lseek (file, 0, SEEK_END), ==, 0);
  close (file);
  g_assert_null (volume);
  if (!g_error_matches (error, TESS_ERROR, (int)code))
    g_error ("%s: %s", path, error ? error->message : "no error");
  g_assert_true (g_str_has_prefix (error->message, folder));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

static void
put_refuse (const char *name, GByteArray *bytes, gboolean gzip, TessError code)
{
  g_autofree char *path = in_folder (name);

  nifti_fixture_put (path, bytes, gzip);
  assert_refused (path, code);
}

static GByteArray *
small_file (NiftiFixture *f)
{
  GByteArray *bytes = nifti_fixture_header (f);
  double values[4 * 3 * 2];

  for (int i = 0; i < 24; i++)
    values[i] = i * 7 - 50;
  nifti_fixture_append (f, bytes, values, 24);
  return bytes;
}

static void
test_not_nifti (void)
{
  g_autofree char *missing = in_folder ("missing.nii"), *sub = in_folder ("folder.nii"),
                  *alone = in_folder ("alone.hdr");
  g_autoptr (GByteArray) text = g_byte_array_new (), empty = g_byte_array_new (), zeros = g_byte_array_new ();
  NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
  g_autoptr (GByteArray) good = small_file (&f), pair = NULL;

  for (int i = 0; i < 100; i++)
    g_byte_array_append (text, (const guint8 *)"just words\n", 11);
  g_byte_array_set_size (zeros, 4000);
  memset (zeros->data, 0, 4000);
  put_refuse ("text.nii", text, FALSE, TESS_ERROR_FORMAT);
  put_refuse ("text.nii.gz", text, TRUE, TESS_ERROR_FORMAT);
  put_refuse ("text.img", text, FALSE, TESS_ERROR_IO); /* its .hdr is missing */
  put_refuse ("empty.nii", empty, FALSE, TESS_ERROR_FORMAT);
  put_refuse ("zeros.nii", zeros, FALSE, TESS_ERROR_FORMAT);
  assert_refused (missing, TESS_ERROR_IO);
  g_mkdir (sub, 0700);
  assert_refused (sub, TESS_ERROR_IO);
  g_rmdir (sub);

  memset (good->data + 344, 0, 4); /* an Analyze 7.5 file */
  put_refuse ("analyze.nii", good, FALSE, TESS_ERROR_FORMAT);
  memcpy (good->data + 344, "ni1", 4);
  put_refuse ("wrong-mark.nii", good, FALSE, TESS_ERROR_FORMAT);
  memcpy (good->data + 344, "n+1", 4);
  put_refuse ("wrong-mark.hdr", good, FALSE, TESS_ERROR_FORMAT);
  f.pair = TRUE;
  pair = small_file (&f);
  nifti_fixture_put (alone, pair, FALSE);
  assert_refused (alone, TESS_ERROR_IO); /* no .img */
}

static void
test_fields (void)
{
  static const struct {
    const char *what;
    int dim; /* index into dim, or -1 */
    gint64 value;
  } dims[] = {
      {"no dimensions", 0, 0},      {"eight dimensions", 0, 8},
      {"negative count", 0, -3},    {"zero", 2, 0},
      {"negative", 3, -5},          {"2^31", 1, (gint64)1 << 31},
      {"2^62", 2, (gint64)1 << 62}, {"most negative", 1, G_MININT64},
  };
  static const struct {
    int datatype;
    TessError code;
  } datatypes[] = {
      {0, TESS_ERROR_FORMAT},         {1, TESS_ERROR_UNSUPPORTED}, {128, TESS_ERROR_FORMAT}, /* too few bytes */
      {2304, TESS_ERROR_FORMAT},      {32, TESS_ERROR_FORMAT},     {1792, TESS_ERROR_FORMAT},
      {2048, TESS_ERROR_UNSUPPORTED}, {77, TESS_ERROR_FORMAT},     {-4, TESS_ERROR_FORMAT},
  };

  for (int version = 1; version <= 2; version++) {
    for (guint i = 0; i < G_N_ELEMENTS (dims); i++) {
      NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
      g_autoptr (GByteArray) bytes = NULL;

      f.version = version;
      f.dim[dims[i].dim] = version == 1 && dims[i].value > G_MAXINT16 ? 32767 : dims[i].value;
      bytes = small_file (&f);
      put_refuse ("dims.nii", bytes, FALSE, TESS_ERROR_FORMAT);
      put_refuse ("dims.nii.gz", bytes, TRUE, TESS_ERROR_FORMAT);
    }
    for (guint i = 0; i < G_N_ELEMENTS (datatypes); i++) {
      NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
      g_autoptr (GByteArray) bytes = small_file (&f);

      f.version = version;
      f.datatype = datatypes[i].datatype;
      {
        g_autoptr (GByteArray) header = nifti_fixture_header (&f);

        g_byte_array_append (header, bytes->data + 352, 48);
        put_refuse ("type.nii", header, FALSE, datatypes[i].code);
      }
    }
  }
}

/* Headers that promise petabytes: refused before anything of that size is asked for. */
static void
test_promises (void)
{
  static const gint64 huge[][7] = {
      {32767, 32767, 32767, 32767, 32767, 1, 1},
      {2000, 2000, 2000, 1, 1, 1, 1},
      {200, 200, 200, 1, 1, 1, 1},
  };
  g_autofree char *pages = NULL;
  struct rlimit limit, small;

  g_assert_cmpint (getrlimit (RLIMIT_AS, &limit), ==, 0);
  small = limit;
  small.rlim_cur = (rlim_t)2 << 30;
  g_assert_true (g_file_get_contents ("/proc/self/statm", &pages, NULL, NULL));
  if (g_ascii_strtoull (pages, NULL, 10) < 1 << 18) /* sanitizers map terabytes and cannot be limited */
    g_assert_cmpint (setrlimit (RLIMIT_AS, &small), ==, 0);
  for (int version = 1; version <= 2; version++)
    for (guint i = 0; i < G_N_ELEMENTS (huge); i++) {
      NiftiFixture f = nifti_fixture (64, 64, 1, 1, 1);
      g_autoptr (GByteArray) bytes = NULL;

      f.version = version;
      f.dim[0] = 7;
      memcpy (f.dim + 1, huge[i], sizeof huge[i]);
      bytes = small_file (&f);
      put_refuse ("huge.nii", bytes, FALSE, TESS_ERROR_FORMAT);
      put_refuse ("huge.nii.gz", bytes, TRUE, TESS_ERROR_FORMAT);
    }
  setrlimit (RLIMIT_AS, &limit);
}

static void
cancel_cb (TessProgress *progress, double fraction, gpointer user_data)
{
  tess_progress_cancel (progress);
}

/* A file of holes that is as large as its header says, and larger than the memory that is free. */
static void
test_too_large (void)
{
  gint64 n_slices = (gint64)(tess_available_memory ("") >> 20) * 3 / 2;
  NiftiFixture f = nifti_fixture (2, 8, 1024, 1024, n_slices);
  g_autofree char *path = in_folder ("too-large.nii"),
                  *size = g_strdup_printf ("%.1f GB", (double)n_slices * 0x1p20 / 1e9);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GByteArray) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (n_slices == 0) {
    g_test_skip ("how much memory is free cannot be found out here");
    return;
  }
  f.version = 2;
  bytes = nifti_fixture_header (&f);
  nifti_fixture_put (path, bytes, FALSE);
  if (truncate (path, (off_t)bytes->len + ((off_t)n_slices << 20)) != 0) {
    g_test_skip ("the folder for temporary files takes no file so large, not even an empty one");
    return;
  }
  tess_progress_set_notify (progress, cancel_cb, NULL); /* should it be read after all */
  g_assert_null (tess_volume_load (path, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "too-large.nii: "));
  g_assert_nonnull (strstr (error->message, size));
  g_assert_nonnull (strstr (error->message, "; crop it"));
}

static void
test_offsets (void)
{
  static const float offsets[] = {1, 348, 351, 1e9f, 1e30f, -1, -352};
  NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
  g_autoptr (GByteArray) bytes = small_file (&f);
  g_autofree char *path = in_folder ("zero.nii");
  g_autoptr (TessVolume) volume = NULL;
  float zero = 0, bad = NAN;

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++) {
    memcpy (bytes->data + 108, &offsets[i], 4);
    put_refuse ("offset.nii", bytes, FALSE, TESS_ERROR_FORMAT);
    put_refuse ("offset.nii.gz", bytes, TRUE, TESS_ERROR_FORMAT);
  }
  memcpy (bytes->data + 108, &bad, 4);
  put_refuse ("offset.nii", bytes, FALSE, TESS_ERROR_FORMAT);
  memcpy (bytes->data + 108, &zero, 4); /* left out: the voxels follow the header */
  nifti_fixture_put (path, bytes, FALSE);
  volume = tess_volume_load (path, NULL, NULL);
  g_assert_nonnull (volume);
  g_assert_cmpfloat (tess_volume_value (volume, 3, 2, 1, 0), ==, 23 * 7 - 50);
}

static void
test_truncated (void)
{
  static const int versions[] = {1, 2};

  for (guint v = 0; v < 2; v++) {
    NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
    g_autoptr (GByteArray) bytes = NULL, packed = NULL;

    f.version = versions[v];
    bytes = small_file (&f);
    packed = nifti_fixture_gzip (bytes);
    for (guint n = 0; n < packed->len; n++) {
      g_autoptr (GByteArray) part = g_byte_array_new ();

      g_byte_array_append (part, packed->data, n);
      put_refuse ("cut.nii.gz", part, FALSE, TESS_ERROR_FORMAT);
    }
    for (guint n = 0; n<bytes->len; n += n> 340 ? 1 : 17) {
      g_autoptr (GByteArray) part = g_byte_array_new ();

      g_byte_array_append (part, bytes->data, n);
      put_refuse ("cut.nii", part, FALSE, TESS_ERROR_FORMAT);
      if (n % 5 == 0)
        put_refuse ("cut-inside.nii.gz", part, TRUE, TESS_ERROR_FORMAT); /* well packed, but too short */
    }
    packed->data[packed->len - 6] ^= 1; /* all voxels are there, the checksum says that they are wrong */
    put_refuse ("checksum.nii.gz", packed, FALSE, TESS_ERROR_FORMAT);
  }
}

static void
test_cancel (void)
{
  NiftiFixture f = nifti_fixture (2, 8, 300, 300, 200);
  g_autoptr (GByteArray) bytes = nifti_fixture_header (&f);
  g_autofree char *path = in_folder ("large.nii.gz"), *out = in_folder ("out.nii");
  g_autoptr (TessProgress) early = tess_progress_new (), during = tess_progress_new (), saving = tess_progress_new ();
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GError) error = NULL;
  guint at = bytes->len;

  g_byte_array_set_size (bytes, at + 300 * 300 * 200);
  for (guint i = at; i < bytes->len; i++)
    bytes->data[i] = (guint8)(i * 7 / 5);
  nifti_fixture_put (path, bytes, TRUE);
  tess_progress_cancel (early);
  g_assert_null (tess_volume_load (path, early, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  tess_progress_set_notify (during, cancel_cb, NULL);
  g_assert_null (tess_volume_load (path, during, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_assert_cmpfloat (tess_progress_get (during), <, 0.9);
  g_clear_error (&error);
  volume = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (tess_volume_data (volume), tess_volume_n_bytes (volume), bytes->data + at, bytes->len - at);
  tess_progress_set_notify (saving, cancel_cb, NULL);
  g_assert_false (tess_volume_save (volume, out, saving, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_assert_false (g_file_test (out, G_FILE_TEST_EXISTS)); /* nothing half-written is left */
}

static void
test_write_errors (void)
{
  const gint64 dim[3] = {2, 2, 2};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autofree char *nowhere = in_folder ("no/such/out.nii.gz"), *unknown = in_folder ("out.xyz"),
                  *sub = in_folder ("sub.nii");
  g_autofree char *locked = in_folder ("locked"), *inside = g_build_filename (locked, "out.nii", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (tess_volume_save (volume, nowhere, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, nowhere));
  g_clear_error (&error);
  g_assert_false (tess_volume_save (volume, unknown, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  g_mkdir (sub, 0700);
  g_assert_false (tess_volume_save (volume, sub, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_rmdir (sub);
  g_mkdir (locked, 0500);
  if (access (locked, W_OK) == 0) { /* root writes anywhere */
    g_assert_true (tess_volume_save (volume, inside, NULL, &error));
    g_remove (inside);
  } else {
    g_assert_false (tess_volume_save (volume, inside, NULL, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  }
  g_rmdir (locked);
}

/* Thousands of damaged headers: each either loads a volume no larger than the file allows, or fails with an error. */
static void
test_mutations (void)
{
  static const guint8 special[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  guint32 random = 1;
  guint loaded = 0, refused = 0;
  g_autofree char *path = in_folder ("mutant.nii");

  for (int round = 0; round < 4000; round++) {
    NiftiFixture f = nifti_fixture (4, 16, 4, 3, 2);
    g_autoptr (GByteArray) bytes = NULL;
    g_autoptr (TessVolume) volume = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) extension = g_bytes_new_static ("extension", 9);

    f.version = 1 + round % 2;
    f.big_endian = (round / 2) % 2;
    f.qform_code = (round / 4) % 2;
    f.extension = (round / 8) % 2 ? extension : NULL;
    bytes = small_file (&f);
    for (int k = 0; k <= round % 4; k++) {
      guint at;

      random = random * 1664525u + 1013904223u;
      at = (random >> 8) % (f.version == 1 ? 400u : 600u);
      random = random * 1664525u + 1013904223u;
      if (at < bytes->len)
        bytes->data[at] = (random >> 30) ? special[(random >> 10) % G_N_ELEMENTS (special)] : (guint8)(random >> 10);
    }
    nifti_fixture_put (path, bytes, FALSE);
    volume = tess_volume_load (path, NULL, &error);
    if (volume) {
      loaded++;
      g_assert_no_error (error);
      g_assert_cmpuint (tess_volume_n_bytes (volume), <=, bytes->len);
    } else {
      refused++;
      g_assert_true (error && error->domain == TESS_ERROR && !strchr (error->message, '\n'));
    }
  }
  g_assert_cmpuint (loaded, >, 500); /* the mutations reach both sides */
  g_assert_cmpuint (refused, >, 500);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/nifti/not-nifti", test_not_nifti);
  g_test_add_func ("/formats/nifti/fields", test_fields);
  g_test_add_func ("/formats/nifti/promises", test_promises);
  g_test_add_func ("/formats/nifti/offsets", test_offsets);
  g_test_add_func ("/formats/nifti/truncated", test_truncated);
  g_test_add_func ("/formats/nifti/too-large", test_too_large);
  g_test_add_func ("/formats/nifti/cancel", test_cancel);
  g_test_add_func ("/formats/nifti/write-errors", test_write_errors);
  g_test_add_func ("/formats/nifti/mutations", test_mutations);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
