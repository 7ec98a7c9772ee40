int
label_at_@ (ivec2 p)
{
  vec3 q = index_@ (clamp (p, ivec2 (0), pane.zw - 1));

  if (!inside_@ (q))
    return -1;
  return max (int (floor (scaling_@.x * nearest_@ (q) + scaling_@.y + 0.5)), 0);
}

/* edge: a neighbouring pixel is another label. Large labels share the places of the table: TESS_PLANE_SLOT. */
int
label_@ (ivec2 p, out bool edge)
{
  int l = label_at_@ (p);

  edge = label_at_@ (p + ivec2 (1, 0)) != l || label_at_@ (p - ivec2 (1, 0)) != l ||
         label_at_@ (p + ivec2 (0, 1)) != l || label_at_@ (p - ivec2 (0, 1)) != l;
  return l < 65536 ? l : 1 + l % 65535;
}
