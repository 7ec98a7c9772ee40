/* HDF5 files as h5py and ITK wrote them (tests/reference/hdf5.py), our own, and damaged ones. */
#include "hdf5-fixture.h"
#include "numpy-fixture.h"

#include "tess-parallel.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

static gboolean
listed (GPtrArray *entries, const char *id, TessVolume *volume)
{
  for (guint i = 0; i < entries->len; i++) {
    TessVolumeEntry *entry = g_ptr_array_index (entries, i);

    if (strcmp (entry->id, id) != 0)
      continue;
    if (volume) {
      g_assert_cmpint (entry->dtype, ==, tess_volume_dtype (volume));
      g_assert_cmpmem (entry->dim, sizeof entry->dim, tess_volume_dim (volume), sizeof entry->dim);
      g_assert_cmpint (entry->n_channels, ==, tess_volume_n_channels (volume));
      g_assert_nonnull (strstr (entry->description, tess_dtype_name (entry->dtype)));
    }
    return TRUE;
  }
  return FALSE;
}

static void
check_place (TessVolume *volume, JsonObject *o, const char *what)
{
  JsonArray *affine = json_object_has_member (o, "affine") ? json_object_get_array_member (o, "affine") : NULL;
  const char *warns = json_object_get_string_member_with_default (o, "warns", NULL);

  for (guint i = 0; affine && i < 12; i++)
    if (!(fabs (tess_volume_affine (volume)->m[i / 4][i % 4] - json_array_get_double_element (affine, i)) < 1e-12))
      g_error ("%s: affine [%u][%u] is %g", what, i / 4, i % 4, tess_volume_affine (volume)->m[i / 4][i % 4]);
  if (warns && *warns)
    g_assert_true (numpy_fixture_warned (volume, warns));
  else if (warns)
    g_assert_null (tess_volume_warnings (volume)[0]);
  g_assert_cmpfloat (tess_volume_slope (volume), ==, json_object_get_double_member_with_default (o, "slope", 1));
  g_assert_cmpfloat (tess_volume_intercept (volume), ==,
                     json_object_get_double_member_with_default (o, "intercept", 0));
}

static TessVolume *
load_checked (const char *location, JsonObject *o)
{
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (location, NULL, &error);
  JsonArray *dims = json_object_get_array_member (o, "dims");
  g_autofree char *sum = NULL;

  if (error)
    g_error ("%s", error->message);
  for (guint k = 0; k < 3; k++)
    if (tess_volume_dim (volume)[k] != json_array_get_int_element (dims, k))
      g_error ("%s: axis %u has %" G_GINT64_FORMAT " voxels", location, k, tess_volume_dim (volume)[k]);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, tess_volume_data (volume), tess_volume_n_bytes (volume));
  if (strcmp (sum, json_object_get_string_member (o, "sha256")) != 0)
    g_error ("%s: its voxels are not h5py's", location);
  check_place (volume, o, location);
  return volume;
}

static void
check_datasets (const char *path, JsonObject *file, GPtrArray *entries)
{
  JsonObject *datasets = json_object_get_object_member (file, "datasets");
  JsonArray *unlisted = json_object_get_array_member (file, "unlisted");
  g_autoptr (GList) names = json_object_get_members (datasets);
  g_autofree char *relative = NULL;
  g_autoptr (TessVolume) volume0 = NULL;

  for (GList *l = names; l; l = l->next) {
    const char *name = l->data;
    g_autofree char *location = g_strconcat (path, "::", name, NULL);
    g_autoptr (TessVolume) volume = load_checked (location, json_object_get_object_member (datasets, name));
    gboolean hidden = FALSE;

    for (guint i = 0; i < json_array_get_length (unlisted); i++)
      hidden |= strcmp (json_array_get_string_element (unlisted, i), name) == 0;
    if (listed (entries, name, volume) == hidden)
      g_error ("%s is %s", location, hidden ? "listed" : "not listed");
    g_assert_cmpint (tess_volume_intent (volume), ==,
                     strcmp (name, "/labels") == 0 ? TESS_INTENT_LABEL : TESS_INTENT_IMAGE);
  }
  relative = g_strconcat (path, "::", (char *)names->data + 1, NULL); /* without the first "/" */
  volume0 = load_checked (relative, json_object_get_object_member (datasets, names->data));
  for (guint i = 0; i < json_array_get_length (unlisted); i++)
    g_assert_false (listed (entries, json_array_get_string_element (unlisted, i), NULL));
  if (json_object_has_member (file, "only")) {
    g_autoptr (TessVolume) volume = load_checked (path, json_object_get_object_member (datasets, names->data));

    g_assert_cmpuint (entries->len, ==, 1);
  }
}

