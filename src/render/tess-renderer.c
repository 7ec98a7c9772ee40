#include "tess-renderer.h"
#include "tess-plane-sampler.h"
#include "tess-shader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLOUR_WIDTH 1024
#define COLOUR_ROWS 1024

typedef struct {
  GLuint texture;
  TessPaneMap map;
  double zero; /* taken off all values */
  int width, height;
  guint64 serial;
  gint64 readable; /* slices */
  gboolean linear;
} PlaneTexture;

typedef struct {
  guint64 serial; /* of the voxels in `volume` */
  GLuint volume;
  gboolean no_volume; /* the driver has no room for it */
  PlaneTexture planes[TESS_N_PLANES];
  guint64 used; /* frame */
} LayerTextures;

struct _TessRenderer {
  gboolean software;
  GLint max_3d;
  GLuint vertex_array;
  GLuint colours;       /* RGBA8 COLOUR_WIDTH x COLOUR_ROWS: LUTs, then label tables */
  guint64 colours_key;  /* sum over layers: rebuilt when it changes */
  GHashTable *programs; /* signature -> TessShader */
  GHashTable *textures; /* TessLayer* -> LayerTextures */
  guint64 frame;
  float *scratch;
  gsize scratch_size;
};

static void
shader_free (gpointer data)
{
  tess_shader_free (data);
}

static void
layer_textures_free (gpointer data)
{
  LayerTextures *textures = data;

  glDeleteTextures (1, &textures->volume);
  for (int i = 0; i < TESS_N_PLANES; i++)
    glDeleteTextures (1, &textures->planes[i].texture);
  g_free (textures);
}

/**
 * tess_renderer_new:
 *
 * Needs a current OpenGL 3.3 core context; fails with UNSUPPORTED naming what the driver offers.
 */
TessRenderer *
tess_renderer_new (GError **error)
{
  TessRenderer *renderer;
  const char *name;

  if (!epoxy_is_desktop_gl () || epoxy_gl_version () < 33) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        _ ("this computer's graphics driver offers OpenGL %d.%d, but 3.3 is needed; update the driver or Mesa"),
        epoxy_gl_version () / 10, epoxy_gl_version () % 10);
    return NULL;
  }
  renderer = g_new0 (TessRenderer, 1);
  name = (const char *)glGetString (GL_RENDERER);
  renderer->software = name && (strstr (name, "llvmpipe") || strstr (name, "softpipe") || strstr (name, "swrast"));
  if (g_getenv ("TESSERA_GL_VOLUMES")) /* for tests: the path of a graphics card on software GL */
    renderer->software = FALSE;
  glGetIntegerv (GL_MAX_3D_TEXTURE_SIZE, &renderer->max_3d);
  glGenVertexArrays (1, &renderer->vertex_array);
  renderer->programs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, shader_free);
  renderer->textures = g_hash_table_new_full (NULL, NULL, NULL, layer_textures_free);
  return renderer;
}

void
tess_renderer_free (TessRenderer *renderer)
{
  if (!renderer)
    return;
  g_hash_table_unref (renderer->programs);
  g_hash_table_unref (renderer->textures);
  glDeleteTextures (1, &renderer->colours);
  glDeleteVertexArrays (1, &renderer->vertex_array);
  free (renderer->scratch);
  g_free (renderer);
}

gboolean
tess_renderer_is_software (TessRenderer *renderer)
{
  return renderer->software;
}

static gboolean
is_label (const TessLayer *layer)
{
  return layer->lut == TESS_LUT_LABELS;
}

static TessSource
layer_source (const TessRenderer *renderer, const TessLayer *layer, const LayerTextures *textures)
{
  const gint64 *dim = tess_volume_dim (layer->volume);

  if (renderer->software || textures->no_volume || tess_layer_readable (layer) < dim[2] || dim[0] > renderer->max_3d ||
      dim[1] > renderer->max_3d || dim[2] > renderer->max_3d)
    return is_label (layer) ? TESS_SOURCE_PLANE_LABEL : TESS_SOURCE_PLANE;
  switch (tess_volume_dtype (layer->volume)) {
  case TESS_DTYPE_U8:
  case TESS_DTYPE_U16:
    return TESS_SOURCE_VOLUME_UINT;
  case TESS_DTYPE_I8:
  case TESS_DTYPE_I16:
    return TESS_SOURCE_VOLUME_INT;
  case TESS_DTYPE_F32:
    return TESS_SOURCE_VOLUME_FLOAT;
  default: /* wider than a shader's numbers: sampled on the processor in double precision */
    return is_label (layer) ? TESS_SOURCE_PLANE_LABEL : TESS_SOURCE_PLANE;
  }
}

