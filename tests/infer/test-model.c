/* Model files: what is written comes back, and what is wrong is said. */
#include "infer-fixture.h"

#include "tess-cpu-backend.h"
#include "tess-planner.h"

static const double unit[3] = {1.0, 1.0, 1.0};
static const gint64 patch[3] = {8, 8, 8};

static TessSession *
bound_session (const TessPlan *plan, TessProgramKind kind)
{
  TessNetworkSpec network;
  TessProgramSpec program;
  TessSession *session;
  GError *error = NULL;

  tess_plan_network_spec (plan, &network);
  tess_plan_program_spec (plan, kind, 1, TESS_DTYPE_F32, FALSE, &program);
  session = tess_session_new (tess_cpu_backend (), 0, 1, &network, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_bind (session, 0, &error));
  return session;
}

/* All parameters, or all momentum, one array after the other. */
static GArray *
read_all (TessSession *session, gboolean momentum)
{
  GArray *all = g_array_new (FALSE, TRUE, sizeof (float));
  guint n = tess_session_n_params (session);
  g_autofree float **data = g_new0 (float *, n);
  GError *error = NULL;

  for (guint i = 0; i < n; i++)
    data[i] = g_malloc0 (tess_session_param (session, i)->bytes);
  g_assert_true (tess_session_get_params (session, momentum, data, &error));
  for (guint i = 0; i < n; i++) {
    g_array_append_vals (all, data[i], (guint)(tess_session_param (session, i)->bytes / sizeof (float)));
    g_free (data[i]);
  }
  return all;
}

static void
assert_same (GArray *a, GArray *b)
{
  g_assert_cmpmem (a->data, a->len * sizeof (float), b->data, b->len * sizeof (float));
  g_array_unref (a);
  g_array_unref (b);
}

static void
test_round_trip (void)
{
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "m.safetensors", NULL);
  g_autofree char *again = g_build_filename (folder, "again.safetensors", NULL);
  g_autoptr (TessPlan) plan = fixture_plan (2, 3, unit, patch);
  g_autoptr (TessModel) model = NULL;
  g_autoptr (TessSession) first = bound_session (plan, TESS_PROGRAM_INFER);
  g_autoptr (TessSession) second = bound_session (plan, TESS_PROGRAM_INFER);
  g_autofree char *text = tess_plan_to_text (plan);
  g_autofree char *text_back = NULL;
  g_autofree char *bytes = NULL;
  g_autofree char *bytes_again = NULL;
  gsize n, n_again;
  GError *error = NULL;

  g_assert_true (tess_session_init_params (first, 3, &error));
  g_assert_true (tess_session_init_params (second, 4, &error));
  g_assert_true (tess_model_save (path, plan, first, "{\"epoch\":5}", NULL, &error));
  model = tess_model_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (model->path, ==, path);
  text_back = tess_plan_to_text (model->plan);
  g_assert_cmpstr (text_back, ==, text);
  g_assert_cmpstr (tess_safetensors_metadata (model->file, "format"), ==, "pt");
  g_assert_cmpstr (tess_safetensors_metadata (model->file, "tessera.provenance"), ==, "{\"epoch\":5}");
  g_assert_null (tess_safetensors_metadata (model->file, "tessera.state"));
  g_assert_nonnull (tess_safetensors_find (model->file, "encoder.stages.0.0.convs.0.conv.weight"));
  g_assert_cmpuint (tess_safetensors_n (model->file), ==, tess_session_n_params (first));

  g_assert_true (tess_model_copy_params (model, second, FALSE, &error));
  assert_same (read_all (first, FALSE), read_all (second, FALSE));
  g_assert_false (tess_model_copy_params (model, second, TRUE, &error)); /* a model has no momentum */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "optimiser.momentum/"));
  g_clear_error (&error);

  /* The same weights give the same file. */
  g_assert_true (tess_model_save (again, plan, second, "{\"epoch\":5}", NULL, &error));
  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  g_assert_true (g_file_get_contents (again, &bytes_again, &n_again, NULL));
  g_assert_cmpmem (bytes, n, bytes_again, n_again);
  fixture_remove (folder);
}

