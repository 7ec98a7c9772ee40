#include "tess-renderer.h"

#include <epoxy/egl.h>
#include <epoxy/gl.h>

struct _TessOffscreen {
  EGLDisplay display;
  EGLContext context;
  int width, height;
  GLuint framebuffer, colour;
  TessRenderer *renderer;
};

static gboolean
fail (GError **error, const char *what)
{
  g_set_error (
      error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
      _ ("pictures cannot be drawn here: %s; install Mesa's EGL and OpenGL drivers (libegl1, libgl1-mesa-dri)"), what);
  return FALSE;
}

static gboolean
open_context (TessOffscreen *o, GError **error)
{
  static const EGLint config_attributes[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
  static const EGLint context_attributes[] = {
      EGL_CONTEXT_MAJOR_VERSION,           3,       EGL_CONTEXT_MINOR_VERSION, 3, EGL_CONTEXT_OPENGL_PROFILE_MASK,
      EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE};
  EGLConfig config = NULL;
  EGLint n = 0;

  if (!epoxy_has_egl ())
    return fail (error, _ ("there is no EGL"));
  o->display = eglGetPlatformDisplayEXT (EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
  if (o->display == EGL_NO_DISPLAY || !eglInitialize (o->display, NULL, NULL))
    return fail (error, _ ("EGL has no surfaceless display"));
  if (!eglBindAPI (EGL_OPENGL_API))
    return fail (error, _ ("EGL has no desktop OpenGL"));
  if (!eglChooseConfig (o->display, config_attributes, &config, 1, &n))
    n = 0;
  o->context = eglCreateContext (o->display, n ? config : NULL, EGL_NO_CONTEXT, context_attributes);
  if (o->context == EGL_NO_CONTEXT)
    return fail (error, _ ("OpenGL 3.3 is not offered"));
  if (!eglMakeCurrent (o->display, EGL_NO_SURFACE, EGL_NO_SURFACE, o->context))
    return fail (error, _ ("the OpenGL context cannot be used"));
  return TRUE;
}

/* A framebuffer of width x height on a context of this thread's own. */
TessOffscreen *
tess_offscreen_new (int width, int height, GError **error)
{
  TessOffscreen *o = g_new0 (TessOffscreen, 1);

  o->width = width;
  o->height = height;
  o->display = EGL_NO_DISPLAY;
  o->context = EGL_NO_CONTEXT;
  if (!open_context (o, error) || !(o->renderer = tess_renderer_new (error))) {
    tess_offscreen_free (o);
    return NULL;
  }
  glGenTextures (1, &o->colour);
  glBindTexture (GL_TEXTURE_2D, o->colour);
  glTexImage2D (GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
  glGenFramebuffers (1, &o->framebuffer);
  glBindFramebuffer (GL_FRAMEBUFFER, o->framebuffer);
  glFramebufferTexture2D (GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, o->colour, 0);
  if (glCheckFramebufferStatus (GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
    fail (error, _ ("the picture is too large for the graphics driver"));
    tess_offscreen_free (o);
    return NULL;
  }
  return o;
}

void
tess_offscreen_free (TessOffscreen *o)
{
  if (!o)
    return;
  if (o->context != EGL_NO_CONTEXT) {
    if (o->renderer)
      tess_renderer_free (o->renderer);
    glDeleteFramebuffers (1, &o->framebuffer);
    glDeleteTextures (1, &o->colour);
    eglMakeCurrent (o->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext (o->display, o->context);
  }
  g_free (o);
}

gboolean
tess_offscreen_draw (TessOffscreen *o, const TessScene *scene, const TessPane *panes, guint n_panes, guint8 *rgba,
                     GError **error)
{
  glBindFramebuffer (GL_FRAMEBUFFER, o->framebuffer);
  if (!tess_renderer_draw (o->renderer, scene, panes, n_panes, o->width, o->height, TRUE, error))
    return FALSE;
  glPixelStorei (GL_PACK_ALIGNMENT, 1);
  glReadPixels (0, 0, o->width, o->height, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
  return TRUE;
}
