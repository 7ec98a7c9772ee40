/* `tessera-cli plan`, run as a program, and what it takes the machine to have. */
#include "cli-run.h"
#include "tess-auto-plan.h"
#include "tess-philox.h"

static void
write_text (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

/* Four cases of two channels, "CT" and "PET": a bright ball of 3 labels. */
static void
make_dataset (CliRun *run)
{
  g_autofree char *images = g_build_filename (run->folder, "set", "imagesTr", NULL);
  g_autofree char *labels = g_build_filename (run->folder, "set", "labelsTr", NULL);

  g_mkdir_with_parents (images, 0755);
  g_mkdir_with_parents (labels, 0755);
  write_text (run->folder, "set/dataset.json",
              "{\"channel_names\":{\"0\":\"ct\",\"1\":\"noNorm\"},"
              "\"labels\":{\"background\":0,\"ball\":1,\"core\":2},\"numTraining\":4,\"file_ending\":\".nii.gz\"}");
  for (guint k = 0; k < 4; k++) {
    const gint64 dim[3] = {20 + k, 24, 18};
    TessAffine affine = tess_affine_scale (1.0, 1.0, 2.0);
    g_autofree char *label_name = g_strdup_printf ("set/labelsTr/ball_%u.nii.gz", k);
    g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
    guint8 *to = tess_volume_data_mut (label);
    gint64 n = dim[0] * dim[1] * dim[2];

    for (gint64 i = 0; i < n; i++) {
      double x = (double)(i % dim[0]) - 10, y = (double)(i / dim[0] % dim[1]) - 12,
             z = (double)(i / dim[0] / dim[1]) - 9;
      double r = x * x + y * y + z * z;

      to[i] = r < 4 ? 2 : r < 36 ? 1 : 0;
    }
    for (guint c = 0; c < 2; c++) {
      g_autofree char *name = g_strdup_printf ("set/imagesTr/ball_%u_%04u.nii.gz", k, c);
      g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);

      for (gint64 i = 0; i < n; i++)
        ((gint16 *)tess_volume_data_mut (image))[i] =
            (gint16)(to[i] * 100 - 1000 + (int)(tess_philox (c, k, 0, 0, (guint32)i).v[0] % 50));
      cli_save (run, image, name);
    }
    cli_save (run, label, label_name);
  }
}

static void
test_plan (void)
{
  CliRun run;
  JsonNode *root;
  JsonObject *o, *table;
  JsonArray *layers;
  JsonObject *memory;
  gint64 parameters, bytes, sum = 0;
  g_autofree char *path = NULL;
  g_autoptr (TessPlan) plan = NULL;
  GError *error = NULL;

  cli_open (&run);
  make_dataset (&run);
  cli_run (&run, "plan set --out plan.json --backend cpu --network --json --seed 99");
  g_assert_cmpint (run.code, ==, 0);
  path = g_build_filename (run.folder, "plan.json", NULL);
  plan = tess_plan_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (plan->dataset_name, !=, "");
  g_assert_cmpint (plan->channels[0].norm, ==, TESS_NORM_CT);
  g_assert_cmpfloat (plan->channels[0].mean, >, -900.0); /* foreground only: -900 ... -750 */
  g_assert_cmpfloat (plan->channels[0].mean, <, -750.0);
  g_assert_cmpint (plan->channels[1].norm, ==, TESS_NORM_NONE);
  g_assert_cmpuint (plan->n_labels, ==, 3);
  g_assert_cmpstr (plan->labels[2].name, ==, "core");
  g_assert_cmpfloat (plan->spacing[2], ==, 2.0);
  g_assert_cmpint (plan->patch[0], ==, 24); /* medians 21.5, 24, 18 */
  g_assert_cmpint (plan->patch[1], ==, 24);
  g_assert_cmpint (plan->patch[2], ==, 18);
  g_assert_cmpint (plan->training.seed, ==, 99);
  g_assert_cmpuint (plan->reasons->len, >=, 10);

  o = cli_json (&run, &root);
  g_assert_true (tess_json_object (o, "", "network_table", &table, &error));
  g_assert_true (tess_json_array (table, "", "layers", &layers, &error));
  g_assert_true (tess_json_int (table, "", "parameters", 1, G_MAXINT, &parameters, &error));
  for (guint i = 0; i < json_array_get_length (layers); i++)
    sum += json_object_get_int_member (json_array_get_object_element (layers, i), "parameters");
  g_assert_cmpint (sum, ==, parameters);
  g_assert_true (tess_json_object (o, "", "memory", &memory, &error));
  bytes = json_object_get_int_member (memory, "training_bytes");
  g_assert_cmpint (bytes, >, 0);
  g_assert_cmpint (json_object_get_int_member (memory, "recompute_bytes"), <, bytes);
  g_assert_cmpint (json_object_get_int_member (memory, "available_bytes"), >, 0);
  json_node_unref (root);

  cli_run (&run, "plan set --out plan.json --backend cpu");
  g_assert_nonnull (strstr (run.out, "training takes "));
  g_assert_nonnull (strstr (run.out, "the exact bytes of a training on this machine"));
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "patch 24 x 24 x 18"));
  cli_run (&run, "plan set --out plan.json --backend cpu --residual --network");
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "residual encoder"));
  g_assert_nonnull (strstr (run.out, "encoder.stages.1.blocks.2.conv2.conv +"));
  g_assert_nonnull (strstr (run.out, "encoder.stages.1.blocks.0.skip.0 "));
  cli_close (&run);
}

