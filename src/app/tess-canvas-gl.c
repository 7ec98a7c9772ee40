#include "tess-canvas-private.h"

#include <adwaita.h>
#include <glib/gi18n-lib.h>

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
  if (!self->renderer)
    return;
  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  if (!gtk_gl_area_get_error (GTK_GL_AREA (self->area)))
    tess_renderer_free (self->renderer);
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

static gboolean
area_render_cb (TessCanvas *self)
{
  int scale = gtk_widget_get_scale_factor (self->area);
  TessPane panes[TESS_N_PLANES];
  g_autoptr (GError) error = NULL;
  guint n = tess_canvas_panes (self, panes);

  if (!self->renderer || !self->study ||
      tess_renderer_draw (self->renderer, tess_study_get_scene (self->study), panes, n,
                          gtk_widget_get_width (self->area) * scale, gtk_widget_get_height (self->area) * scale,
                          &error))
    return TRUE;
  g_free (self->draw_error);
  self->draw_error = g_strdup (error->message);
  if (!self->draw_error_idle)
    self->draw_error_idle = g_idle_add (draw_error_cb, self);
  return TRUE;
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
