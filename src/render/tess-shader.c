#include "tess-shader.h"

#include "tess-render-resources.h"

#include <string.h>

/* One of the files in shaders/, which are built into the library. */
static const char *
text_of (const char *name)
{
  g_autofree char *path = g_strconcat ("/org/tessera/Tessera/shaders/", name, NULL);
  g_autoptr (GBytes) bytes = g_resource_lookup_data (tess_render_get_resource (), path, 0, NULL);

  g_assert (bytes != NULL); /* not compressed: the bytes are the program's own */
  return g_bytes_get_data (bytes, NULL);
}

/* Appends @text with @word for every @placeholder. */
static void
append_replaced (GString *out, const char *text, const char *placeholder, const char *word)
{
  const char *at;

  while ((at = strstr (text, placeholder))) {
    g_string_append_len (out, text, at - text);
    g_string_append (out, word);
    text = at + strlen (placeholder);
  }
  g_string_append (out, text);
}

/* The functions of layer @i, of which layer_@i () is the one that is called. */
static void
append_layer (GString *text, guint i, TessSource source, TessLut lut)
{
  static const char *const samplers[] = {"sampler2D", "isampler2D", "sampler3D", "isampler3D", "usampler3D"};
  gboolean label = lut == TESS_LUT_LABELS, volume = source >= TESS_SOURCE_VOLUME_FLOAT;
  g_autoptr (GString) all = g_string_new (NULL);
  char number[12];

  append_replaced (all, text_of ("layer.glsl"), "@SAMPLER@", samplers[source]);
  if (volume)
    g_string_append (all, text_of ("volume.glsl"));
  g_string_append (all, text_of (volume  ? label ? "volume-label.glsl" : "volume-value.glsl"
                                 : label ? "plane-label.glsl"
                                         : "plane-value.glsl"));
  g_string_append (all, text_of (label                  ? "lut-labels.glsl"
                                 : lut == TESS_LUT_GREY ? "lut-grey.glsl"
                                                        : "lut-colours.glsl"));
  g_snprintf (number, sizeof number, "%u", i);
  append_replaced (text, all->str, "@", number);
}

static char *
fragment_text (const TessSource *sources, const TessLut *luts, guint n)
{
  g_autoptr (GString) layers = g_string_new (NULL), compose = g_string_new (NULL), half = g_string_new (NULL);
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++) {
    append_layer (layers, i, sources[i], luts[i]);
    g_string_append_printf (compose, "  l = layer_%u (p);\n  c = mix (c, l.rgb, l.a);\n", i);
  }
  append_replaced (half, text_of ("canvas.frag"), "\n@LAYERS@\n", layers->str);
  append_replaced (text, half->str, "@COMPOSE@\n", compose->str);
  return g_string_free (text, FALSE);
}

static GLuint
compile (GLenum kind, const char *text, GError **error)
{
  GLuint shader = glCreateShader (kind);
  GLint ok = 0;

  glShaderSource (shader, 1, &text, NULL);
  glCompileShader (shader);
  glGetShaderiv (shader, GL_COMPILE_STATUS, &ok);
  if (!ok) {
    char log[1024] = "";

    glGetShaderInfoLog (shader, sizeof log, NULL, log);
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("the graphics driver refuses Tessera's drawing program (%s); update the driver"), g_strstrip (log));
    glDeleteShader (shader);
    return 0;
  }
  return shader;
}

/**
 * tess_shader_new:
 * @sources, @luts: of the layers that are shown, bottom to top
 *
 * Compiles and links; needs a current context. UNSUPPORTED with what the driver says.
 */
TessShader *
tess_shader_new (const TessSource *sources, const TessLut *luts, guint n, GError **error)
{
  g_autofree char *fragment = fragment_text (sources, luts, n);
  GLuint vs, fs;
  GLint ok = 0;
  TessShader *program;

  vs = compile (GL_VERTEX_SHADER, text_of ("canvas.vert"), error);
  fs = vs ? compile (GL_FRAGMENT_SHADER, fragment, error) : 0;
  if (!fs) {
    glDeleteShader (vs);
    return NULL;
  }
  program = g_new0 (TessShader, 1);
  program->program = glCreateProgram ();
  glAttachShader (program->program, vs);
  glAttachShader (program->program, fs);
  glLinkProgram (program->program);
  glDeleteShader (vs);
  glDeleteShader (fs);
  glGetProgramiv (program->program, GL_LINK_STATUS, &ok);
  if (!ok) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                         _ ("the graphics driver cannot link Tessera's drawing program; update the driver"));
    tess_shader_free (program);
    return NULL;
  }
  program->pane = glGetUniformLocation (program->program, "pane");
  program->from_top = glGetUniformLocation (program->program, "from_top");
  program->colours = glGetUniformLocation (program->program, "colours");
  for (guint i = 0; i < n; i++) {
    static const char *const names[] = {"voxels", "opacity", "window", "style",  "origin",
                                        "du",     "dv",      "half",   "scaling"};
    GLint *const places[] = {program->voxels, program->opacity, program->window, program->style,  program->origin,
                             program->du,     program->dv,      program->half,   program->scaling};

    for (guint k = 0; k < G_N_ELEMENTS (names); k++) {
      g_autofree char *name = g_strdup_printf ("%s_%u", names[k], i);

      places[k][i] = glGetUniformLocation (program->program, name);
    }
  }
  return program;
}

void
tess_shader_free (TessShader *shader)
{
  glDeleteProgram (shader->program);
  g_free (shader);
}