static void
test_checkpoint (void)
{
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "latest.safetensors", NULL);
  g_autoptr (TessPlan) plan = fixture_plan (1, 2, unit, patch);
  g_autoptr (TessModel) model = NULL;
  g_autoptr (TessSession) first = bound_session (plan, TESS_PROGRAM_TRAIN);
  g_autoptr (TessSession) second = bound_session (plan, TESS_PROGRAM_TRAIN);
  guint n = tess_session_n_params (first);
  g_autofree float **data = g_new0 (float *, n);
  float v = 0.0f;
  GError *error = NULL;

  g_assert_true (tess_session_init_params (first, 3, &error));
  for (guint i = 0; i < n; i++) {
    gsize m = tess_session_param (first, i)->bytes / sizeof (float);

    data[i] = g_new (float, m);
    for (gsize k = 0; k < m; k++)
      data[i][k] = v += 0.25f;
  }
  g_assert_true (tess_session_set_params (first, TRUE, (const float *const *)data, &error));
  for (guint i = 0; i < n; i++)
    g_free (data[i]);
  g_assert_true (tess_model_save (path, plan, first, NULL, "{\"iteration\":9}", &error));
  model = tess_model_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tess_safetensors_metadata (model->file, "tessera.state"), ==, "{\"iteration\":9}");
  g_assert_true (tess_model_copy_params (model, second, TRUE, &error));
  assert_same (read_all (first, FALSE), read_all (second, FALSE));
  assert_same (read_all (first, TRUE), read_all (second, TRUE));
  fixture_remove (folder);
}

typedef enum {
  AS_IT_IS,
  WITHOUT_PLAN,
  DAMAGED_PLAN,
  WITHOUT_TENSOR,
  OTHER_SHAPE,
  OTHER_TYPE,
} Change;

/* Writes the model again with one thing changed about the network's last tensor. */
static void
rewrite (const char *from, const char *to, Change change)
{
  g_autoptr (TessSafetensors) file = tess_safetensors_open (from, NULL);
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  const char *plan = tess_safetensors_metadata (file, "tessera.plan");
  g_autofree char *half = g_strndup (plan, strlen (plan) / 2);

  if (change != WITHOUT_PLAN)
    tess_safetensors_writer_metadata (writer, "tessera.plan", change == DAMAGED_PLAN ? half : plan);
  for (guint i = 0; i < tess_safetensors_n (file); i++) {
    const TessSafetensor *t = tess_safetensors_nth (file, i);
    gint64 dim[8] = {0};
    gboolean chosen = strcmp (t->name, "decoder.seg_layers.0.weight") == 0;

    memcpy (dim, t->dim, sizeof (gint64) * t->n_dims);
    if (chosen && change == WITHOUT_TENSOR)
      continue;
    if (chosen && change == OTHER_SHAPE) {
      dim[0] = t->dim[1];
      dim[1] = t->dim[0];
    }
    tess_safetensors_writer_add (writer, t->name, chosen && change == OTHER_TYPE ? TESS_DTYPE_I32 : t->dtype, t->n_dims,
                                 dim, t->data);
  }
  g_assert_true (tess_safetensors_writer_save (writer, to, NULL));
}

static void
expect_failure (const char *path, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_model_load (path, &error));
  g_assert_nonnull (error);
  g_assert_cmpint (error->domain, ==, TESS_ERROR);
  if (!g_str_has_prefix (error->message, path) || !strstr (error->message, part) || strchr (error->message, '\n'))
    g_error ("\"%s\" is not one sentence about %s with \"%s\"", error->message, path, part);
}

static void
test_errors (void)
{
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "m.safetensors", NULL);
  g_autofree char *bad = g_build_filename (folder, "bad.safetensors", NULL);
  g_autofree char *absent = g_build_filename (folder, "absent.safetensors", NULL);
  g_autoptr (TessPlan) plan = fixture_plan (1, 3, unit, patch);
  g_autoptr (TessModel) model = NULL;
  g_autofree char *bytes = NULL;
  gsize n;

  fixture_save_model (path, plan, 1, NULL);
  rewrite (path, bad, AS_IT_IS);
  model = tess_model_load (bad, NULL);
  g_assert_nonnull (model); /* so that each failure below has its one reason */
  rewrite (path, bad, WITHOUT_PLAN);
  expect_failure (bad, "no plan");
  rewrite (path, bad, DAMAGED_PLAN);
  expect_failure (bad, "");
  rewrite (path, bad, WITHOUT_TENSOR);
  expect_failure (bad, "\"decoder.seg_layers.0.weight\" that the model's plan asks for is missing");
  rewrite (path, bad, OTHER_SHAPE);
  expect_failure (
      bad,
      "\"decoder.seg_layers.0.weight\" has the shape {4, 3, 1, 1, 1}, but the model's plan asks for {3, 4, 1, 1, 1}");
  rewrite (path, bad, OTHER_TYPE);
  expect_failure (bad, "\"decoder.seg_layers.0.weight\" is int32");
  expect_failure (absent, "");
  expect_failure (folder, "");

  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  for (gsize k = 0; k < n; k += k < 64 ? 1 : n / 13) {
    g_assert_true (g_file_set_contents (bad, bytes, (gssize)k, NULL));
    expect_failure (bad, "");
  }
  g_assert_true (g_file_set_contents (bad, "not a model at all, just words", -1, NULL));
  expect_failure (bad, "");
  fixture_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/infer/model/round-trip", test_round_trip);
  g_test_add_func ("/infer/model/checkpoint", test_checkpoint);
  g_test_add_func ("/infer/model/errors", test_errors);
  return g_test_run ();
}
