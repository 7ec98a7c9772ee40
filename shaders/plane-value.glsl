/* Values sampled on the processor, one a pixel; NaN outside of the volume. */
bool
value_@ (ivec2 p, out float v)
{
  v = texelFetch (voxels_@, p, 0).r;
  return !isnan (v);
}
