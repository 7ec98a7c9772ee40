/* Through a LUT of 256 colours, interpolated between them. */
vec4
layer_@ (ivec2 p)
{
  float v;

  if (!value_@ (p, v))
    return vec4 (0.0);

  float t = 255.0 * clamp ((v - window_@.x) * window_@.y, 0.0, 1.0);
  int a = int (t);
  vec3 low = texelFetch (colours, ivec2 (a, style_@.z), 0).rgb;
  vec3 high = texelFetch (colours, ivec2 (min (a + 1, 255), style_@.z), 0).rgb;

  return vec4 (mix (low, high, t - float (a)), opacity_@);
}