static void
test_options (void)
{
  CliRun run;
  g_autofree char *path = NULL, *spatial_path = NULL;
  g_autoptr (TessPlan) plan = NULL, spatial = NULL, unchanged = NULL;

  cli_open (&run);
  make_dataset (&run);
  path = g_build_filename (run.folder, "plan.json", NULL);
  spatial_path = g_build_filename (run.folder, "spatial.json", NULL);
  cli_run (&run,
           "plan set --out plan.json --backend cpu --patch 16,12,10 --batch 3 --epochs 9 --cache 80K --memory 1Gi");
  g_assert_cmpint (run.code, ==, 0);
  plan = tess_plan_load (path, NULL);
  g_assert_cmpint (plan->patch[0], ==, 16);
  g_assert_cmpint (plan->patch[1], ==, 12);
  g_assert_cmpint (plan->patch[2], ==, 10);
  g_assert_cmpint (plan->training.batch_size, ==, 3);
  g_assert_cmpint (plan->training.epochs, ==, 9);
  g_assert_cmpint (plan->training.cache_bytes, ==, 80000);
  g_assert_cmpint (plan->training.pool_cases, ==, 1); /* one of 57 kB fits, two do not */
  g_assert_cmpfloat (plan->augmentation.gamma_probability, >, 0.0);
  cli_run (&run, "plan set --out spatial.json --backend cpu --augmentation spatial");
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "mirroring only: as asked for"));
  spatial = tess_plan_load (spatial_path, NULL);
  g_assert_cmpfloat (spatial->augmentation.gamma_probability, ==, 0.0);
  g_assert_cmpfloat (spatial->augmentation.rotation_probability, >, 0.0);
  cli_run (&run, "plan set --out spatial.json --backend cpu --augmentation more");
  cli_failed (&run, 2, "--augmentation more");

  cli_run (&run, "plan set --out plan.json --backend cpu --memory 50K");
  cli_failed (&run, 1, "50.0 kB");
  cli_run (&run, "plan set --out plan.json --backend cpu --patch 24,24,16 --batch 90 --memory 4M");
  cli_failed (&run, 1, "which fit");
  cli_run (&run, "plan set --out plan.json --backend cpu --cache 1K");
  cli_failed (&run, 1, "cache");
  cli_run (&run, "plan set --out plan.json --backend cpu --cache lots");
  cli_failed (&run, 2, "--cache lots");
  cli_run (&run, "plan set --out plan.json --backend cpu --batch 0");
  cli_failed (&run, 2, "--batch 0");
  cli_run (&run, "plan set --out plan.json --backend cpu --patch 7");
  cli_failed (&run, 2, "even");
  cli_run (&run, "plan set --backend cpu");
  cli_failed (&run, 2, "--out");
  cli_run (&run, "plan nowhere --out plan.json --backend cpu");
  cli_failed (&run, 1, "nowhere");
  cli_run (&run, "plan set --out ./set/dataset.json --backend cpu"); /* it would be lost */
  cli_failed (&run, 2, "is also the input");
  unchanged = tess_plan_load (path, NULL);
  g_assert_cmpint (unchanged->training.epochs, ==, 9); /* a failure leaves the file alone */
  cli_close (&run);
}

