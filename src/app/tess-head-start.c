#include "tess-head-start.h"

#include "tess-contents.h"
#include "tess-file-kind.h"

/* One holder is the owner, the other the reading until its result is in. */
struct _TessHeadStart {
  TessStudy *study;
  TessJob *job; /* NULL once it was taken */
  char *path;
  GAsyncReadyCallback callback;
  gpointer data;
  GAsyncResult *result; /* that came before somebody asked for it */
};

static void
clear (gpointer data)
{
  TessHeadStart *self = data;

  g_clear_object (&self->study);
  g_clear_object (&self->job);
  g_clear_object (&self->result);
  g_free (self->path);
}

static void
deliver (TessHeadStart *self)
{
  if (self->callback && self->result)
    self->callback (G_OBJECT (self->study), self->result, self->data);
}

static void
read_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  TessHeadStart *self = data;

  self->result = g_object_ref (result);
  deliver (self);
  g_rc_box_release_full (self, clear);
}

static gboolean
deliver_cb (gpointer data)
{
  deliver (data);
  return G_SOURCE_REMOVE;
}

static void
release_cb (gpointer data)
{
  g_rc_box_release_full (data, clear);
}

TessHeadStart *
tess_head_start_new (const char *path)
{
  g_autofree char *folder = NULL, *name = NULL;
  TessHeadStart *self;

  if (tess_file_kind_probe (path, &folder) != TESS_FILE_SCAN || tess_contents_needed (path))
    return NULL;
  name = g_filename_display_basename (path);
  self = g_rc_box_new0 (TessHeadStart);
  self->study = tess_study_new ();
  self->job = tess_job_new_opening (name);
  self->path = g_strdup (path);
  tess_study_open_async (self->study, path, NULL, TESS_OPEN_SCAN, self->job, read_cb, g_rc_box_acquire (self));
  return self;
}

void
tess_head_start_free (TessHeadStart *self)
{
  if (self->job)
    tess_job_cancel (self->job);
  g_rc_box_release_full (self, clear);
}

TessStudy *
tess_head_start_get_study (TessHeadStart *self)
{
  return self->study;
}

TessJob *
tess_head_start_take (TessHeadStart *self, const char *location, GAsyncReadyCallback callback, gpointer data)
{
  if (!self->job || g_strcmp0 (self->path, location) != 0)
    return NULL;
  self->callback = callback;
  self->data = data;
  if (self->result)
    g_idle_add_full (G_PRIORITY_DEFAULT, deliver_cb, g_rc_box_acquire (self), release_cb);
  return g_steal_pointer (&self->job);
}