static TessShader *
find_program (TessRenderer *renderer, const TessSource *sources, const TessLut *luts, guint n, GError **error)
{
  char signature[2 * TESS_MAX_LAYERS + 1];
  TessShader *program;

  for (guint i = 0; i < n; i++) {
    signature[2 * i] = (char)('a' + sources[i]);
    signature[2 * i + 1] = (char)('a' + luts[i]);
  }
  signature[2 * n] = 0;
  program = g_hash_table_lookup (renderer->programs, signature);
  if (!program) {
    program = tess_shader_new (sources, luts, n, error);
    if (program)
      g_hash_table_insert (renderer->programs, g_strdup (signature), program);
  }
  return program;
}

/* Rows of a label layer's table: enough for its largest label with a colour, at most 64 (65536 labels). */
static int
label_rows (const TessLayer *layer)
{
  guint n = tess_label_table_n (layer->labels);
  gint64 most = n ? tess_label_table_peek (layer->labels, n - 1)->value : 0;

  return (int)(CLAMP (most, 0, 65535) / COLOUR_WIDTH) + 1;
}

/* LUTs in rows 0 to TESS_N_LUTS-1, then each label layer's table. Returns the first row of every layer. Values above
 * 65535 share the places of smaller ones, which win. */
static void
update_colours (TessRenderer *renderer, TessLayer *const *layers, guint n, int first_row[], int end_row[])
{
  int row = TESS_N_LUTS;
  guint64 key = 1469598103934665603u;
  g_autofree guint8 *pixels = NULL;

  for (guint i = 0; i < n; i++) {
    first_row[i] = is_label (layers[i]) ? row : (int)layers[i]->lut;
    if (is_label (layers[i]))
      row = MIN (row + label_rows (layers[i]), COLOUR_ROWS);
    end_row[i] = row;
    key = (key ^ (is_label (layers[i]) ? layers[i]->labels_serial : 0)) * 1099511628211u;
  }
  if (renderer->colours && key == renderer->colours_key)
    return;
  renderer->colours_key = key;
  pixels = g_malloc0 ((gsize)row * COLOUR_WIDTH * 4);
  for (int lut = 0; lut < TESS_LUT_LABELS; lut++) {
    guint8 rgba[256][4];

    tess_lut_colours ((TessLut)lut, rgba);
    memcpy (pixels + (gsize)lut * COLOUR_WIDTH * 4, rgba, sizeof rgba);
  }
  for (guint i = 0; i < n; i++)
    for (guint k = is_label (layers[i]) ? tess_label_table_n (layers[i]->labels) : 0; k-- > 0;) {
      const TessLabel *label = tess_label_table_peek (layers[i]->labels, k);
      gint64 value = TESS_PLANE_SLOT (label->value); /* as in the shader */
      gsize at = (gsize)first_row[i] * COLOUR_WIDTH + (gsize)value;

      if (label->value <= 0 || at >= (gsize)end_row[i] * COLOUR_WIDTH ||
          g_hash_table_contains (layers[i]->hidden, GINT_TO_POINTER ((gint32)label->value)))
        continue;
      memcpy (pixels + at * 4, label->rgba, 4);
    }
  if (!renderer->colours)
    glGenTextures (1, &renderer->colours);
  glBindTexture (GL_TEXTURE_2D, renderer->colours);
  glTexParameteri (GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri (GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glPixelStorei (GL_UNPACK_ALIGNMENT, 1);
  glTexImage2D (GL_TEXTURE_2D, 0, GL_RGBA8, COLOUR_WIDTH, row, 0, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
}

static LayerTextures *
layer_textures (TessRenderer *renderer, TessLayer *layer)
{
  LayerTextures *textures = g_hash_table_lookup (renderer->textures, layer);

  if (!textures) {
    textures = g_new0 (LayerTextures, 1);
    g_hash_table_insert (renderer->textures, layer, textures);
  }
  textures->used = renderer->frame;
  return textures;
}

/* Forgets what went wrong earlier, in GTK or in us. */
static void
clear_gl_errors (void)
{
  for (int i = 0; i < 16 && glGetError () != GL_NO_ERROR; i++)
    ;
}

/* Uploads a layer's voxels in their own type, slab by slab, where that has not been done. FALSE when the driver has no
 * room for them. */
static gboolean
upload_volume (TessLayer *layer, LayerTextures *textures)
{
  static const struct {
    GLint internal;
    GLenum format, type;
  } formats[TESS_N_DTYPES] = {
      [TESS_DTYPE_U8] = {GL_R8UI, GL_RED_INTEGER, GL_UNSIGNED_BYTE},
      [TESS_DTYPE_I8] = {GL_R8I, GL_RED_INTEGER, GL_BYTE},
      [TESS_DTYPE_U16] = {GL_R16UI, GL_RED_INTEGER, GL_UNSIGNED_SHORT},
      [TESS_DTYPE_I16] = {GL_R16I, GL_RED_INTEGER, GL_SHORT},
      [TESS_DTYPE_F32] = {GL_R32F, GL_RED, GL_FLOAT},
  };
  const gint64 *dim = tess_volume_dim (layer->volume);
  TessDType dtype = tess_volume_dtype (layer->volume);
  gsize slice = (gsize)(dim[0] * dim[1]) * tess_dtype_size (dtype);

  if (textures->volume && textures->serial == layer->voxels_serial)
    return TRUE;
  clear_gl_errors ();
  if (!textures->volume)
    glGenTextures (1, &textures->volume);
  glBindTexture (GL_TEXTURE_3D, textures->volume);
  glTexParameteri (GL_TEXTURE_3D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri (GL_TEXTURE_3D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glPixelStorei (GL_UNPACK_ALIGNMENT, 1);
  glTexImage3D (GL_TEXTURE_3D, 0, formats[dtype].internal, (GLsizei)dim[0], (GLsizei)dim[1], (GLsizei)dim[2], 0,
                formats[dtype].format, formats[dtype].type, NULL);
  for (gint64 z = 0; z < dim[2]; z += 16) {
    gint64 n = MIN (dim[2] - z, 16);

    glTexSubImage3D (GL_TEXTURE_3D, 0, 0, 0, (GLint)z, (GLsizei)dim[0], (GLsizei)dim[1], (GLsizei)n,
                     formats[dtype].format, formats[dtype].type,
                     (const char *)tess_volume_data (layer->volume) + (gsize)(layer->channel * dim[2] + z) * slice);
  }
  if (glGetError () != GL_NO_ERROR) {
    glDeleteTextures (1, &textures->volume);
    textures->volume = 0;
    textures->no_volume = TRUE;
    return FALSE;
  }
  textures->serial = layer->voxels_serial;
  return TRUE;
}

static gboolean
bind_plane (TessRenderer *renderer, TessLayer *layer, LayerTextures *textures, const TessPane *pane,
            const TessPaneMap *map, GError **error)
{
  PlaneTexture *plane = &textures->planes[pane->plane];
  gsize n = (gsize)pane->width * (gsize)pane->height;
  gint64 readable;

  if (plane->texture && fabs (layer->lower - plane->zero) <= 1e4 * (layer->upper - layer->lower) &&
      plane->serial == layer->voxels_serial && plane->readable == tess_layer_readable (layer) &&
      plane->width == pane->width && plane->height == pane->height && plane->linear == layer->linear &&
      memcmp (&plane->map, map, sizeof *map) == 0) {
    glBindTexture (GL_TEXTURE_2D, plane->texture);
    return TRUE;
  }
  if (renderer->scratch_size < n) {
    free (renderer->scratch);
    renderer->scratch = malloc (n * sizeof (float));
    renderer->scratch_size = renderer->scratch ? n : 0;
    if (!renderer->scratch) {
      g_set_error_literal (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                           _ ("there is no memory left to draw; close something"));
      return FALSE;
    }
  }
  clear_gl_errors ();
  readable = tess_layer_readable (layer);
  if (!plane->texture)
    glGenTextures (1, &plane->texture);
  glBindTexture (GL_TEXTURE_2D, plane->texture);
  glTexParameteri (GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri (GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glPixelStorei (GL_UNPACK_ALIGNMENT, 4);
  if (is_label (layer)) {
    tess_plane_sample_labels (layer, map, pane->width, pane->height, (gint32 *)renderer->scratch);
    tess_plane_mark_edges ((gint32 *)renderer->scratch, pane->width, pane->height);
    glTexImage2D (GL_TEXTURE_2D, 0, GL_R32I, pane->width, pane->height, 0, GL_RED_INTEGER, GL_INT, renderer->scratch);
  } else {
    tess_plane_sample_relative (layer, map, pane->width, pane->height, layer->lower, renderer->scratch);
    glTexImage2D (GL_TEXTURE_2D, 0, GL_R32F, pane->width, pane->height, 0, GL_RED, GL_FLOAT, renderer->scratch);
  }
  if (glGetError () != GL_NO_ERROR) {
    glDeleteTextures (1, &plane->texture);
    plane->texture = 0;
    g_set_error_literal (
        error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
        _ ("the graphics driver has no memory for a picture of this size; make the window smaller or close something"));
    return FALSE;
  }
  plane->readable = readable; /* as it was before: what comes in meanwhile is drawn again */
  plane->map = *map;
  plane->zero = layer->lower;
  plane->width = pane->width;
  plane->height = pane->height;
  plane->linear = layer->linear;
  plane->serial = layer->voxels_serial;
  return TRUE;
}

/* Pane pixel -> voxel index of the layer, in double until the last step. */
static void
set_mapping (const TessShader *program, guint i, const TessLayer *layer, const TessPaneMap *map)
{
  TessAffine inverse;
  double o[3], rounding[3];
  float origin[3], du[3], dv[3], half[3];

  if (!tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return;
  tess_affine_apply (&inverse, map->origin, o);
  tess_layer_rounding (layer, rounding);
  for (int a = 0; a < 3; a++) {
    double u = 0.0, v = 0.0;

    for (int b = 0; b < 3; b++) {
      u += inverse.m[a][b] * map->u[b];
      v += inverse.m[a][b] * map->v[b];
    }
    origin[a] = (float)o[a];
    half[a] = (float)rounding[a];
    du[a] = (float)u;
    dv[a] = (float)v;
  }
  glUniform3fv (program->origin[i], 1, origin);
  glUniform3fv (program->du[i], 1, du);
  glUniform3fv (program->dv[i], 1, dv);
  glUniform3fv (program->half[i], 1, half);
  glUniform2f (program->scaling[i], (float)tess_volume_slope (layer->volume),
               (float)tess_volume_intercept (layer->volume));
}

static gboolean
draw_pane (TessRenderer *renderer, const TessShader *program, const TessScene *scene, TessLayer *const *layers,
           const TessSource *sources, guint n, const int *first_row, const int *end_row, const TessPane *pane,
           int height, gboolean from_top, GError **error)
{
  int y = from_top ? pane->y : height - pane->y - pane->height;
  TessPaneMap map;

  tess_pane_map (pane, scene, &map);
  glViewport (pane->x, y, pane->width, pane->height);
  glUniform4i (program->pane, pane->x, y, pane->width, pane->height);
  glUniform1i (program->from_top, from_top);
  glActiveTexture (GL_TEXTURE0);
  glBindTexture (GL_TEXTURE_2D, renderer->colours);
  glUniform1i (program->colours, 0);
  for (guint i = 0; i < n; i++) {
    TessLayer *layer = layers[i];
    LayerTextures *textures = layer_textures (renderer, layer);
    double zero = 0.0;

    glActiveTexture (GL_TEXTURE1 + i);
    glUniform1i (program->voxels[i], (GLint)(1 + i));
    if (sources[i] >= TESS_SOURCE_VOLUME_FLOAT) {
      glBindTexture (GL_TEXTURE_3D, textures->volume);
      set_mapping (program, i, layer, &map);
    } else {
      if (!bind_plane (renderer, layer, textures, pane, &map, error))
        return FALSE;
      zero = textures->planes[pane->plane].zero;
    }
    glUniform1f (program->opacity[i], (float)layer->opacity);
    glUniform3f (program->window[i], (float)(layer->lower - zero), (float)(1.0 / (layer->upper - layer->lower)),
                 (float)end_row[i]);
    if (is_label (layer))
      glUniform3i (program->style[i], layer->fill, layer->outline ? 1 : 0, first_row[i]);
    else
      glUniform3i (program->style[i], layer->linear, 0, first_row[i]);
  }
  glDrawArrays (GL_TRIANGLES, 0, 3);
  return TRUE;
}

/* llvmpipe generates code only when something is drawn: one pixel of a texture of one voxel. */
void
tess_renderer_warm_up (TessRenderer *renderer)
{
  static const gint64 dim[3] = {1, 1, 1};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessPane pane = {.plane = TESS_PLANE_AXIAL, .width = 1, .height = 1, .zoom = 1.0};
  GLuint framebuffer = 0, colour = 0;
  GLint before = 0;

  if (!volume || !tess_scene_add (scene, volume, "warm up"))
    return;
  glGetIntegerv (GL_DRAW_FRAMEBUFFER_BINDING, &before);
  glGenTextures (1, &colour);
  glBindTexture (GL_TEXTURE_2D, colour);
  glTexImage2D (GL_TEXTURE_2D, 0, GL_RGBA8, 1, 1, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
  glGenFramebuffers (1, &framebuffer);
  glBindFramebuffer (GL_FRAMEBUFFER, framebuffer);
  glFramebufferTexture2D (GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, colour, 0);
  if (glCheckFramebufferStatus (GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE) {
    tess_renderer_draw (renderer, scene, &pane, 1, 1, 1, FALSE, NULL);
    glFinish ();
  }
  glBindFramebuffer (GL_FRAMEBUFFER, (GLuint)before);
  glDeleteFramebuffers (1, &framebuffer);
  glDeleteTextures (1, &colour);
}

static gboolean
unused_cb (gpointer key, gpointer value, gpointer user_data)
{
  return ((LayerTextures *)value)->used != ((TessRenderer *)user_data)->frame;
}

/**
 * tess_renderer_draw:
 *
 * Black where there is nothing. Layers are composed bottom to top, each sampled in its own grid through its own
 * affine; labels are nearest and never blended with each other.
 */
gboolean
tess_renderer_draw (TessRenderer *renderer, const TessScene *scene, const TessPane *panes, guint n_panes, int width,
                    int height, gboolean from_top, GError **error)
{
  TessLayer *layers[TESS_MAX_LAYERS];
  TessSource sources[TESS_MAX_LAYERS];
  TessLut luts[TESS_MAX_LAYERS];
  int first_row[TESS_MAX_LAYERS], end_row[TESS_MAX_LAYERS];
  guint n = 0;
  TessShader *program;

  renderer->frame++;
  glDisable (GL_BLEND);
  glDisable (GL_DEPTH_TEST);
  glDisable (GL_SCISSOR_TEST);
  glViewport (0, 0, width, height);
  glClearColor (0.0f, 0.0f, 0.0f, 1.0f);
  glClear (GL_COLOR_BUFFER_BIT);
  for (guint i = 0; i < scene->layers->len; i++) {
    TessLayer *layer = g_ptr_array_index (scene->layers, i);

    LayerTextures *textures = layer_textures (renderer, layer); /* still there, shown or not */

    if (!layer->visible)
      continue;
    layers[n] = layer;
    luts[n] = layer->lut;
    sources[n] = layer_source (renderer, layer, textures);
    if (sources[n] >= TESS_SOURCE_VOLUME_FLOAT && !upload_volume (layer, textures))
      sources[n] = layer_source (renderer, layer, textures);
    n++;
  }
  g_hash_table_foreach_remove (renderer->textures, unused_cb, renderer);
  if (n == 0)
    return TRUE;
  program = find_program (renderer, sources, luts, n, error);
  if (!program)
    return FALSE;
  update_colours (renderer, layers, n, first_row, end_row);
  glUseProgram (program->program);
  glBindVertexArray (renderer->vertex_array);
  for (guint i = 0; i < n_panes; i++)
    if (panes[i].width > 0 && panes[i].height > 0 &&
        !draw_pane (renderer, program, scene, layers, sources, n, first_row, end_row, &panes[i], height, from_top,
                    error))
      return FALSE;
  glBindVertexArray (0);
  glUseProgram (0);
  glActiveTexture (GL_TEXTURE0);
  return TRUE;
}
