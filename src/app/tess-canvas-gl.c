#include "tess-canvas-private.h"

#include <adwaita.h>
#include <epoxy/gl.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* The GtkGLArea that the pictures are drawn into, and the sentence that stands in its place when they cannot be. */

static void
set_gl_error (TessCanvas *self, const char *sentence)
{
  g_autofree char *escaped = sentence ? g_markup_escape_text (sentence, -1) : NULL;

  if (g_strcmp0 (self->gl_error, sentence) == 0)
    return;
  g_free (self->gl_error);
  self->gl_error = g_strdup (sentence);
  adw_status_page_set_description (ADW_STATUS_PAGE (self->message), escaped);
  gtk_widget_set_visible (self->message, sentence != NULL);
  gtk_widget_set_child_visible (self->area, sentence == NULL);
  g_object_notify (G_OBJECT (self), "gl-error");
  gtk_widget_queue_allocate (GTK_WIDGET (self));
}

static void
area_realize_cb (TessCanvas *self)
{
  g_autoptr (GError) error = NULL;
  const GError *gtk_error;

  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  gtk_error = gtk_gl_area_get_error (GTK_GL_AREA (self->area));
  if (gtk_error) {
    g_autofree char *sentence = g_strdup_printf (
        _ ("Pictures need OpenGL 3.3, which does not work here (%s); update the graphics driver or install Mesa "
           "(libgl1-mesa-dri)"),
        gtk_error->message);

    set_gl_error (self, sentence);
    return;
  }
  self->renderer = tess_renderer_new (&error);
  set_gl_error (self, error ? error->message : NULL);
}

static void
area_unrealize_cb (TessCanvas *self)
{
  g_clear_handle_id (&self->draw_error_idle, g_source_remove);
  g_clear_pointer (&self->picture, gsk_render_node_unref);
  if (!self->renderer)
    return;
  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  if (!gtk_gl_area_get_error (GTK_GL_AREA (self->area))) {
    glDeleteFramebuffers (1, &self->framebuffer);
    glDeleteTextures (1, &self->colour);
    tess_renderer_free (self->renderer);
  }
  self->framebuffer = self->colour = 0;
  self->framebuffer_size[0] = self->framebuffer_size[1] = 0;
  self->renderer = NULL;
}

/* Widgets must not change while they are being painted. */
static gboolean
draw_error_cb (gpointer data)
{
  TessCanvas *self = data;

  self->draw_error_idle = 0;
  set_gl_error (self, self->draw_error);
  return G_SOURCE_REMOVE;
}

static void
queue_draw_error (TessCanvas *self, const GError *error)
{
  g_free (self->draw_error);
  self->draw_error = g_strdup (error->message);
  if (!self->draw_error_idle)
    self->draw_error_idle = g_idle_add (draw_error_cb, self);
}

static gboolean
draw (TessCanvas *self, int width, int height, gboolean from_top, GError **error)
{
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);

  return tess_renderer_draw (self->renderer, tess_study_get_scene (self->study), panes, n, width, height, from_top,
                             error);
}

static gboolean
area_render_cb (TessCanvas *self)
{
  int scale = gtk_widget_get_scale_factor (self->area);
  g_autoptr (GError) error = NULL;

  if (self->renderer && self->study &&
      !draw (self, gtk_widget_get_width (self->area) * scale, gtk_widget_get_height (self->area) * scale, FALSE,
             &error))
    queue_draw_error (self, error);
  return TRUE;
}

