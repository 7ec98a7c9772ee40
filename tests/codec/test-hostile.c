/* Real DICOM files (all of the shared data, and a structure set) damaged in ways that depend on nothing but their
 * number: each ends in a volume or in one sentence, whatever the helper does.
 *
 * TESSERA_MUTATIONS=2000 TESSERA_CODEC=build/src/codec/tessera-codec \
 *   TESSERA_SHARED_DATA=../shared/data G_TEST_SRCDIR=tests build/tests/codec/test-hostile
 *
 * damages that many (200 unless told) and says how they ended; TESSERA_MUTATION=N the one with number N only. */
#include "tess-codec-client.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <string.h>

#define SECONDS 2.0 /* for a file, besides what its size needs */

typedef struct {
  guint n_read, n_refused, n_broke, n_stopped;
  double longest, beyond; /* seconds: the longest wait for a volume; the most beyond the helper's limit */
} Tally;

static void
find_files (const char *folder, GPtrArray *found)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    char *path = g_build_filename (folder, name, NULL);

    if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
      find_files (path, found);
      g_free (path);
    } else if (g_str_has_suffix (name, ".gz") || g_str_has_suffix (name, ".nrrd")) {
      g_free (path);
    } else {
      g_ptr_array_add (found, path);
    }
  }
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* A structure set, of which the shared data has none. */
static char *
structure_set (gsize *n)
{
  g_autoptr (JsonNode) root =
      tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "dicom_contours.json", NULL), NULL);
  JsonObject *o =
      json_array_get_object_element (json_object_get_array_member (json_node_get_object (root), "cases"), 0);

  return (char *)g_base64_decode (
      json_object_get_string_member (json_object_get_object_member (o, "files"), "contours/rt.dcm"), n);
}

/* Where an element with a VR begins, near a random place of the first 8 kB; 0 when there is none. */
static gsize
some_element (GRand *rand, const guint8 *bytes, gsize n)
{
  gsize end = MIN (n, 8192), start = (gsize)g_rand_int_range (rand, 132, (gint32)MAX (end, 133));

  for (gsize at = start; at + 12 <= end; at++)
    if (g_ascii_isupper (bytes[at + 4]) && g_ascii_isupper (bytes[at + 5]) && bytes[at + 1] < 0x80)
      return at;
  return 0;
}

static void
change_length (GRand *rand, guint8 *bytes, gsize at)
{
  static const guint32 lengths[] = {0, 1, 3, 0x7ffe, 0xfffe, 0xffff, 0x10000, 0x7fffffff, 0xfffffffe, 0xffffffff};
  guint32 length = g_rand_boolean (rand) ? lengths[g_rand_int_range (rand, 0, G_N_ELEMENTS (lengths))]
                                         : (guint32)(bytes[at + 6] + g_rand_int_range (rand, -4, 5));
  gboolean wide = strchr ("OSU", bytes[at + 4]) && strchr ("BWFQNTDCR", bytes[at + 5]);

  memcpy (bytes + at + (wide ? 8 : 6), &length, wide ? 4 : 2);
}

static guint8 *
mutate (GRand *rand, const guint8 *bytes, gsize n, gsize *n_out)
{
  guint kind = (guint)g_rand_int_range (rand, 0, 7);
  guint8 *out = g_malloc (2 * n + 1);
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
  } else if (kind == 5) { /* lengths of elements */
    for (int i = g_rand_int_range (rand, 1, 4); i > 0; i--)
      if ((where = some_element (rand, out, n)) > 0)
        change_length (rand, out, where);
  } else if (kind == 6) { /* elements change names */
    gsize other = some_element (rand, out, n);
    guint8 tag[4];

    where = some_element (rand, out, n);
    memcpy (tag, out + where, 4);
    memmove (out + where, out + other, 4);
    memcpy (out + other, tag, 4);
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

static gboolean
on_answer (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  char **said = user_data;

  g_assert_true (answer || problem);
  if (problem)
    *said = g_strdup (problem->message);
  return TRUE;
}

/* What the helper says of it, with little time; how long that took beyond what it may. */
static void
scan (TessCodec *codec, const char *path, gsize n, Tally *tally)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *said = NULL;
  gint64 start = g_get_monotonic_time ();

  g_assert_true (tess_codec_scan (codec, &(TessCodecJob){.path = path}, 1, on_answer, &said, NULL, &error));
  g_assert_no_error (error);
  if (said && strstr (said, "longer than")) {
    double waited = (double)(g_get_monotonic_time () - start) / 1e6;

    tally->n_stopped++;
    tally->beyond = MAX (tally->beyond, waited - SECONDS - (double)n / 20e6);
  }
}

static void
try_file (const char *folder, const char *path, guint number, Tally *tally)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

  tally->longest = MAX (tally->longest, (double)(g_get_monotonic_time () - start) / 1e6);
  g_assert_true ((volume != NULL) != (error != NULL));
  if (volume) {
    tally->n_read++;
    return;
  }
  tally->n_refused++;
  tally->n_broke += strstr (error->message, "broke off") != NULL;
  tally->n_stopped += strstr (error->message, "longer than") != NULL;
  g_assert_true (error->domain == TESS_ERROR);
  if (!g_str_has_prefix (error->message, folder) || /* a DICOMDIR's errors name its files */
      strchr (error->message, '\n') || !g_utf8_validate (error->message, -1, NULL))
    g_error ("mutation %u: \"%s\"", number, error->message);
}

static void
test_mutations (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA"), *wanted = g_getenv ("TESSERA_MUTATIONS");
  const char *only = g_getenv ("TESSERA_MUTATION");
  g_autofree char *dicom = g_build_filename (root ? root : "", "dicom", NULL), *folder = NULL, *path = NULL;
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = SECONDS, .memory = (guint64)512 << 20});
  guint begin = only ? (guint)g_ascii_strtoull (only, NULL, 10) : 0;
  guint end = only ? begin + 1 : wanted ? (guint)g_ascii_strtoull (wanted, NULL, 10) : 200;
  Tally tally = {0};

  find_files (dicom, files);
  if (!root || files->len == 0) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  g_ptr_array_sort (files, by_name);
  folder = g_dir_make_tmp ("tess-hostile-XXXXXX", NULL);
  path = g_build_filename (folder, "hostile.dcm", NULL);
  for (guint i = begin; i < end; i++) {
    g_autoptr (GRand) rand = g_rand_new_with_seed (i);
    g_autofree char *bytes = NULL;
    g_autofree guint8 *changed = NULL;
    gsize size, n;

    if (i % 10 == 9) /* its neighbours in the list are much alike, contours are not */
      bytes = structure_set (&size);
    else
      g_assert_true (g_file_get_contents (g_ptr_array_index (files, i % files->len), &bytes, &size, NULL));
    changed = mutate (rand, (const guint8 *)bytes, size, &n);
    g_assert_true (g_file_set_contents (path, (const char *)changed, (gssize)n, NULL));
    scan (codec, path, n, &tally);
    try_file (folder, path, i, &tally);
  }
  g_test_message ("%u damaged files: %u read, %u refused (the helper broke off %u times, was stopped %u times); the "
                  "longest load took %.1f s, the longest wait was %.2f s beyond the helper's limit",
                  end - begin, tally.n_read, tally.n_refused, tally.n_broke, tally.n_stopped, tally.longest,
                  tally.beyond);
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
