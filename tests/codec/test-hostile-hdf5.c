/* HDF5 files with bytes changed, cut and repeated: each ends in a volume or in one sentence, with libhdf5 in the helper
 * and the chunks unpacked here. TESSERA_MUTATIONS says how many (200 unless told). */
#include "hdf5-fixture.h"

#include "tess-codec-client.h"

#include <glib/gstdio.h>
#include <string.h>

/* Sizes, offsets and signatures are anywhere in an HDF5 file: bytes are changed close together as well as far apart. */
static guint8 *
mutate (GRand *rand, const guint8 *bytes, gsize n, gsize *n_out)
{
  guint kind = (guint)g_rand_int_range (rand, 0, 8);
  guint8 *out = g_malloc (2 * n);
  gsize near = (gsize)g_rand_int_range (rand, 0, (gint32)n);

  memcpy (out, bytes, n);
  *n_out = n;
  if (kind == 0) { /* cut */
    *n_out = near;
  } else if (kind == 1) { /* a piece twice */
    gsize length = MIN (n - near, (gsize)g_rand_int_range (rand, 1, 512));

    memmove (out + near + length, out + near, n - near);
    *n_out = n + length;
  } else if (kind == 2) { /* a piece of it elsewhere */
    gsize from = (gsize)g_rand_int_range (rand, 0, (gint32)n);

    memmove (out + near, bytes + from, MIN ((gsize)g_rand_int_range (rand, 1, 64), n - MAX (near, from)));
  } else {
    for (int i = g_rand_int_range (rand, 1, 16); i > 0; i--) {
      gsize where =
          kind % 2 ? (near + (gsize)g_rand_int_range (rand, 0, 48)) % n : (gsize)g_rand_int_range (rand, 8, (gint32)n);

      out[where] = (guint8)(kind < 5   ? 0xff
                            : kind < 7 ? g_rand_int_range (rand, 0, 256)
                                       : out[where] ^ (1 << g_rand_int_range (rand, 0, 8)));
    }
  }
  return out;
}

typedef struct {
  guint n_read, n_refused, n_broke, n_long;
  double longest;
} Count;

static void
check_sentence (const GError *error, const char *path, guint i)
{
  g_assert_true (error->domain == TESS_ERROR);
  if (!g_str_has_prefix (error->message, path) || strchr (error->message, '\n') ||
      !g_utf8_validate (error->message, -1, NULL))
    g_error ("mutation %u: \"%s\"", i, error->message);
}

/* The list of datasets, and one of them. */
static void
read_one (const char *path, const char *name, guint i, Count *count)
{
  g_autoptr (GError) error = NULL, failure = NULL;
  g_autoptr (GPtrArray) entries = tess_volume_entries (path, &error);
  g_autofree char *location = g_strconcat (path, "::", name, NULL);
  gint64 start = g_get_monotonic_time ();
  g_autoptr (TessVolume) volume = tess_volume_load (location, NULL, &failure);

  count->longest = MAX (count->longest, (double)(g_get_monotonic_time () - start) / 1e6);
  g_assert_true ((entries != NULL) != (error != NULL));
  g_assert_true ((volume != NULL) != (failure != NULL));
  if (error)
    check_sentence (error, path, i);
  if (volume) {
    count->n_read++;
    return;
  }
  check_sentence (failure, path, i);
  count->n_refused++;
  count->n_broke += strstr (failure->message, "broke off") != NULL;
  count->n_long += strstr (failure->message, "longer than") != NULL;
}

static void
test_mutations (void)
{
  const char *wanted = g_getenv ("TESSERA_MUTATIONS");
  guint n = wanted ? (guint)g_ascii_strtoull (wanted, NULL, 10) : 200;
  g_autoptr (JsonNode) root = hdf5_fixture_reference ();
  JsonArray *files = json_object_get_array_member (json_node_get_object (root), "files");
  g_autofree char *folder = g_dir_make_tmp ("tess-hostile-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "hostile.h5", NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  Count count = {0};

  for (guint i = 0; i < n; i++) {
    JsonObject *file = json_array_get_object_element (files, i % json_array_get_length (files));
    g_autoptr (GList) names = json_object_get_members (json_object_get_object_member (file, "datasets"));
    const char *name = g_list_nth_data (names, (guint)g_rand_int_range (rand, 0, (gint32)g_list_length (names)));
    gsize size, n_changed;
    g_autofree guint8 *bytes = hdf5_fixture_file (file, &size), *changed = mutate (rand, bytes, size, &n_changed);

    g_assert_true (g_file_set_contents_full (path, (const char *)changed, (gssize)n_changed, G_FILE_SET_CONTENTS_NONE,
                                             0600, NULL));
    read_one (path, name, i, &count);
  }
  g_test_message (
      "%u mutated files: %u read, %u refused (the helper broke off %u times, was stopped %u times); longest "
      "%.1f s",
      n, count.n_read, count.n_refused, count.n_broke, count.n_long, count.longest);
  g_assert_true (n < 100 || (count.n_read > 0 && count.n_refused > 0));
  g_remove (path);
  g_rmdir (folder);
}

/* libhdf5 works within the sandbox and little memory; with too little it is a sentence. Nothing of a file that a link
 * or a dataset names is seen: the helper cannot open it. */
static void
test_limits (void)
{
  g_autoptr (JsonNode) root = hdf5_fixture_reference ();
  JsonArray *files = json_object_get_array_member (json_node_get_object (root), "files");
  g_autofree char *folder = g_dir_make_tmp ("tess-hostile-XXXXXX", NULL), *path = NULL;
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = 20, .memory = (guint64)256 << 20});
  g_autoptr (TessCodec) small = tess_codec_new (&(TessCodecLimits){.seconds = 20, .memory = 1 << 20});
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = NULL, none = NULL;
  JsonArray *datasets;
  guint n_outside = 0;

  path = hdf5_fixture_put (folder, json_array_get_object_element (files, 3)); /* groups.h5 */
  answer = tess_codec_ask (codec, "hdf5-scan", &(TessCodecJob){.path = path}, NULL, &error);
  g_assert_no_error (error);
  datasets = json_object_get_array_member (answer, "datasets");
  for (guint i = 0; i < json_array_get_length (datasets); i++) {
    JsonObject *o = json_array_get_object_element (datasets, i);
    const char *name = json_object_get_string_member (o, "name");
    gboolean outside = g_str_equal (name, "/elsewhere") || g_str_equal (name, "/outside");

    n_outside += outside;
    g_assert_false (outside && json_object_has_member (o, "values"));
  }
  g_assert_cmpuint (n_outside, ==, 2);
  none = tess_codec_ask (small, "hdf5-scan", &(TessCodecJob){.path = path}, NULL, &error);
  g_assert_null (none);
  g_assert_nonnull (error);
  check_sentence (error, path, 0);
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!hdf5_fixture_have_codec ())
    return 0;
  g_test_add_func ("/codec/hdf5-limits", test_limits);
  g_test_add_func ("/codec/hdf5-mutations", test_mutations);
  return g_test_run ();
}
