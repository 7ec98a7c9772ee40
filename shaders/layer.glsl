/* What every layer has; @ stands for its number. p: pixel of the pane, rows downwards. */
uniform @SAMPLER@ voxels_@;
uniform float opacity_@;
uniform vec3 window_@; /* lower end, 1 / width, behind the last row of the label table */
uniform ivec3 style_@; /* interpolate (labels: fill), outline, first row of LUT or label table */
