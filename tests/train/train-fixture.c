#include "train-fixture.h"

#include "tess-cpu-backend.h"

#include <glib/gstdio.h>

static TessPlan *
small_plan (void)
{
  TessPlan *plan = tess_plan_new ();

  plan->dataset_name = (g_free (plan->dataset_name), g_strdup ("phantom"));
  tess_plan_add_channel (plan, "CT", TESS_NORM_CT);
  plan->channels[0].lower = -200.0;
  plan->channels[0].upper = 300.0;
  plan->channels[0].mean = 60.0;
  plan->channels[0].std = 60.0;
  for (guint i = 0; i < TESS_PHANTOM_N_LABELS; i++)
    tess_plan_add_label (plan, tess_phantom_label_names[i], i);
  plan->network.n_stages = 3;
  for (guint s = 0; s < 3; s++) {
    plan->network.features[s] = 4 << MIN (s, 1);
    plan->network.convs_encoder[s] = 1;
  }
  plan->network.convs_decoder[0] = plan->network.convs_decoder[1] = 1;
  for (guint a = 0; a < 3; a++) {
    plan->patch[a] = 16;
    plan->spacing[a] = 10.0;
  }
  plan->training.epochs = 3;
  plan->training.iterations_per_epoch = 6;
  plan->training.validation_iterations = 3;
  plan->training.cache_bytes = 1 << 30;
  return plan;
}

void
train_fixture_init (TrainFixture *f, guint n_cases)
{
  TessPhantomOptions options = {.n_cases = n_cases, .size = {32, 28, 24}, .seed = 7};
  g_autoptr (GError) error = NULL;

  f->root = g_dir_make_tmp ("tessera-train-XXXXXX", &error);
  g_assert_no_error (error);
  f->dataset = g_build_filename (f->root, "data", NULL);
  f->plan_path = g_build_filename (f->root, "small.json", NULL);
  tess_phantom_write (f->dataset, &options, NULL, &error);
  g_assert_no_error (error);
  f->plan = small_plan ();
  tess_plan_save (f->plan, f->plan_path, &error);
  g_assert_no_error (error);
}

guint
train_count_hidden (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *child = g_build_filename (path, name, NULL);

    if (g_file_test (child, G_FILE_TEST_IS_DIR))
      n += train_count_hidden (child);
    else if (name[0] == '.')
      n++;
  }
  return n;
}

int
train_run_program (char **argv, char **out, char **said)
{
  g_autoptr (GError) error = NULL;
  int status = -1;

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, out, said, &status, &error);
  g_assert_no_error (error);
  return status;
}

void
train_fixture_clear (TrainFixture *f)
{
  remove_tree (f->root);
  g_free (f->root);
  g_free (f->dataset);
  g_free (f->plan_path);
  tess_plan_unref (f->plan);
}

char *
train_fixture_path (const TrainFixture *f, const char *name)
{
  return g_build_filename (f->root, name, NULL);
}

TessTrainOptions
train_fixture_options (const TrainFixture *f, const char *run_dir)
{
  return (TessTrainOptions){.dataset_dir = f->dataset,
                            .run_dir = run_dir,
                            .plan = f->plan,
                            .fold = TESS_FOLD_DEFAULT,
                            .backend = tess_cpu_backend (),
                            .n_threads = 1,
                            .act_dtype = TESS_DTYPE_F32,
                            .seed = -1};
}
