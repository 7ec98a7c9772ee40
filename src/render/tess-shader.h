#pragma once

/* Private to render: the program that draws a pane, for the layers that lie on it. */

#include "tess-scene.h"

#include <epoxy/gl.h>

G_BEGIN_DECLS

/* How a layer's voxels reach the shader. Planes: sampled on the processor at every pixel, when the volume changed, the
 * slice moved or the view did; window, colours and opacity cost nothing. Volumes: the voxels in their own type as a 3-D
 * texture, sampled by the shader. Software GL draws planes, because there a 3-D texture is only a slow copy. */
typedef enum {
  TESS_SOURCE_PLANE,
  TESS_SOURCE_PLANE_LABEL,
  TESS_SOURCE_VOLUME_FLOAT,
  TESS_SOURCE_VOLUME_INT,
  TESS_SOURCE_VOLUME_UINT,
} TessSource;

/* Uniforms; -1 where the program has no use for one. */
typedef struct {
  GLuint program;
  GLint pane, from_top, colours;
  GLint voxels[TESS_MAX_LAYERS], opacity[TESS_MAX_LAYERS], window[TESS_MAX_LAYERS], style[TESS_MAX_LAYERS];
  GLint origin[TESS_MAX_LAYERS], du[TESS_MAX_LAYERS], dv[TESS_MAX_LAYERS], half[TESS_MAX_LAYERS],
      scaling[TESS_MAX_LAYERS];
} TessShader;

TessShader *tess_shader_new  (const TessSource *sources, const TessLut *luts, guint n, GError **error);
void        tess_shader_free (TessShader *shader);

G_END_DECLS
