/* A dataset of overlapping regions with an ignore label from dataset.json to a judged segmentation, as a script does
 * it: plan, train, predict, evaluate. */
#include "cli-run.h"
#include "train-fixture.h"

#include "tess-snapshot.h"

static TrainFixture fixture;

/* body holds everything, vessels what is no organ, gland the last label; some voxels of the first map teach nothing. */
static void
make_regions (gboolean ignore)
{
  g_autofree char *json = g_build_filename (fixture.dataset, "dataset.json", NULL);
  g_autofree char *label = NULL;
  g_autofree char *text = g_strdup_printf (
      "{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"body\":[1,2,3],"
      "\"vessels\":[2,3],\"gland\":[3]%s},\"regions_class_order\":[1,2,3],\"file_ending\":\".nii.gz\"}",
      ignore ? ",\"ignore\":4" : "");
  g_autofree char *folder = g_build_filename (fixture.dataset, "labelsTr", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GError *error = NULL;
  const char *name;

  g_assert_true (g_file_set_contents (json, text, -1, NULL));
  while (ignore && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autoptr (TessVolume) old = tess_volume_load (path, NULL, &error);
    g_autoptr (TessVolume) map = NULL;
    gint64 n;

    g_assert_no_error (error);
    n = tess_volume_n_voxels (old);
    map = tess_volume_new (TESS_DTYPE_U8, tess_volume_dim (old), 1, tess_volume_affine (old), &error);
    memcpy (tess_volume_data_mut (map), tess_volume_data (old), (gsize)n);
    memset (tess_volume_data_mut (map), 4, (gsize)n / 3);
    tess_volume_set_watermark (map, tess_volume_n_slices (map));
    tess_volume_save (map, path, NULL, &error);
    g_assert_no_error (error);
  }
}

/* The fixture's small network with what `plan` found out about the regions. */
static void
save_plan (const char *found, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPlan) theirs = tess_plan_load (found, &error), plan = tess_plan_dup (fixture.plan);

  g_assert_no_error (error);
  g_assert_cmpuint (theirs->n_regions, ==, 3);
  g_assert_cmpint (theirs->training.loss, ==, TESS_PLAN_LOSS_DICE_BCE);
  g_assert_cmpint (theirs->ignore_label, ==, 4);
  g_assert_cmpstr (theirs->regions[1].name, ==, "vessels");
  g_assert_true (theirs->regions[1].holds[2] && theirs->regions[1].holds[3] && !theirs->regions[1].holds[1]);
  plan->regions = tess_plan_regions_dup (theirs->regions, 3);
  plan->n_regions = 3;
  plan->ignore_label = 4;
  plan->training.loss = TESS_PLAN_LOSS_DICE_BCE;
  plan->training.optimiser = TESS_PLAN_OPTIMISER_ADAMW;
  plan->training.batch_dice = TRUE;
  plan->training.iterations_per_epoch = 40;
  tess_plan_save (plan, path, &error);
  g_assert_no_error (error);
}

