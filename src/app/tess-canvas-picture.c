#include "tess-canvas-private.h"
#include "tess-atomic-file.h"

#include <epoxy/gl.h>
#include <glib/gi18n-lib.h>

/* Draws into a texture of this context. rgba: width*height*4 bytes, rows top to bottom. */
static gboolean
read_back (TessCanvas *self, const TessPane *panes, guint n, int width, int height, guint8 *rgba, GError **error)
{
  GLuint framebuffer = 0, colour = 0;
  gboolean ok = FALSE;

  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  glGenTextures (1, &colour);
  glBindTexture (GL_TEXTURE_2D, colour);
  glTexImage2D (GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
  glGenFramebuffers (1, &framebuffer);
  glBindFramebuffer (GL_FRAMEBUFFER, framebuffer);
  glFramebufferTexture2D (GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, colour, 0);
  if (glCheckFramebufferStatus (GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                         _ ("the picture is too large for the graphics driver; make the window smaller"));
  else
    ok = tess_renderer_draw (self->renderer, tess_study_get_scene (self->study), panes, n, width, height, TRUE, error);
  if (ok) {
    glPixelStorei (GL_PACK_ALIGNMENT, 1);
    glReadPixels (0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
  }
  gtk_gl_area_attach_buffers (GTK_GL_AREA (self->area));
  glDeleteFramebuffers (1, &framebuffer);
  glDeleteTextures (1, &colour);
  return ok;
}

/* What the canvas shows now, overlays included. */
static cairo_surface_t *
take_picture (TessCanvas *self, GError **error)
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  int width = gtk_widget_get_width (GTK_WIDGET (self)) * scale;
  int height = gtk_widget_get_height (GTK_WIDGET (self)) * scale, stride;
  TessPane panes[TESS_N_PLANES];
  g_autofree guint8 *rgba = NULL;
  cairo_surface_t *surface;
  TessOverlay overlay;
  guint8 *data;
  cairo_t *cr;
  guint n;

  if (self->gl_error) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, self->gl_error);
    return NULL;
  }
  if (!self->renderer || !self->study || !tess_study_get_has_image (self->study) || width < 1 || height < 1) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("there is no picture yet; open a scan first"));
    return NULL;
  }
  n = tess_canvas_panes (self, panes);
  rgba = g_malloc ((gsize)width * (gsize)height * 4);
  if (!read_back (self, panes, n, width, height, rgba, error))
    return NULL;
  surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  if (cairo_surface_status (surface) != CAIRO_STATUS_SUCCESS) {
    cairo_surface_destroy (surface);
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                         _ ("there is no memory left for the picture; close something"));
    return NULL;
  }
  data = cairo_image_surface_get_data (surface);
  stride = cairo_image_surface_get_stride (surface);
  for (int y = 0; y < height; y++) {
    const guint8 *from = rgba + (gsize)y * (gsize)width * 4;
    guint32 *to = (guint32 *)(void *)(data + (gsize)y * (gsize)stride);

    for (int x = 0; x < width; x++, from += 4)
      to[x] = (guint32)from[0] << 16 | (guint32)from[1] << 8 | from[2];
  }
  cairo_surface_mark_dirty (surface);
  tess_canvas_overlay (self, &overlay);
  cr = cairo_create (surface);
  tess_overlay_draw (&overlay, cr, tess_study_get_scene (self->study), panes, n);
  cairo_destroy (cr);
  return surface;
}

static cairo_status_t
append_cb (void *closure, const unsigned char *data, unsigned int n)
{
  g_byte_array_append (closure, data, n);
  return CAIRO_STATUS_SUCCESS;
}

static gboolean
write_picture (cairo_surface_t *surface, const char *path, GError **error)
{
  g_autoptr (GByteArray) png = g_byte_array_new ();
  cairo_status_t status = cairo_surface_write_to_png_stream (surface, append_cb, png);

  if (status != CAIRO_STATUS_SUCCESS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: cannot make a PNG: %s; close something"), path,
                 cairo_status_to_string (status));
    return FALSE;
  }
  return tess_file_set_contents (path, png->data, png->len, error);
}

gboolean
tess_canvas_save_picture (TessCanvas *self, const char *path, GError **error)
{
  cairo_surface_t *surface = take_picture (self, error);
  gboolean ok = surface && write_picture (surface, path, error);

  g_clear_pointer (&surface, cairo_surface_destroy);
  return ok;
}

typedef struct {
  cairo_surface_t *surface;
  char *path;
} Picture;

static void
picture_free (gpointer data)
{
  Picture *picture = data;

  g_clear_pointer (&picture->surface, cairo_surface_destroy);
  g_free (picture->path);
  g_free (picture);
}

static void
write_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Picture *picture = task_data;
  GError *error = NULL;

  if (write_picture (picture->surface, picture->path, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
tess_canvas_save_picture_async (TessCanvas *self, const char *path, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  Picture *picture = g_new0 (Picture, 1);
  GError *error = NULL;

  g_task_set_task_data (task, picture, picture_free);
  picture->path = g_strdup (path);
  picture->surface = take_picture (self, &error);
  if (picture->surface)
    g_task_run_in_thread (task, write_thread);
  else
    g_task_return_error (task, error);
}

gboolean
tess_canvas_save_picture_finish (TessCanvas *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