/* A framebuffer whose pixels are stored as Cairo stores them. FALSE when the driver has no room for it. */
static gboolean
bind_framebuffer (TessCanvas *self, int width, int height)
{
  if (!self->framebuffer) {
    glGenFramebuffers (1, &self->framebuffer);
    glGenTextures (1, &self->colour);
  }
  glBindFramebuffer (GL_FRAMEBUFFER, self->framebuffer);
  if (self->framebuffer_size[0] != width || self->framebuffer_size[1] != height) {
    glBindTexture (GL_TEXTURE_2D, self->colour);
    glTexImage2D (GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_BGRA, GL_UNSIGNED_INT_8_8_8_8_REV, NULL);
    glFramebufferTexture2D (GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, self->colour, 0);
    self->framebuffer_size[0] = width;
    self->framebuffer_size[1] = height;
  }
  return glCheckFramebufferStatus (GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE;
}

/* What is in the framebuffer, as something GTK paints without looking at every pixel again. */
static GskRenderNode *
read_picture (int width, int height, int scale)
{
  graphene_rect_t bounds = GRAPHENE_RECT_INIT (0, 0, (float)width / (float)scale, (float)height / (float)scale);
  static const cairo_user_data_key_t pixels_key;
  int stride = cairo_format_stride_for_width (CAIRO_FORMAT_RGB24, width);
  guint8 *pixels =
      stride > 0 ? g_try_malloc ((gsize)stride * (gsize)height) : NULL; /* not cleared, as Cairo's would be */
  cairo_surface_t *surface;
  GskRenderNode *node;
  cairo_t *cr;

  if (!pixels)
    return NULL;
  surface = cairo_image_surface_create_for_data (pixels, CAIRO_FORMAT_RGB24, width, height, stride);
  if (cairo_surface_set_user_data (surface, &pixels_key, pixels, g_free) != CAIRO_STATUS_SUCCESS) {
    cairo_surface_destroy (surface);
    g_free (pixels);
    return NULL;
  }
  glPixelStorei (GL_PACK_ALIGNMENT, 4);
  glReadPixels (0, 0, width, height, GL_BGRA, GL_UNSIGNED_INT_8_8_8_8_REV, pixels);
  cairo_surface_mark_dirty (surface);
  node = gsk_cairo_node_new (&bounds);
  cr = gsk_cairo_node_get_draw_context (node);
  cairo_scale (cr, 1.0 / scale, 1.0 / scale);
  cairo_set_source_surface (cr, surface, 0.0, 0.0);
  cairo_pattern_set_filter (cairo_get_source (cr), CAIRO_FILTER_NEAREST);
  cairo_paint (cr);
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
  return node;
}

/* Where GTK paints with Cairo, every GL texture is converted pixel by pixel on its way (4 ms for half a million, with
 * GTK 4.8): there we take the picture ourselves. */
static gboolean
gtk_paints_with_cairo (TessCanvas *self)
{
  GtkNative *native = gtk_widget_get_native (GTK_WIDGET (self));
  GskRenderer *painter = native ? gtk_native_get_renderer (native) : NULL;

  return painter && strcmp (G_OBJECT_TYPE_NAME (painter), "GskCairoRenderer") == 0;
}

void
tess_canvas_snapshot_picture (TessCanvas *self, GtkSnapshot *snapshot)
{
  int scale = gtk_widget_get_scale_factor (self->area);
  int width = gtk_widget_get_width (self->area) * scale, height = gtk_widget_get_height (self->area) * scale;

  if (!self->renderer || !self->study || !gtk_paints_with_cairo (self)) {
    gtk_widget_snapshot_child (GTK_WIDGET (self), self->area, snapshot);
    return;
  }
  if ((self->picture_old || !self->picture) && width > 0 && height > 0) {
    g_autoptr (GError) error = NULL;

    g_clear_pointer (&self->picture, gsk_render_node_unref);
    gtk_gl_area_make_current (GTK_GL_AREA (self->area));
    if (!bind_framebuffer (self, width, height))
      g_set_error_literal (&error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                           _ ("the picture is too large for the graphics driver; make the window smaller"));
    else if (draw (self, width, height, TRUE, &error))
      self->picture = read_picture (width, height, scale);
    if (error)
      queue_draw_error (self, error);
    self->picture_old = FALSE;
  }
  if (self->picture)
    gtk_snapshot_append_node (snapshot, self->picture);
}

/* The window shows something else for now: the time is used to get everything ready for the first picture. */
static gboolean
warm_up_cb (gpointer data)
{
  TessCanvas *self = data;

  self->warm_up_idle = 0;
  if (gtk_widget_get_mapped (GTK_WIDGET (self)))
    return G_SOURCE_REMOVE;
  if (!gtk_widget_get_realized (self->area))
    gtk_widget_realize (self->area);
  if (self->renderer) {
    gtk_gl_area_make_current (GTK_GL_AREA (self->area));
    tess_renderer_warm_up (self->renderer);
  }
  return G_SOURCE_REMOVE;
}

static void
root_mapped_cb (TessCanvas *self, GtkWidget *root)
{
  g_signal_handlers_disconnect_by_func (root, root_mapped_cb, self);
  if (!gtk_widget_get_mapped (GTK_WIDGET (self)) && !self->warm_up_idle)
    self->warm_up_idle = g_timeout_add_full (G_PRIORITY_LOW, 100, warm_up_cb, self, NULL);
}

static void
root_cb (TessCanvas *self)
{
  GtkWidget *root = GTK_WIDGET (gtk_widget_get_root (GTK_WIDGET (self)));

  if (root && !gtk_widget_get_mapped (root))
    g_signal_connect_object (root, "map", G_CALLBACK (root_mapped_cb), self, G_CONNECT_SWAPPED | G_CONNECT_AFTER);
}

void
tess_canvas_clear_gl (TessCanvas *self)
{
  g_clear_handle_id (&self->warm_up_idle, g_source_remove);
}

/* Other layers may be drawn where the last ones could not. */
void
tess_canvas_retry_gl (TessCanvas *self)
{
  if (!self->draw_error)
    return;
  g_clear_pointer (&self->draw_error, g_free);
  g_clear_handle_id (&self->draw_error_idle, g_source_remove);
  set_gl_error (self, NULL);
}

void
tess_canvas_init_gl (TessCanvas *self)
{
  self->area = gtk_gl_area_new ();
  gtk_gl_area_set_required_version (GTK_GL_AREA (self->area), 3, 3);
  gtk_gl_area_set_use_es (GTK_GL_AREA (self->area), FALSE);
  gtk_gl_area_set_auto_render (GTK_GL_AREA (self->area), FALSE);
  gtk_widget_set_can_target (self->area, FALSE);
  g_signal_connect_object (self->area, "realize", G_CALLBACK (area_realize_cb), self,
                           G_CONNECT_SWAPPED | G_CONNECT_AFTER);
  g_signal_connect_object (self->area, "unrealize", G_CALLBACK (area_unrealize_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->area, "render", G_CALLBACK (area_render_cb), self, G_CONNECT_SWAPPED);
  gtk_widget_set_parent (self->area, GTK_WIDGET (self));

  self->message = adw_status_page_new ();
  adw_status_page_set_icon_name (ADW_STATUS_PAGE (self->message), "video-display-symbolic");
  adw_status_page_set_title (ADW_STATUS_PAGE (self->message), _ ("No picture"));
  gtk_widget_add_css_class (self->message, "on-canvas");
  gtk_widget_set_visible (self->message, FALSE);
  gtk_widget_set_parent (self->message, GTK_WIDGET (self));
  g_signal_connect (self, "notify::root", G_CALLBACK (root_cb), NULL);
}
