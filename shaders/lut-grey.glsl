vec4
layer_@ (ivec2 p)
{
  float v;

  if (!value_@ (p, v))
    return vec4 (0.0);
  return vec4 (vec3 (clamp ((v - window_@.x) * window_@.y, 0.0, 1.0)), opacity_@);
}
