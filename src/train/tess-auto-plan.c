#include "tess-auto-plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what the machine can give ---- */

/* backend and device: as chosen. Nothing is decided for the user yet (patch, batch and epochs are 0). */
void
tess_auto_limits (const TessBackendIface *backend, guint device, TessPlannerLimits *limits)
{
  guint64 available = tess_available_memory ("");
  TessDeviceInfo info = {0};
  gboolean known = backend->device_info (device, &info, NULL);

  if (available == 0)
    available = known && info.memory_free > 0 ? info.memory_free : (guint64)4 << 30;
  *limits = (TessPlannerLimits){
      .accelerator = strcmp (backend->id, "cpu") != 0,
      .bf16 = known && info.bf16,
      .memory_bytes = available / 2,
      .backend = backend,
      .device = device,
      .cache_bytes = available / 4,
  };
  if (limits->accelerator && known)
    limits->memory_bytes = (guint64)(0.9 * (double)info.memory_free);
}

/* ---- the plan ---- */

static TessNormScheme
scheme_of (const char *channel)
{
  if (g_ascii_strcasecmp (channel, "CT") == 0)
    return TESS_NORM_CT;
  if (g_ascii_strcasecmp (channel, "noNorm") == 0)
    return TESS_NORM_NONE;
  return TESS_NORM_ZSCORE; /* nnU-Net's rule, too: whatever else it is called */
}

static gboolean
add_case (const TessDataset *dataset, guint i, TessFingerprint *fingerprint, GError **error)
{
  const TessCaseFiles *files = tess_dataset_case (dataset, i);
  TessVolume *images[TESS_MAX_CHANNELS] = {NULL};
  g_autoptr (TessVolume) label = NULL;
  gboolean done = FALSE;

  if (!tess_load_images (files->image_paths, dataset->n_channels, NULL, images, error))
    return FALSE;
  label = tess_load_label (files->label_path, images[0], tess_dataset_n_values (dataset), error);
  if (label && !(done = tess_fingerprint_add (fingerprint, images, label, error)))
    g_prefix_error (error, "%s: ", files->image_paths[0]);
  for (guint c = 0; c < dataset->n_channels; c++)
    g_clear_pointer (&images[c], tess_volume_unref);
  return done;
}

/* Regions and the ignore label, as nnU-Net trains with them. */
static void
add_targets (TessPlan *plan, const TessDataset *dataset)
{
  plan->ignore_label = dataset->ignore_label;
  if (plan->ignore_label > 0)
    tess_plan_add_reason (plan, _ ("voxels of label %d teach nothing: the dataset says to ignore them"),
                          (int)plan->ignore_label);
  if (dataset->n_regions == 0)
    return;
  plan->regions = tess_plan_regions_dup (dataset->regions, dataset->n_regions);
  plan->n_regions = dataset->n_regions;
  plan->training.loss = TESS_PLAN_LOSS_DICE_BCE;
  tess_plan_add_reason (plan,
                        _ ("%u regions, a sigmoid each, binary cross-entropy and Dice: labels of the dataset "
                           "overlap"),
                        plan->n_regions);
}

TessPlan *
tess_auto_plan (const TessDataset *dataset, const TessPlannerLimits *limits, TessProgress *progress, GError **error)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  g_autoptr (TessFingerprint) fingerprint = tess_fingerprint_new (dataset->n_channels);

  if (dataset->n_channels > TESS_MAX_CHANNELS || dataset->n_labels > TESS_MAX_LABELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: %u channels and %u labels are more than this program takes (%d and %d); leave some out"),
                 dataset->directory, dataset->n_channels, dataset->n_labels, TESS_MAX_CHANNELS, TESS_MAX_LABELS);
    return NULL;
  }
  g_free (plan->dataset_name);
  plan->dataset_name = g_strdup (dataset->name);
  for (guint c = 0; c < dataset->n_channels; c++)
    tess_plan_add_channel (plan, dataset->channel_names[c], scheme_of (dataset->channel_names[c]));
  for (guint l = 0; l < dataset->n_labels; l++)
    tess_plan_add_label (plan, dataset->label_names[l], l);
  add_targets (plan, dataset);
  for (guint i = 0; i < dataset->cases->len; i++) {
    if (!tess_progress_check (progress, error) || !add_case (dataset, i, fingerprint, error))
      return NULL;
    tess_progress_set (progress, (double)(i + 1) / dataset->cases->len);
  }
  if (!tess_planner_decide (plan, fingerprint, limits, error)) {
    g_prefix_error (error, "%s: ", dataset->directory);
    return NULL;
  }
  return g_steal_pointer (&plan);
}