static void
test_reference (void)
{
  g_autoptr (JsonNode) root = hdf5_fixture_reference ();
  JsonArray *files = json_object_get_array_member (json_node_get_object (root), "files");

  for (guint f = 0; f < json_array_get_length (files); f++) {
    JsonObject *file = json_array_get_object_element (files, f);
    g_autofree char *path = hdf5_fixture_put (folder, file);
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) entries = tess_volume_entries (path, &error);

    g_assert_no_error (error);
    check_datasets (path, file, entries);
    if (entries->len > 1)
      numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, "give one as");
  }
  g_assert_cmpuint (json_array_get_length (files), ==, 7);
}

/* What is no image, or is packed or kept in a way that is not read: named, in one sentence. */
static void
test_refused (void)
{
  g_autoptr (JsonNode) root = hdf5_fixture_reference ();
  JsonArray *files = json_object_get_array_member (json_node_get_object (root), "files");
  guint n = 0;

  for (guint f = 0; f < json_array_get_length (files); f++) {
    JsonObject *file = json_array_get_object_element (files, f);
    JsonObject *refused = json_object_get_object_member (file, "refused");
    g_autoptr (GList) names = json_object_get_members (refused);
    g_autofree char *path = hdf5_fixture_put (folder, file);

    for (GList *l = names; l; l = l->next, n++) {
      g_autofree char *location = g_strconcat (path, "::", (char *)l->data, NULL);
      const char *says = json_object_get_string_member (refused, l->data);

      numpy_fixture_assert_refused (
          location, path, g_str_has_prefix (says, "there is no") ? TESS_ERROR_FORMAT : TESS_ERROR_UNSUPPORTED, says);
    }
  }
  g_assert_cmpuint (n, ==, 18);
}

static TessVolume *
volume_of (TessDType dtype, const gint64 dim[3], gint64 n_channels)
{
  static const TessAffine affine = {{{-0.7, 0.1, 0.03, 12.5}, {0.2, 0.9, -0.3, -40.25}, {0.05, 0.1, 2.5, 7.125}}};
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (dtype, dim, n_channels, &affine, &error);
  guint8 *data = tess_volume_data_mut (volume);

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    data[i] = (guint8)(i * 37 / 11 % 120);
  return volume;
}

static TessVolume *
there_and_back (TessVolume *volume, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  TessVolume *again;

  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  g_assert_no_error (error);
  again = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (tess_volume_warnings (again)[0]);
  g_assert_cmpmem (tess_volume_dim (again), 3 * sizeof (gint64), tess_volume_dim (volume), 3 * sizeof (gint64));
  g_assert_cmpint (tess_volume_n_channels (again), ==, tess_volume_n_channels (volume));
  g_assert_true (tess_affine_equal (tess_volume_affine (volume), tess_volume_affine (again), 0.0));
  g_assert_cmpint (tess_volume_intent (again), ==, tess_volume_intent (volume));
  g_assert_cmpfloat (tess_volume_slope (again), ==, tess_volume_slope (volume));
  g_assert_cmpfloat (tess_volume_intercept (again), ==, tess_volume_intercept (volume));
  return again;
}

/* Every type; sizes of one chunk, of several, flat ones. */
static void
test_round_trip (void)
{
  static const gint64 dims[][3] = {{5, 4, 3}, {70, 66, 130}, {1500, 700, 1}, {2, 2, 1}};

  for (TessDType dtype = 0; dtype < TESS_N_DTYPES; dtype++)
    for (guint d = 0; d < G_N_ELEMENTS (dims); d++)
      for (gint64 channels = 1; channels <= 3; channels += 2) {
        g_autoptr (TessVolume) volume = volume_of (dtype, dims[d], channels), again = NULL;
        gsize n = tess_volume_n_bytes (volume) / tess_dtype_size (dtype);

        if (d > 0 && dtype != TESS_DTYPE_I16 && dtype != TESS_DTYPE_F64)
          continue;
        tess_volume_set_scaling (volume, 0.1, -1024.3);
        again = there_and_back (volume, "own.h5");
        g_assert_cmpint (tess_volume_dtype (again), ==, dtype == TESS_DTYPE_BF16 ? TESS_DTYPE_F32 : dtype);
        if (dtype != TESS_DTYPE_BF16) {
          g_assert_cmpmem (tess_volume_data (again), tess_volume_n_bytes (again), tess_volume_data (volume),
                           tess_volume_n_bytes (volume));
          continue;
        }
        for (gsize i = 0; i < n; i++) {
          double was, is;

          tess_volume_values_f64 (volume, i, 1, &was);
          tess_volume_values_f64 (again, i, 1, &is);
          g_assert_true (was == is);
        }
      }
}

