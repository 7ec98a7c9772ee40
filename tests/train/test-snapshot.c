#include "tess-train-check.h"

#include "tess-safetensors.h"
#include "tess-thread.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static const gint64 whole[3] = {4, 6, 8}, heads[2][3] = {{4, 6, 8}, {2, 3, 4}};

static TessSnapshot *
make (gint64 epoch)
{
  g_autoptr (GError) error = NULL;
  TessSnapshot *s = tess_snapshot_new ("case 1", 2, 3, 2, whole, heads, &error);

  g_assert_no_error (error);
  s->epoch = epoch;
  s->iteration = 10 * epoch;
  for (guint i = 0; i < 2 * 192; i++)
    s->image[i] = (guint16)(i * 7);
  for (guint i = 0; i < 192; i++)
    s->truth[i] = i % 3;
  for (guint i = 0; i < 3 * 192; i++)
    s->heads[0].probabilities[i] = (guint8)i;
  for (guint i = 0; i < 3 * 24; i++)
    s->heads[1].probabilities[i] = (guint8)(255 - i);
  return s;
}

static void
test_round_trip (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tessera-snapshot-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "e0003.safetensors", NULL);
  g_autoptr (TessSnapshot) a = make (3), b = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_snapshot_save (a, path, &error));
  g_assert_no_error (error);
  b = tess_snapshot_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (b->epoch, ==, 3);
  g_assert_cmpint (b->iteration, ==, 30);
  g_assert_cmpstr (b->case_id, ==, "case 1");
  g_assert_cmpuint (b->n_channels, ==, 2);
  g_assert_cmpuint (b->n_classes, ==, 3);
  g_assert_cmpuint (b->n_heads, ==, 2);
  g_assert_cmpmem (b->dhw, sizeof b->dhw, whole, sizeof whole);
  g_assert_cmpmem (a->image, 768, b->image, 768);
  g_assert_cmpmem (a->truth, 192, b->truth, 192);
  for (guint h = 0; h < 2; h++) {
    gsize n = h == 0 ? 576 : 72;

    g_assert_cmpmem (b->heads[h].dhw, sizeof b->heads[h].dhw, heads[h], sizeof heads[h]);
    g_assert_cmpmem (a->heads[h].probabilities, n, b->heads[h].probabilities, n);
  }
  g_unlink (path);
  g_rmdir (folder);
}

/* By hand: softmax (0, ln 3) = (1/4, 3/4); (1000, 0) = (1, 0); 255 / 4 = 63.75 -> 64, 191.25 -> 191. */
static void
test_softmax (void)
{
  const gint64 dhw[1][3] = {{1, 1, 3}};
  g_autoptr (TessSnapshot) s = tess_snapshot_new ("c", 1, 2, 1, dhw[0], dhw, NULL);
  const float logits[6] = {0.0f, logf (3.0f), 1000.0f, 0.0f, -INFINITY, NAN};
  const guint8 expected[6] = {64, 255, 0, 191, 0, 0};

  tess_snapshot_set_head (s, 0, logits);
  g_assert_cmpmem (s->heads[0].probabilities, 6, expected, 6);
}

typedef struct {
  const char *name;
  TessDType dtype;
  guint n_dims;
  gint64 dim[4];
} Part;

/* Files a training never wrote: refused with a sentence that begins with their name. */
/* Each region has a probability of its own; exactly what lies above 0 is painted. */
static void
test_sigmoid (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tessera-snapshot-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "e0003.safetensors", NULL);
  g_autofree float *logits = g_new0 (float, 2 * 192);
  g_autoptr (TessSnapshot) s = make (3), back = NULL;
  const guint8 *p = s->heads[0].probabilities;
  g_autoptr (GError) error = NULL;

  s->sigmoid = TRUE;
  logits[0] = 1.0f; /* 0.731 and 0.119 */
  logits[1] = -2.0f;
  logits[2] = 1e-6f;
  logits[3] = NAN;
  tess_snapshot_set_head (s, 0, logits);
  g_assert_cmpuint (p[192], ==, 186);
  g_assert_cmpuint (p[2 * 192], ==, 30);
  g_assert_cmpuint (p[0], ==, 255 - 186);
  g_assert_cmpuint (p[192 + 1], ==, 128);
  g_assert_cmpuint (p[2 * 192 + 1], ==, 0);
  g_assert_cmpuint (p[192 + 2], ==, 127); /* 0 is not above 0 */
  g_assert_true (tess_snapshot_save (s, path, &error));
  back = tess_snapshot_load (path, &error);
  g_assert_no_error (error);
  g_assert_true (back->sigmoid);
  g_remove (path);
  g_rmdir (folder);
}