static void
test_hippocampus (void)
{
  g_autofree char *set = g_build_filename (g_getenv ("TESSERA_SHARED_DATA"), "hippocampus", NULL), *path = NULL;
  g_autoptr (TessPlan) plan = NULL;
  CliRun run;

  if (!g_file_test (set, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the shared test data is not here");
    return;
  }
  cli_open (&run);
  cli_run (&run, "plan %s --out plan.json --backend cpu --memory 4G", set);
  g_assert_cmpint (run.code, ==, 0);
  path = g_build_filename (run.folder, "plan.json", NULL);
  plan = tess_plan_load (path, NULL);
  g_assert_cmpint (plan->patch[0], ==, 40);
  g_assert_cmpint (plan->patch[1], ==, 56);
  g_assert_cmpint (plan->patch[2], ==, 40);
  g_assert_cmpuint (plan->network.n_stages, ==, 4);
  cli_close (&run);
}

/* /proc and /sys of machines with and without control groups. */
static void
test_available_memory (void)
{
  GError *error = NULL;
  g_autofree char *root = g_dir_make_tmp ("tessera-root-XXXXXX", &error);

  g_assert_no_error (error);
  g_assert_cmpuint (tess_available_memory (root), ==, 0);
  write_text (root, "proc/meminfo",
              "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:    8000000 kB\n");
  g_assert_cmpuint (tess_available_memory (root), ==, 8192000000);
  /* version 2, the limit above the process's own group */
  write_text (root, "proc/self/cgroup", "0::/user.slice/job\n");
  write_text (root, "sys/fs/cgroup/user.slice/job/memory.max", "max\n");
  write_text (root, "sys/fs/cgroup/user.slice/memory.max", "5000000000\n");
  write_text (root, "sys/fs/cgroup/user.slice/memory.current", "2000000000\n");
  g_assert_cmpuint (tess_available_memory (root), ==, 3000000000);
  write_text (root, "sys/fs/cgroup/user.slice/memory.stat", "anon 5\ninactive_file 1500000000\n");
  g_assert_cmpuint (tess_available_memory (root), ==, 4500000000);
  write_text (root, "sys/fs/cgroup/memory.max", "1000000000\n"); /* a container sees its own limit at the top */
  g_assert_cmpuint (tess_available_memory (root), ==, 1000000000);
  /* version 1 */
  write_text (root, "proc/self/cgroup", "9:cpu,cpuacct:/x\n8:memory:/docker/abc\n");
  write_text (root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n");
  write_text (root, "sys/fs/cgroup/memory/memory.usage_in_bytes", "900000000\n");
  g_assert_cmpuint (tess_available_memory (root), ==, 0);
  write_text (root, "sys/fs/cgroup/memory/memory.usage_in_bytes", "200000000\n");
  g_assert_cmpuint (tess_available_memory (root), ==, 500000000);
  write_text (root, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n"); /* no limit */
  g_assert_cmpuint (tess_available_memory (root), ==, 500000000);
  remove_tree (root);
  g_assert_cmpuint (tess_available_memory (""), >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/plan/plan", test_plan);
  g_test_add_func ("/cli/plan/options", test_options);
  g_test_add_func ("/cli/plan/hippocampus", test_hippocampus);
  g_test_add_func ("/cli/plan/available-memory", test_available_memory);
  return g_test_run ();
}
