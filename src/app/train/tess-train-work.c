#include "tess-train-work.h"

#include "tess-phantom.h"
#include "tess-run-poll.h"

#include <glib/gstdio.h>
#include <string.h>

#define SAMPLE_CASES 8u
#define SAMPLE_TESTS 2u
#define LOOK_MICROSECONDS 2000000 /* for sizes of scans, before the page appears */

/* ---- devices ---- */

void
tess_train_device_free (gpointer data)
{
  TessTrainDevice *device = data;

  g_free (device->name);
  g_free (device);
}

static void
add_devices (GPtrArray *devices, const TessBackendIface *backend)
{
  guint n = backend->n_devices (NULL);

  for (guint i = 0; i < n; i++) {
    TessDeviceInfo info = {0};
    TessTrainDevice *device;

    if (!backend->device_info (i, &info, NULL))
      continue;
    device = g_new0 (TessTrainDevice, 1);
    device->backend = backend;
    device->index = i;
    device->name = g_strdup (info.name);
    device->bf16 = info.bf16;
    g_ptr_array_add (devices, device);
  }
}

static void
devices_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func (tess_train_device_free);
  const TessBackendIface *cpu = tess_backend_find ("cpu", NULL);
  const char *const *ids;
  guint n = tess_backends_known (&ids);

  for (guint i = 0; i < n; i++) {
    const TessBackendIface *backend = strcmp (ids[i], "cpu") == 0 ? NULL : tess_backend_find (ids[i], NULL);

    if (backend && backend->flags & TESS_BACKEND_TRAINS)
      add_devices (devices, backend);
  }
  if (cpu)
    add_devices (devices, cpu);
  g_task_return_pointer (task, devices, (GDestroyNotify)g_ptr_array_unref);
}

void
tess_train_devices_async (GObject *source, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (source, NULL, callback, user_data);

  g_task_run_in_thread (task, devices_thread);
}

GPtrArray *
tess_train_devices_finish (GAsyncResult *result)
{
  return g_task_propagate_pointer (G_TASK (result), NULL);
}

/* ---- a dataset ---- */

static void
case_clear (gpointer data)
{
  g_free (((TessCaseLook *)data)->id);
}

void
tess_dataset_look_free (TessDatasetLook *look)
{
  if (!look)
    return;
  g_clear_pointer (&look->dataset, tess_dataset_unref);
  g_array_unref (look->cases);
  g_free (look);
}

/* Size and spacing of the first channel. Only whole scans can be read, so that this is done for as many cases as a
 * short while allows; planning reads them all and finds what is wrong with them. */
static void
look_at_scan (const char *path, TessCaseLook *look)
{
  g_autoptr (TessVolume) scan = tess_volume_load (path, NULL, NULL);

  if (!scan)
    return;
  memcpy (look->dim, tess_volume_dim (scan), sizeof look->dim);
  tess_affine_spacing (tess_volume_affine (scan), look->spacing);
}

typedef struct {
  char *directory;
  TessProgress *progress;
} LookRequest;

static void
look_request_free (gpointer data)
{
  LookRequest *request = data;

  g_free (request->directory);
  tess_progress_unref (request->progress);
  g_free (request);
}

static void
look_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  LookRequest *request = task_data;
  g_autoptr (TessDatasetLook) look = g_new0 (TessDatasetLook, 1);
  gint64 start = g_get_monotonic_time ();
  GError *error = NULL;

  look->cases = g_array_new (FALSE, TRUE, sizeof (TessCaseLook));
  g_array_set_clear_func (look->cases, case_clear);
  look->dataset = tess_dataset_open (request->directory, request->progress, &error);
  for (guint i = 0; look->dataset && i < look->dataset->cases->len; i++) {
    const TessCaseFiles *files = tess_dataset_case (look->dataset, i);
    TessCaseLook one = {.id = g_strdup (files->id)};

    if (g_get_monotonic_time () - start < LOOK_MICROSECONDS)
      look_at_scan (files->image_paths[0], &one);
    g_array_append_val (look->cases, one);
    if (!tess_progress_check (request->progress, &error))
      break;
    tess_progress_set (request->progress, (i + 1.0) / look->dataset->cases->len);
  }
  if (error)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_steal_pointer (&look), (GDestroyNotify)tess_dataset_look_free);
}

void
tess_dataset_look_async (GObject *source, const char *directory, TessProgress *progress, GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (source, NULL, callback, user_data);
  LookRequest *request = g_new0 (LookRequest, 1);

  request->directory = g_strdup (directory);
  request->progress = tess_progress_ref (progress);
  g_task_set_task_data (task, request, look_request_free);
  g_task_run_in_thread (task, look_thread);
}