/* More text than an attribute held before HDF5 1.8. */
static void
test_labels (void)
{
  const gint64 dim[3] = {6, 5, 4};
  g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_U16, dim, 1), again = NULL;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  g_autoptr (GPtrArray) entries = NULL;
  g_autofree char *path = g_build_filename (folder, "labels.h5", NULL);

  for (gint64 i = 0; i < 3000; i++) {
    g_autofree char *name = g_strdup_printf ("간 \"%d\"\\ left", (int)i);

    tess_label_table_add (table, i * 3, name, (const guint8[]){(guint8)i, 2, 3, (guint8)(255 - i % 7)});
  }
  tess_volume_set_labels (volume, table);
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  again = there_and_back (volume, "labels.h5");
  g_assert_nonnull (tess_volume_peek_labels (again));
  g_assert_cmpuint (tess_label_table_n (tess_volume_peek_labels (again)), ==, 3000);
  for (guint i = 0; i < 3000; i++) {
    const TessLabel *was = tess_label_table_peek (table, i),
                    *is = tess_label_table_peek (tess_volume_peek_labels (again), i);

    g_assert_cmpint (is->value, ==, was->value);
    g_assert_cmpstr (is->name, ==, was->name);
    g_assert_cmpmem (is->rgba, 4, was->rgba, 4);
  }
  entries = tess_volume_entries (path, NULL);
  g_assert_cmpuint (entries->len, ==, 1);
  g_assert_cmpstr (((TessVolumeEntry *)g_ptr_array_index (entries, 0))->id, ==, "/labels");
}

typedef struct {
  gint64 seen;
  guint n;
} Watch;

static void
on_live (TessVolume *volume, gpointer user_data)
{
  Watch *watch = user_data;

  g_assert_cmpint (tess_volume_watermark (volume), >=, watch->seen);
  watch->seen = tess_volume_watermark (volume);
  watch->n++;
}

static void
test_live_and_cancel (void)
{
  const gint64 dim[3] = {256, 256, 300};
  g_autofree char *path = g_build_filename (folder, "live.h5", NULL);
  g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_F64, dim, 1), again = NULL;
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;
  Watch watch = {0};
  g_autoptr (GDir) dir = NULL;
  const char *name;

  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  again = tess_volume_load_live (path, NULL, on_live, &watch, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (tess_volume_data (again), tess_volume_n_bytes (again), tess_volume_data (volume),
                   tess_volume_n_bytes (volume));
  g_assert_cmpuint (watch.n, >, 1);
  g_assert_cmpint (watch.seen, ==, 300);
  g_clear_pointer (&again, tess_volume_unref);
  tess_progress_cancel (progress);
  again = tess_volume_load (path, progress, &error);
  g_assert_null (again);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  g_remove (path);
  g_assert_false (tess_volume_save (volume, path, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  dir = g_dir_open (folder, 0, NULL);
  while ((name = g_dir_read_name (dir)))
    g_assert_null (strstr (name, "live.h5")); /* nor what it would have become */
}

/* Cut anywhere, and a byte changed within each packed chunk's data. */
static void
test_damage (void)
{
  const gint64 dim[3] = {20, 20, 20};
  g_autofree char *path = g_build_filename (folder, "damage.h5", NULL), *bytes = NULL;
  g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_I32, dim, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint8 *data = tess_volume_data_mut (volume);
  gsize n;

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++) /* does not shrink */
    data[i] = (guint8)g_rand_int (rand);
  g_assert_true (tess_volume_save (volume, path, NULL, NULL));
  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  for (guint i = 0; i < 12; i++) {
    g_assert_true (g_file_set_contents (path, bytes, (gssize)(n * i / 12), NULL));
    numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, i < 1 ? "not a HDF5 file" : "");
  }
  for (gsize at = 2048; at < 2048 + tess_volume_n_bytes (volume); at += 3001) {
    bytes[at] ^= 0x10;
    g_assert_true (g_file_set_contents (path, bytes, (gssize)n, NULL));
    numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, "packed voxels are damaged");
    bytes[at] ^= 0x10;
  }
  g_assert_true (g_file_set_contents (path, "this is no picture at all", -1, NULL));
  numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, "not a HDF5 file");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  if (!hdf5_fixture_have_codec ())
    return 0;
  folder = numpy_fixture_folder ();
  g_test_add_func ("/hdf5/reference", test_reference);
  g_test_add_func ("/hdf5/refused", test_refused);
  g_test_add_func ("/hdf5/round-trip", test_round_trip);
  g_test_add_func ("/hdf5/labels", test_labels);
  g_test_add_func ("/hdf5/live-and-cancel", test_live_and_cancel);
  g_test_add_func ("/hdf5/damage", test_damage);
  result = g_test_run ();
  remove_tree (folder);
  return result;
}
