/* Exact trilinear interpolation of the eight voxels round a point; the hardware's has eight bits of weight. */
float
linear_@ (vec3 q)
{
  ivec3 n = textureSize (voxels_@, 0);
  ivec3 a, b;
  vec3 f;

  q = clamp (q, vec3 (0.0), vec3 (n - 1));
  a = ivec3 (q);
  b = min (a + 1, n - 1);
  f = q - vec3 (a);
#define FETCH(x, y, z) float (texelFetch (voxels_@, ivec3 (x, y, z), 0).r)
  float c00 = mix (FETCH (a.x, a.y, a.z), FETCH (b.x, a.y, a.z), f.x);
  float c10 = mix (FETCH (a.x, b.y, a.z), FETCH (b.x, b.y, a.z), f.x);
  float c01 = mix (FETCH (a.x, a.y, b.z), FETCH (b.x, a.y, b.z), f.x);
  float c11 = mix (FETCH (a.x, b.y, b.z), FETCH (b.x, b.y, b.z), f.x);
#undef FETCH
  return mix (mix (c00, c10, f.y), mix (c01, c11, f.y), f.z);
}

bool
value_@ (ivec2 p, out float v)
{
  vec3 q = index_@ (p);

  v = 0.0;
  if (!inside_@ (q))
    return false;
  v = scaling_@.x * (style_@.x == 0 ? nearest_@ (q) : linear_@ (q)) + scaling_@.y;
  return !isnan (v);
}
