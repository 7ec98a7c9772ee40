/* Every network that a plan can ask for: planned, trained for two steps, used, and written as ONNX. */
#include "cli-run.h"

#include "tess-plan.h"

/* A short run of a narrow network. */
static void
shorten (CliRun *run)
{
  g_autofree char *path = g_build_filename (run->folder, "plan.json", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPlan) plan = tess_plan_load (path, &error);

  g_assert_no_error (error);
  plan->training.iterations_per_epoch = 2;
  plan->training.validation_iterations = 1;
  plan->inference.step = 1.0;
  for (guint s = 0; s < TESS_MAX_STAGES && plan->network.architecture != TESS_PLAN_CASED; s++)
    plan->network.features[s] = MIN (plan->network.features[s], 4 << s);
  g_assert_true (tess_plan_save (plan, path, &error));
  g_assert_no_error (error);
}

static void
test_network (gconstpointer data)
{
  const char *name = data, *patch = strcmp (name, "cased") == 0 ? "68,68,68" : "16,16,16";
  g_autoptr (TessVolume) scan = NULL, labels = NULL;
  g_autofree char *onnx = NULL;
  CliRun run;

  cli_open (&run);
  cli_run (&run, "phantom --out set --cases 3 --size 16,16,16 --seed 4");
  g_assert_cmpint (run.code, ==, 0);
  cli_run (&run, "plan set --out plan.json --architecture %s --patch %s --batch 1 --backend cpu --network", name,
           patch);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "receptive field"));
  shorten (&run);
  cli_run (&run,
           "train --dataset set --plan plan.json --run run --epochs 1 --val-fraction 0.4 --backend cpu --threads 1");
  g_assert_cmpint (run.code, ==, 0);
  cli_run (&run,
           "predict --model run/best.safetensors --input set/imagesTr/phantom_001_0000.nii.gz --output out.nii.gz "
           "--backend cpu --threads 1");
  g_assert_cmpint (run.code, ==, 0);
  scan = cli_load (&run, "set/imagesTr/phantom_001_0000.nii.gz");
  labels = cli_load (&run, "out.nii.gz");
  g_assert_cmpmem (tess_volume_dim (scan), 3 * sizeof (gint64), tess_volume_dim (labels), 3 * sizeof (gint64));
  cli_run (&run, "convert run/best.safetensors out.onnx");
  g_assert_cmpint (run.code, ==, 0);
  onnx = g_build_filename (run.folder, "out.onnx", NULL);
  g_assert_true (g_file_test (onnx, G_FILE_TEST_IS_REGULAR));
  cli_close (&run);
}

static void
test_refused (void)
{
  CliRun run;

  cli_open (&run);
  cli_run (&run, "phantom --out set --cases 3 --size 24,20,16 --seed 4");
  cli_run (&run, "plan set --out plan.json --architecture unet");
  cli_failed (&run, 2, "se-residual, cased");
  cli_run (&run, "plan set --out plan.json --architecture ingradient-unet --patch 24,20,15");
  cli_failed (&run, 2, "24 x 20 x 16 would");
  cli_run (&run, "plan set --out plan.json --architecture cased --patch 64,68,70");
  cli_failed (&run, 2, "68 x 68 x 76 would");
  cli_run (&run, "plan set --out plan.json --architecture se-residual --patch 24,20,1");
  cli_failed (&run, 2, "24 x 20 x 2 would");
  cli_close (&run);
}

int
main (int argc, char **argv)
{
  static const char *const names[] = {"plain-unet",      "residual-unet", "meshnet",
                                      "ingradient-unet", "se-residual",   "cased"};

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_strconcat ("/cli/networks/", names[i], NULL);

    g_test_add_data_func (path, names[i], test_network);
  }
  g_test_add_func ("/cli/networks/refused", test_refused);
  return g_test_run ();
}
