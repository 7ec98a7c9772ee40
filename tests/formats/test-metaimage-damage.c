/* MetaImage files that must be refused in one line, data files that must not be followed, and every kind of damage. */
#include "nifti-fixture.h"
#include "volume-check.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

static void
put (const char *path, const void *data, gsize n)
{
  g_autoptr (GError) error = NULL;

  g_unlink (path);
  g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, &error);
  g_assert_no_error (error);
}

static void
refuse_bytes (const char *name, const void *data, gsize n, TessError code)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  put (path, data, n);
  check_refused (path, code);
  g_unlink (path);
}

static void
refuse (const char *name, const char *text, TessError code)
{
  refuse_bytes (name, text, strlen (text), code);
}

#define START "ObjectType = Image\nNDims = 3\nDimSize = 3 2 2\n"
#define TYPE "ElementType = MET_UCHAR\n"
#define LOCAL "ElementDataFile = LOCAL\n0123456789ab"

static void
test_headers (void)
{
  static const struct {
    const char *text;
    TessError code;
  } cases[] = {
      {"", TESS_ERROR_FORMAT},
      {"just words\nand more of them\n", TESS_ERROR_FORMAT},
      {"\n\n\n\n", TESS_ERROR_FORMAT},
      {"# only remarks\n", TESS_ERROR_FORMAT},
      {START TYPE, TESS_ERROR_FORMAT},
      {START TYPE "ElementDataFile", TESS_ERROR_FORMAT},
      {START TYPE "ElementDataFile =", TESS_ERROR_FORMAT},
      {START TYPE "ElementDataFile = a\tb\033[1m.raw\n", TESS_ERROR_FORMAT},
      {START LOCAL, TESS_ERROR_FORMAT}, /* no type */
      {TYPE LOCAL, TESS_ERROR_FORMAT},  /* no dims */
      {"NDims = 3\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"DimSize = 3 2 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 0\nDimSize = 3\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 11\nDimSize = 1 1 1 1 1 1 1 1 1 1 1\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 2.5\nDimSize = 3 2 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = three\nDimSize = 3 2 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 2 0\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 -2 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 2.5 2\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 2 inf\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {"NDims = 3\nDimSize = 3 2 nan\n" TYPE LOCAL, TESS_ERROR_FORMAT},
      {START "ElementType = MET_OTHER\n" LOCAL, TESS_ERROR_FORMAT},
      {START "ElementType = MET_ASCII_CHAR\n" LOCAL, TESS_ERROR_FORMAT},
      {START "ElementType = \n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "ElementNumberOfChannels = 0\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "ElementNumberOfChannels = -1\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "ElementNumberOfChannels = 2000000000\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "TransformMatrix = 1 0 0 0 1 0 1 1 0\n" LOCAL, TESS_ERROR_FORMAT}, /* singular */
      {START TYPE "TransformMatrix = 1 0 0 0 nan 0 0 0 1\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "TransformMatrix = 1 0 0 0 1 0 0 0 x\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "Offset = 1 2\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "Offset = 1 2 inf\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = -2\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = 1e30\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = 4000000000000000000\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = 120\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = -1\nCompressedData = True\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "HeaderSize = -1\nCompressedData = True\nCompressedDataSize = 9999\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "CompressedData = True\n" LOCAL, TESS_ERROR_FORMAT}, /* it is not */
      {START TYPE "CompressedData = True\nCompressedDataSize = -5\n" LOCAL, TESS_ERROR_FORMAT},
      {START TYPE "BinaryData = False\n" LOCAL, TESS_ERROR_UNSUPPORTED},
      {"ObjectType = Tube\nNDims = 3\nDimSize = 3 2 2\n" TYPE LOCAL, TESS_ERROR_UNSUPPORTED},
      {START TYPE "ElementDataFile = LIST\na.png\nb.png\n", TESS_ERROR_UNSUPPORTED},
      {START TYPE "ElementDataFile = LIST 2\na.png\nb.png\n", TESS_ERROR_UNSUPPORTED},
      {START TYPE "ElementDataFile = slice%03d.raw 0 1 1\n", TESS_ERROR_UNSUPPORTED},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    refuse ("h.mha", cases[i].text, cases[i].code);
  refuse_bytes ("zero.mha", "NDims = 3\0\nElementDataFile = LOCAL\n", 36, TESS_ERROR_FORMAT);
  {
    gsize n = (gsize)3 << 20; /* a header without an end */
    g_autofree char *text = g_malloc (n);

    memset (text, 'a', n);
    refuse_bytes ("endless.mha", text, n, TESS_ERROR_FORMAT);
    for (gsize i = 0; i < n; i += 8)
      memcpy (text + i, "a = 123\n", 8);
    refuse_bytes ("endless.mha", text, n, TESS_ERROR_FORMAT);
  }
}

/* Names of data files: what is in the folder is read, whatever else the header may say. */
static void
test_data_files (void)
{
  static const char *const outside[] = {"../secret.raw",  "/etc/passwd",       "sub/../../secret.raw",
                                        "..\\secret.raw", "C:\\x\\secret.raw", "\\\\host\\secret.raw",
                                        "sub/.."};
  static const struct {
    const char *name;
    gboolean warns;
  } inside[] = {
      {"voxels.raw", FALSE},         {"VOXELS.RAW", TRUE},
      {"sub/in.raw", FALSE},         {"sub\\in.raw", FALSE},
      {"./voxels.raw", FALSE},       {"/elsewhere/voxels.raw", TRUE},
      {"../other/voxels.raw", TRUE}, {"D:\\scans\\voxels.raw", TRUE},
      {"with blanks.raw", FALSE},    {"per%cent.raw", FALSE},
  };
  g_autofree char *inner = g_build_filename (folder, "inner", NULL), *sub = g_build_filename (inner, "sub", NULL),
                  *path = g_build_filename (inner, "h.mhd", NULL),
                  *secret = g_build_filename (folder, "secret.raw", NULL);
  static const char *const files[] = {"voxels.raw", "sub/in.raw", "with blanks.raw", "per%cent.raw"};

  g_mkdir (inner, 0700);
  g_mkdir (sub, 0700);
  put (secret, "secret secret", 12);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *file = g_build_filename (inner, files[i], NULL);

    put (file, "0123456789ab", 12);
  }
  for (guint i = 0; i < G_N_ELEMENTS (outside); i++) {
    g_autofree char *text = g_strdup_printf (START TYPE "ElementDataFile = %s\n", outside[i]);

    put (path, text, strlen (text));
    check_refused (path, TESS_ERROR_FORMAT);
  }
  for (guint i = 0; i < G_N_ELEMENTS (inside); i++) {
    g_autofree char *text = g_strdup_printf (START TYPE "ElementDataFile = %s\n", inside[i].name);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = NULL;

    put (path, text, strlen (text));
    volume = tess_volume_load (path, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpmem (tess_volume_data (volume), 12, "0123456789ab", 12);
    if ((tess_volume_warnings (volume)[0] != NULL) != inside[i].warns)
      g_error ("%s: %s", inside[i].name, inside[i].warns ? "no warning" : tess_volume_warnings (volume)[0]);
  }
  put (path, START TYPE "ElementDataFile = missing.raw\n", strlen (START TYPE "ElementDataFile = missing.raw\n"));
  check_refused (path, TESS_ERROR_IO);
  put (path, START TYPE "ElementDataFile = sub\n", strlen (START TYPE "ElementDataFile = sub\n"));
  check_refused (path, TESS_ERROR_IO);
  {
    g_autofree char *pipe = g_build_filename (inner, "pipe.raw", NULL);

    g_assert_cmpint (mkfifo (pipe, 0600), ==, 0); /* must not make us wait */
    put (path, START TYPE "ElementDataFile = pipe.raw\n", strlen (START TYPE "ElementDataFile = pipe.raw\n"));
    check_refused (path, TESS_ERROR_IO);
  }
  remove_tree (sub);
  remove_tree (inner);
}

/* Headers that promise petabytes are refused before anything of that size is asked for. */
static void
test_promises (void)
{
  static const char *const texts[] = {
      "NDims = 3\nDimSize = 100000 100000 100000\n" TYPE LOCAL,
      "NDims = 3\nDimSize = 9000000000000000 9000000000000000 9000000000000000\n" TYPE LOCAL,
      "NDims = 10\nDimSize = 9000 9000 9000 9000 9000 9000 9000 9000 9000 9000\n" TYPE LOCAL,
      "NDims = 3\nDimSize = 2000 2000 2000\nCompressedData = True\n" TYPE LOCAL,
      "NDims = 3\nDimSize = 2000 2000 2000\nHeaderSize = -1\n" TYPE LOCAL,
      "NDims = 3\nDimSize = 2 2 2\nElementNumberOfChannels = 1000000000\n" TYPE LOCAL,
  };
  g_autofree char *pages = NULL;
  struct rlimit limit, small;

  g_assert_cmpint (getrlimit (RLIMIT_AS, &limit), ==, 0);
  small = limit;
  small.rlim_cur = (rlim_t)1 << 30;
  g_assert_true (g_file_get_contents ("/proc/self/statm", &pages, NULL, NULL));
  if (g_ascii_strtoull (pages, NULL, 10) < 1 << 18) /* sanitizers map terabytes and cannot be limited */
    g_assert_cmpint (setrlimit (RLIMIT_AS, &small), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    refuse ("huge.mha", texts[i], TESS_ERROR_FORMAT);
  setrlimit (RLIMIT_AS, &limit);
}

/* Cut anywhere, a file is refused; with bytes changed anywhere, it is refused or read, and never more than that. */
static void
test_cut_and_changed (gconstpointer ending)
{
  static const gint64 dim[3] = {9, 7, 5};
  g_autofree char *path = g_strconcat (folder, "/cut", ending, NULL),
                  *source = g_strconcat (folder, "/good", ending, NULL);
  g_autofree char *content = NULL, *copy = NULL;
  TessAffine affine = tess_affine_scale (1, 2, 3);
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_I16, dim, 2, &affine, NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  guint n_refused = 0;
  gsize n;

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    ((guint8 *)tess_volume_data_mut (volume))[i] = (guint8)g_rand_int (rand);
  g_assert_true (tess_volume_save (volume, source, NULL, NULL));
  g_assert_true (g_file_get_contents (source, &content, &n, NULL));
  for (gsize i = 0; i < n; i++) {
    gboolean name_cut = memmem (content, i, "ElementDataFile = L", 19) && !memmem (content, i, "LOCAL", 5);

    refuse_bytes (path + strlen (folder) + 1, content, i, name_cut ? TESS_ERROR_IO : TESS_ERROR_FORMAT);
  }
  copy = g_malloc (n);
  for (guint i = 0; i < 3000; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) read = NULL;

    memcpy (copy, content, n);
    for (gint k = g_rand_int_range (rand, 1, 4); k > 0; k--)
      copy[g_rand_int_range (rand, 0, i % 2 ? (gint)n : 400)] = (char)g_rand_int (rand);
    put (path, copy, n);
    read = tess_volume_load (path, NULL, &error);
    g_assert_true ((read != NULL) != (error != NULL));
    if (error) {
      g_assert_null (strchr (error->message, '\n'));
      g_assert_nonnull (strchr (error->message, ';'));
      n_refused++;
    }
  }
  g_assert_cmpuint (n_refused, >, 100);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/metaimage-damage/headers", test_headers);
  g_test_add_func ("/formats/metaimage-damage/data-files", test_data_files);
  g_test_add_func ("/formats/metaimage-damage/promises", test_promises);
  g_test_add_data_func ("/formats/metaimage-damage/cut-and-changed", ".mha", test_cut_and_changed);
  g_test_add_data_func ("/formats/mgh-damage/mgh", ".mgh", test_cut_and_changed);
  g_test_add_data_func ("/formats/mgh-damage/mgz", ".mgz", test_cut_and_changed);
  result = g_test_run ();
  remove_tree (folder);
  return result;
}