static void
check_snapshot (const char *run)
{
  g_autofree char *path = g_build_filename (run, "snapshots", "e0002.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSnapshot) s = tess_snapshot_load (path, &error);
  gsize n = 16 * 16 * 16;

  g_assert_no_error (error);
  g_assert_true (s->sigmoid);
  g_assert_cmpuint (s->n_classes, ==, 4);
  for (gsize i = 0; i < n; i++) {
    const guint8 *p = s->heads[0].probabilities + i;

    g_assert_cmpuint (s->truth[i], <=, 3);
    g_assert_cmpuint (p[0], ==, 255 - MAX (p[n], MAX (p[2 * n], p[3 * n])));
  }
}

static void
check_labels (CliRun *run, const char *name)
{
  g_autoptr (TessVolume) volume = cli_load (run, name);
  const guint8 *v = tess_volume_data (volume);
  gsize foreground = 0;

  for (gint64 i = 0; i < tess_volume_n_voxels (volume); i++) {
    g_assert_cmpuint (v[i], <=, 3);
    foreground += v[i] > 0;
  }
  g_assert_cmpuint (foreground, >, 0);
}

static void
test_whole_way (void)
{
  g_autofree char *plan = train_fixture_path (&fixture, "found.json"), *small = train_fixture_path (&fixture, "r.json");
  g_autofree char *log_path = NULL, *log = NULL, *truth = NULL;
  g_autoptr (JsonNode) root = NULL;
  JsonObject *mean;
  CliRun run;

  cli_open (&run);
  make_regions (TRUE);
  cli_run (&run, "plan %s --out %s --backend cpu", fixture.dataset, plan);
  g_assert_cmpint (run.code, ==, 0);
  save_plan (plan, small);
  cli_run (&run, "train --dataset %s --run r --plan %s --epochs 8 --backend cpu --precision f32 --threads 1",
           fixture.dataset, small);
  g_assert_cmpint (run.code, ==, 0);
  log_path = g_build_filename (run.folder, "r", "log.csv", NULL);
  g_assert_true (g_file_get_contents (log_path, &log, NULL, NULL));
  g_assert_nonnull (strstr (log, "dice_body,dice_vessels,dice_gland,mean_dice"));
  {
    g_autofree char *folder = g_build_filename (run.folder, "r", NULL);

    check_snapshot (folder);
  }
  cli_run (&run, "predict --model r/latest.safetensors --input %s/imagesTr --output out --backend cpu --threads 1",
           fixture.dataset);
  g_assert_cmpint (run.code, ==, 0);
  check_labels (&run, "out/phantom_001.nii.gz");
  truth = g_build_filename (fixture.dataset, "labelsTr", NULL);
  cli_run (&run, "evaluate --reference %s --prediction out --plan r/plan.json --json", truth);
  g_assert_cmpint (run.code, ==, 0);
  mean = json_object_get_object_member (cli_json (&run, &root), "mean");
  g_assert_true (json_object_has_member (mean, "vessels") && json_object_has_member (mean, "gland"));
  g_assert_cmpfloat (json_object_get_double_member (json_object_get_object_member (mean, "body"), "dice"), >, 0.3);
  cli_close (&run);
}

/* Regions are judged, not labels, and ignored voxels count nowhere: against itself everything is 1, and a region holds
 * what its labels hold together. */
static void
test_evaluate (void)
{
  g_autofree char *small = train_fixture_path (&fixture, "r.json"), *file = NULL;
  g_autoptr (JsonNode) by_region = NULL, by_label = NULL;
  JsonObject *region, *mean;
  CliRun run;

  cli_open (&run);
  file = g_build_filename (fixture.dataset, "labelsTr", "phantom_001.nii.gz", NULL);
  cli_run (&run, "evaluate --reference %s --prediction %s --json", file, file);
  mean = json_object_get_object_member (cli_json (&run, &by_label), "mean");
  g_assert_true (json_object_has_member (mean, "4"));
  cli_run (&run, "evaluate --reference %s --prediction %s --plan %s --json", file, file, small);
  g_assert_cmpint (run.code, ==, 0);
  region = json_object_get_object_member (cli_json (&run, &by_region), "mean");
  g_assert_false (json_object_has_member (region, "4"));
  region = json_object_get_object_member (region, "vessels");
  g_assert_cmpfloat (json_object_get_double_member (region, "dice"), ==, 1.0);
  g_assert_cmpfloat (json_object_get_double_member (region, "tp"), ==,
                     json_object_get_double_member (json_object_get_object_member (mean, "2"), "tp") +
                         json_object_get_double_member (json_object_get_object_member (mean, "3"), "tp"));
  cli_close (&run);
}

/* What goes wrong says so; what can never win is noted. */
static void
test_notes (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *small = train_fixture_path (&fixture, "r.json"), *wrong = train_fixture_path (&fixture, "w.json");
  g_autoptr (TessPlan) plan = tess_plan_load (small, &error);
  TessPlanRegion swap;
  CliRun run;

  g_assert_no_error (error);
  swap = plan->regions[0];
  plan->regions[0] = plan->regions[2];
  plan->regions[2] = swap;
  memset (plan->regions[1].holds, 0, sizeof plan->regions[1].holds);
  plan->regions[1].holds[0] = 1; /* a region of nothing but background */
  plan->training.iterations_per_epoch = 6;
  tess_plan_save (plan, wrong, &error);
  g_assert_no_error (error);
  cli_open (&run);
  cli_run (&run, "train --dataset %s --run r --plan %s --epochs 1 --backend cpu --threads 1", fixture.dataset, wrong);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.err, "region gland can never be seen in a result: body"));
  g_assert_nonnull (strstr (run.err, "no voxel of the training labels is vessels"));
  g_assert_null (strstr (run.err, "no voxel of the training labels is gland"));
  cli_run (&run, "train --dataset %s --run r2 --plan %s --loss dice-ce --backend cpu --threads 1 --quiet",
           fixture.dataset, small);
  cli_failed (&run, 1, "regions overlap");
  cli_run (&run, "train --dataset %s --run r2 --plan %s --loss hinge --backend cpu --threads 1 --quiet",
           fixture.dataset, small);
  cli_failed (&run, 2, "tversky");
  cli_run (&run, "train --dataset %s --run r2 --plan %s --backend cpu --threads 1 --quiet", fixture.dataset,
           fixture.plan_path);
  cli_failed (&run, 1, "its label to ignore is not the plan's");
  cli_run (&run, "train --dataset %s --run r3 --plan %s --loss focal --epochs 1 --backend cpu --threads 1 --quiet",
           fixture.dataset, wrong);
  g_assert_cmpint (run.code, ==, 0);
  cli_run (&run, "train --dataset %s --run r3 --loss tversky --resume --backend cpu --threads 1 --quiet",
           fixture.dataset);
  cli_failed (&run, 1, "another loss");
  cli_close (&run);
}

int
main (int argc, char **argv)
{
  int code;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/cli/regions/whole-way", test_whole_way);
  g_test_add_func ("/cli/regions/evaluate", test_evaluate);
  g_test_add_func ("/cli/regions/notes", test_notes);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
