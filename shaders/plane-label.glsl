/* Places in the label table sampled on the processor, with TESS_PLANE_EDGE; negative outside of the volume. */
int
label_@ (ivec2 p, out bool edge)
{
  int s = texelFetch (voxels_@, p, 0).r;

  edge = s >= 0x1000000;
  return s < 0 ? s : s & 0xffffff;
}
