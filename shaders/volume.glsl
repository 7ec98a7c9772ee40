/* Voxels as a 3-D texture in the type they are stored in; q: voxel index. */
uniform vec3 origin_@, du_@, dv_@; /* pixel -> voxel index */
uniform vec3 half_@;               /* tess_layer_rounding() */
uniform vec2 scaling_@;            /* slope, intercept */

vec3
index_@ (ivec2 p)
{
  return origin_@ + float (p.x) * du_@ + float (p.y) * dv_@;
}

bool
inside_@ (vec3 q)
{
  return all (greaterThanEqual (q, -half_@)) && all (lessThan (q, vec3 (textureSize (voxels_@, 0)) - half_@));
}

float
nearest_@ (vec3 q)
{
  ivec3 n = textureSize (voxels_@, 0);

  return float (texelFetch (voxels_@, clamp (ivec3 (floor (q + half_@)), ivec3 (0), n - 1), 0).r);
}