/* Probabilities given as logits are told from logits. */
static void
test_activated (void)
{
  float twice[6] = {0.2f, 0.8f, 1.0f, 0.0f, 0.5f, 0.5f};

  g_assert_true (tess_logits_look_activated (twice, 3, 2, FALSE));
  g_assert_true (tess_logits_look_activated (twice, 3, 2, TRUE));
  twice[5] = 0.9f; /* sums to 1.4 */
  g_assert_false (tess_logits_look_activated (twice, 3, 2, FALSE));
  g_assert_true (tess_logits_look_activated (twice, 3, 2, TRUE));
  twice[5] = -0.1f;
  g_assert_false (tess_logits_look_activated (twice, 3, 2, TRUE));
  twice[5] = NAN;
  g_assert_false (tess_logits_look_activated (twice, 3, 2, FALSE));
}

static void
test_hostile (void)
{
  static const guint8 zeros[4096] = {0};
  static const Part wrong[][4] = {
      {{"image", TESS_DTYPE_F32, 4, {1, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}},
       {"head.0", TESS_DTYPE_U8, 4, {2, 2, 2, 2}}},
      {{"image", TESS_DTYPE_F16, 4, {1, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 3}},
       {"head.0", TESS_DTYPE_U8, 4, {2, 2, 2, 2}}},
      {{"image", TESS_DTYPE_F16, 4, {1, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}},
       {"head.0", TESS_DTYPE_U8, 4, {2, 2, 2, 1}}},
      {{"image", TESS_DTYPE_F16, 4, {1, 2, 2, 2}}, {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}}},
      {{"image", TESS_DTYPE_F16, 4, {17, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}},
       {"head.0", TESS_DTYPE_U8, 4, {2, 2, 2, 2}}},
      {{"image", TESS_DTYPE_F16, 4, {1, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}},
       {"head.0", TESS_DTYPE_U8, 4, {256, 2, 2, 2}}},
      {{"image", TESS_DTYPE_F16, 4, {1, 2, 2, 2}},
       {"truth", TESS_DTYPE_U8, 3, {2, 2, 2}},
       {"head.0", TESS_DTYPE_U8, 4, {2, 2, 2, 2}},
       {"head.1", TESS_DTYPE_U8, 4, {3, 1, 1, 1}}},
  };
  g_autofree char *folder = g_dir_make_tmp ("tessera-snapshot-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "bad.safetensors", NULL), *text = NULL;
  gsize n;

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
    g_autoptr (GError) error = NULL;

    tess_safetensors_writer_metadata (writer, "tessera.case", "c");
    tess_safetensors_writer_metadata (writer, "tessera.epoch", "1");
    tess_safetensors_writer_metadata (writer, "tessera.iteration", "5");
    for (guint k = 0; k < 4 && wrong[i][k].name; k++)
      tess_safetensors_writer_add (writer, wrong[i][k].name, wrong[i][k].dtype, wrong[i][k].n_dims, wrong[i][k].dim,
                                   zeros);
    g_assert_true (tess_safetensors_writer_save (writer, path, NULL));
    g_assert_null (tess_snapshot_load (path, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_true (g_str_has_prefix (error->message, path));
  }
  { /* every truncation of a good one */
    g_autoptr (TessSnapshot) good = make (1);

    g_assert_true (tess_snapshot_save (good, path, NULL));
    g_assert_true (g_file_get_contents (path, &text, &n, NULL));
    for (gsize cut = 0; cut < n; cut += 1 + cut / 3) {
      g_assert_true (g_file_set_contents (path, text, (gssize)cut, NULL));
      g_assert_null (tess_snapshot_load (path, NULL));
    }
  }
  g_unlink (path);
  g_rmdir (folder);
}

/* One thread publishes, two read: what is read never goes back in time, and nothing is lost or freed twice (run under
 * the sanitizers). */
#define N_PUBLISHED 2000

static TessSnapshotSlot slot;

static void
read_slot (gpointer data)
{
  gint64 last = 0;

  while (last < N_PUBLISHED) {
    g_autoptr (TessSnapshot) s = tess_snapshot_slot_newest (&slot);

    if (!s)
      continue;
    g_assert_cmpint (s->epoch, >=, last);
    g_assert_cmpint (s->iteration, ==, 10 * s->epoch);
    last = s->epoch;
  }
}

static void
test_slot (void)
{
  TessThread *readers[2];

  tess_snapshot_slot_init (&slot);
  g_assert_null (tess_snapshot_slot_newest (&slot));
  for (guint i = 0; i < 2; i++)
    readers[i] = tess_thread_new ("reader", 0, read_slot, NULL);
  for (gint64 epoch = 1; epoch <= N_PUBLISHED; epoch++)
    tess_snapshot_slot_publish (&slot, make (epoch));
  for (guint i = 0; i < 2; i++)
    tess_thread_join (readers[i]);
  tess_snapshot_slot_publish (&slot, make (1));
  tess_snapshot_slot_clear (&slot);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/snapshot/round-trip", test_round_trip);
  g_test_add_func ("/train/snapshot/softmax", test_softmax);
  g_test_add_func ("/train/snapshot/sigmoid", test_sigmoid);
  g_test_add_func ("/train/snapshot/activated", test_activated);
  g_test_add_func ("/train/snapshot/hostile", test_hostile);
  g_test_add_func ("/train/snapshot/slot", test_slot);
  return g_test_run ();
}