TessDatasetLook *
tess_dataset_look_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- a plan ---- */

typedef struct {
  TessDataset *dataset;
  const TessBackendIface *backend;
  guint index;
  gboolean bf16;
  TessPlanWish wish;
  TessProgress *progress;
} PlanRequest;

static void
plan_request_free (gpointer data)
{
  PlanRequest *request = data;

  tess_dataset_unref (request->dataset);
  tess_progress_unref (request->progress);
  g_free (request);
}

static void
plan_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  PlanRequest *request = task_data;
  TessPlannerLimits limits;
  GError *error = NULL;
  TessPlan *plan;

  tess_auto_limits (request->backend, request->index, &limits);
  limits.bf16 = request->bf16;
  memcpy (limits.patch, request->wish.patch, sizeof limits.patch);
  limits.batch = request->wish.batch;
  plan = tess_auto_plan (request->dataset, &limits, request->progress, &error);
  if (plan)
    g_task_return_pointer (task, plan, (GDestroyNotify)tess_plan_unref);
  else
    g_task_return_error (task, error);
}

void
tess_train_plan_async (GObject *source, TessDataset *dataset, const TessTrainDevice *device, const TessPlanWish *wish,
                       TessProgress *progress, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (source, NULL, callback, user_data);
  PlanRequest *request = g_new0 (PlanRequest, 1);

  request->dataset = tess_dataset_ref (dataset);
  request->backend = device->backend;
  request->index = device->index;
  request->bf16 = device->bf16;
  request->wish = *wish;
  request->progress = tess_progress_ref (progress);
  g_task_set_task_data (task, request, plan_request_free);
  g_task_run_in_thread (task, plan_thread);
}

TessPlan *
tess_train_plan_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- a sample ---- */

static char *
data_folder (const char *kind, const char *name)
{
  return g_build_filename (g_get_user_data_dir (), "tessera", kind, name, NULL);
}

/* dataset.json is written last: where it is, the sample is whole. What an interrupted making has left is in the way of
 * tess_phantom_write, so that the next number is taken. */
static void
sample_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  const TessPhantomOptions options = {.n_cases = SAMPLE_CASES, .n_test = SAMPLE_TESTS, .size = {64, 64, 48}};
  GError *error = NULL;

  for (guint i = 1;; i++) {
    g_autofree char *name = i > 1 ? g_strdup_printf ("phantom-%u", i) : g_strdup ("phantom");
    g_autofree char *folder = data_folder ("samples", name), *json = g_build_filename (folder, "dataset.json", NULL);

    if (!g_file_test (json, G_FILE_TEST_EXISTS)) {
      if (g_file_test (folder, G_FILE_TEST_EXISTS) && i < 1000)
        continue;
      if (!tess_phantom_write (folder, &options, task_data, &error)) {
        g_task_return_error (task, error);
        return;
      }
    }
    g_task_return_pointer (task, g_steal_pointer (&folder), g_free);
    return;
  }
}

void
tess_train_sample_async (GObject *source, TessProgress *progress, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (source, NULL, callback, user_data);

  g_task_set_task_data (task, tess_progress_ref (progress), (GDestroyNotify)tess_progress_unref);
  g_task_run_in_thread (task, sample_thread);
}

char *
tess_train_sample_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static gboolean
is_empty (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);

  return dir ? g_dir_read_name (dir) == NULL : !g_file_test (folder, G_FILE_TEST_EXISTS);
}

char *
tess_train_new_run_dir (const char *chosen, const char *dataset_name)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *day = g_date_time_format (now, "%Y-%m-%d");
  g_autofree char *name = g_strdup_printf ("%s-%s", dataset_name, day), *base = NULL, *folder = NULL;

  if (chosen && is_empty (chosen))
    return g_strdup (chosen);
  g_strdelimit (name, "/ ", '-');
  if (!chosen)
    base = data_folder ("runs", NULL);
  else
    base = tess_run_poll_check (chosen, NULL) ? g_path_get_dirname (chosen) : g_strdup (chosen);
  folder = g_build_filename (base, name, NULL);
  for (guint i = 2; g_file_test (folder, G_FILE_TEST_EXISTS); i++) {
    g_autofree char *numbered = g_strdup_printf ("%s-%u", name, i);

    g_free (folder);
    folder = g_build_filename (base, numbered, NULL);
  }
  return g_steal_pointer (&folder);
}
