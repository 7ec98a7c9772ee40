#pragma once

#include "tess-auto-plan.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* What the Train page has done by workers. Every _async runs one GTask; source objects are kept until it is done. */

/* Something that can train. */
typedef struct {
  const TessBackendIface *backend;
  guint index;
  char *name;
  gboolean bf16;
} TessTrainDevice;

void tess_train_device_free (gpointer device);
/* Loads plugins: the best first. An array of TessTrainDevice; never fails, the processor is always there. */
void tess_train_devices_async (GObject *source, GAsyncReadyCallback callback, gpointer user_data);
GPtrArray *tess_train_devices_finish (GAsyncResult *result);

/* A dataset and the sizes of its scans. */
typedef struct {
  char *id;
  gint64 dim[3];     /* 0: not known before the scan is read */
  double spacing[3]; /* mm */
} TessCaseLook;

typedef struct {
  TessDataset *dataset;
  GArray *cases; /* TessCaseLook, in the dataset's order */
} TessDatasetLook;

void tess_dataset_look_free (TessDatasetLook *look);
void tess_dataset_look_async (GObject *source, const char *directory, TessProgress *progress,
                              GAsyncReadyCallback callback, gpointer user_data);
TessDatasetLook *tess_dataset_look_finish (GAsyncResult *result, GError **error);

/* tess_auto_plan with the limits of a device. patch, batch: 0 = to be decided. */
typedef struct {
  gint64 patch[3], batch;
} TessPlanWish;

void tess_train_plan_async (GObject *source, TessDataset *dataset, const TessTrainDevice *device,
                            const TessPlanWish *wish, TessProgress *progress, GAsyncReadyCallback callback,
                            gpointer user_data);
TessPlan *tess_train_plan_finish (GAsyncResult *result, GError **error);

/* A small synthetic dataset under the user's data folder, made when it is not there yet. Returns its folder. */
void tess_train_sample_async (GObject *source, TessProgress *progress, GAsyncReadyCallback callback,
                              gpointer user_data);
char *tess_train_sample_finish (GAsyncResult *result, GError **error);

/* A folder for a new run: chosen itself where it is empty or not there yet, so that a run never lands among other
 * files; else a new one in it, or beside it where it is a run: NAME-2026-11-21. chosen NULL: the user's data folder. */
char *tess_train_new_run_dir (const char *chosen, const char *dataset_name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessDatasetLook, tess_dataset_look_free)

G_END_DECLS
