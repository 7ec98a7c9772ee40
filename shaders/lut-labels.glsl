vec4
colour_@ (int l)
{
  int row = style_@.z + l / 1024;

  return l >= 0 && row < int (window_@.z) ? texelFetch (colours, ivec2 (l % 1024, row), 0) : vec4 (0.0);
}

vec4
layer_@ (ivec2 p)
{
  bool edge;
  vec4 c = colour_@ (label_@ (p, edge));

  return vec4 (c.rgb, c.a * (style_@.y != 0 && edge ? 1.0 : style_@.x != 0 ? opacity_@ : 0.0));
}
