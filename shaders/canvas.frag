#version 330 core

/* One pane of the canvas. tess-shader.c puts the layers' functions in the place of @LAYERS@ (layer_0, layer_1, ...,
 * bottom to top) and a line for each of them in the place of @COMPOSE@. */

uniform sampler2D colours; /* LUTs and label tables, 1024 places a row */
uniform ivec4 pane;        /* x, y of its first row in the framebuffer, width, height in device pixels */
uniform bool from_top;     /* the first row is the top one */
out vec4 colour;

@LAYERS@

void
main ()
{
  ivec2 p = ivec2 (gl_FragCoord.xy) - pane.xy;
  vec3 c = vec3 (0.0);
  vec4 l;

  if (!from_top)
    p.y = pane.w - 1 - p.y;
@COMPOSE@
  colour = vec4 (c, 1.0);
}
