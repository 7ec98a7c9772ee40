#include "tess-overlay.h"

#include <math.h>
#include <pango/pangocairo.h>

const char *
tess_plane_name (TessPlane plane)
{
  switch (plane) {
  case TESS_PLANE_AXIAL:
    return _ ("axial");
  case TESS_PLANE_SAGITTAL:
    return _ ("sagittal");
  default:
    return _ ("coronal");
  }
}

/* The plane's colour: its name, its line in the other panes and its slider. */
void
tess_plane_colour (TessPlane plane, double rgb[3])
{
  static const guint32 colours[TESS_N_PLANES] = {0xE06C75, 0xE5C07B, 0x98C379};

  for (int i = 0; i < 3; i++)
    rgb[i] = (double)(colours[plane] >> (16 - 8 * i) & 0xff) / 255.0;
}

/* World millimetres with letters, never with bare signs. */
char *
tess_format_position (const double world[3])
{
  return g_strdup_printf ("%s %.1f  %s %.1f  %s %.1f mm", world[0] < 0.0 ? "L" : "R", fabs (world[0]),
                          world[1] < 0.0 ? "P" : "A", fabs (world[1]), world[2] < 0.0 ? "I" : "S", fabs (world[2]));
}

typedef struct {
  cairo_t *cr;
  PangoLayout *layout;
  const TessOverlay *overlay;
  const TessScene *scene;
  const TessPane *pane;
  double margin;
} Pen;

/* Texts of the same font that come again and again (letters, numbers of slices): their outlines take long to draw. */
#define MOST_TEXTS 512

typedef struct {
  cairo_surface_t *pixels;
  int width, height, halo; /* of the text; the halo lies round it */
} Text;

static void
text_free (Text *text)
{
  cairo_surface_destroy (text->pixels);
  g_free (text);
}

GHashTable *
tess_overlay_texts_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)text_free);
}

static Text *
draw_text (const Pen *pen, const char *string, const double rgb[3])
{
  Text *text = g_new (Text, 1);
  cairo_t *cr;

  pango_layout_set_text (pen->layout, string, -1);
  pango_layout_get_pixel_size (pen->layout, &text->width, &text->height);
  text->halo = (int)ceil (2.0 * pen->overlay->scale) + 1;
  text->pixels =
      cairo_image_surface_create (CAIRO_FORMAT_ARGB32, text->width + 2 * text->halo, text->height + 2 * text->halo);
  cr = cairo_create (text->pixels);
  cairo_move_to (cr, text->halo, text->halo);
  pango_cairo_layout_path (cr, pen->layout);
  cairo_set_source_rgba (cr, 0.0, 0.0, 0.0, 0.8);
  cairo_set_line_width (cr, 3.5 * pen->overlay->scale);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_ROUND);
  cairo_stroke_preserve (cr);
  cairo_set_source_rgb (cr, rgb[0], rgb[1], rgb[2]);
  cairo_fill (cr);
  cairo_destroy (cr);
  return text;
}

/* Text with a dark halo. ax, ay: which point of the text lies at (x,y); 0 left/top, 1 right/bottom. */
static void
put_text (const Pen *pen, const char *string, double x, double y, double ax, double ay, const double rgb[3])
{
  GHashTable *kept = pen->overlay->texts;
  g_autofree char *key = g_strdup_printf ("%g %g %g %g %s", pen->overlay->scale, rgb[0], rgb[1], rgb[2], string);
  Text *text = kept ? g_hash_table_lookup (kept, key) : NULL;

  if (!text) {
    text = draw_text (pen, string, rgb);
    if (kept && g_hash_table_size (kept) >= MOST_TEXTS)
      g_hash_table_remove_all (kept);
    if (kept)
      g_hash_table_insert (kept, g_steal_pointer (&key), text);
  }
  cairo_set_source_surface (pen->cr, text->pixels, floor (x - ax * text->width) - text->halo,
                            floor (y - ay * text->height) - text->halo);
  cairo_pattern_set_filter (cairo_get_source (pen->cr), CAIRO_FILTER_NEAREST);
  cairo_paint (pen->cr);
  if (!kept)
    text_free (text);
}

static const double white[3] = {1.0, 1.0, 1.0};

/* The longest of 1, 2, 5, 10, ... mm that is at most a quarter of the pane. */
static void
draw_scale_bar (const Pen *pen)
{
  const TessPane *p = pen->pane;
  double most = 0.25 * p->width / p->zoom, power, length, x, y;
  g_autofree char *text = NULL;

  if (!(most > 0.0))
    return;
  power = pow (10.0, floor (log10 (most)));
  length = power * (most >= 5.0 * power ? 5.0 : most >= 2.0 * power ? 2.0 : 1.0);
  x = p->x + pen->margin;
  y = p->y + p->height - pen->margin;
  for (int pass = 0; pass < 2; pass++) {
    cairo_set_source_rgba (pen->cr, pass, pass, pass, pass ? 1.0 : 0.8);
    cairo_set_line_width (pen->cr, (pass ? 1.5 : 3.5) * pen->overlay->scale);
    cairo_move_to (pen->cr, x, y);
    cairo_line_to (pen->cr, x + length * p->zoom, y);
    cairo_stroke (pen->cr);
  }
  text = g_strdup_printf ("%g mm", length);
  put_text (pen, text, x, y - 3.0 * pen->overlay->scale, 0.0, 1.0, white);
}

static void
draw_texts (const Pen *pen)
{
  const TessPane *p = pen->pane;
  TessLayer *layer = tess_scene_main (pen->scene);
  const char *letters[4];
  double rgb[3], m = pen->margin;
  g_autofree char *slice = NULL;
  gint64 n, i = tess_pane_slice (pen->scene, p->plane, &n);

  tess_plane_colour (p->plane, rgb);
  slice = g_strdup_printf ("%s  %" G_GINT64_FORMAT " / %" G_GINT64_FORMAT, tess_plane_name (p->plane), i, n);
  put_text (pen, slice, p->x + m, p->y + m, 0.0, 0.0, rgb);
  if (layer && layer->lut != TESS_LUT_LABELS) {
    g_autofree char *window =
        g_strdup_printf ("W %.4g  L %.4g", layer->upper - layer->lower, 0.5 * (layer->upper + layer->lower));

    put_text (pen, window, p->x + p->width - m, p->y + m, 1.0, 0.0, white);
  }
  tess_pane_letters (pen->scene, p->plane, letters);
  put_text (pen, letters[0], p->x + m, p->y + 0.5 * p->height, 0.0, 0.5, white);
  put_text (pen, letters[1], p->x + p->width - m, p->y + 0.5 * p->height, 1.0, 0.5, white);
  put_text (pen, letters[2], p->x + 0.5 * p->width, p->y + m, 0.5, 0.0, white);
  put_text (pen, letters[3], p->x + 0.5 * p->width, p->y + p->height - m, 0.5, 1.0, white);
  draw_scale_bar (pen);
}

/* The other two planes as lines, with a gap round the point itself. */
static void
draw_crosshair (const Pen *pen)
{
  static const TessPlane others[TESS_N_PLANES][2] = {
      [TESS_PLANE_AXIAL] = {TESS_PLANE_SAGITTAL, TESS_PLANE_CORONAL}, /* vertical, horizontal line */
      [TESS_PLANE_SAGITTAL] = {TESS_PLANE_CORONAL, TESS_PLANE_AXIAL},
      [TESS_PLANE_CORONAL] = {TESS_PLANE_SAGITTAL, TESS_PLANE_AXIAL},
  };
  const TessPane *p = pen->pane;
  double x, y, gap = 8.0 * pen->overlay->scale, rgb[3];

  tess_pane_from_world (p, pen->scene, pen->scene->cursor, &x, &y);
  cairo_set_line_width (pen->cr, pen->overlay->scale);
  tess_plane_colour (others[p->plane][0], rgb);
  cairo_set_source_rgba (pen->cr, rgb[0], rgb[1], rgb[2], 0.8);
  cairo_move_to (pen->cr, x, p->y);
  cairo_line_to (pen->cr, x, y - gap);
  cairo_move_to (pen->cr, x, y + gap);
  cairo_line_to (pen->cr, x, p->y + p->height);
  cairo_stroke (pen->cr);
  tess_plane_colour (others[p->plane][1], rgb);
  cairo_set_source_rgba (pen->cr, rgb[0], rgb[1], rgb[2], 0.8);
  cairo_move_to (pen->cr, p->x, y);
  cairo_line_to (pen->cr, x - gap, y);
  cairo_move_to (pen->cr, x + gap, y);
  cairo_line_to (pen->cr, p->x + p->width, y);
  cairo_stroke (pen->cr);
}

/* Adds the outline of the box [lo,hi) (edges of voxels) where it cuts the shown slice to the path. The axis along the
 * normal is taken at the cursor. */
static void
box_path (const Pen *pen, const TessAffine *affine, int axis, double at, const double lo[3], const double hi[3])
{
  int a = axis == 0 ? 1 : 0, b = axis == 2 ? 1 : 2;
  static const int corner[4][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};

  for (int i = 0; i < 4; i++) {
    double p[3], world[3], x, y;

    p[axis] = at;
    p[a] = (corner[i][0] ? hi[a] : lo[a]) - 0.5;
    p[b] = (corner[i][1] ? hi[b] : lo[b]) - 0.5;
    tess_affine_apply (affine, p, world);
    tess_pane_from_world (pen->pane, pen->scene, world, &x, &y);
    if (i == 0)
      cairo_move_to (pen->cr, x, y);
    else
      cairo_line_to (pen->cr, x, y);
  }
  cairo_close_path (pen->cr);
}

/* The index axis of the main layer along the pane's normal. */
static int
normal_axis (const Pen *pen, const TessAffine *affine)
{
  static const char letters[TESS_N_PLANES][3] = {"SI", "RL", "AP"};
  char codes[4];

  tess_affine_orientation (affine, codes);
  for (int k = 0; k < 3; k++)
    if (codes[k] == letters[pen->pane->plane][0] || codes[k] == letters[pen->pane->plane][1])
      return k;
  return 2;
}

static void
draw_grid (const Pen *pen)
{
  const TessOverlay *o = pen->overlay;
  TessLayer *layer = tess_scene_main (pen->scene);
  const TessAffine *affine;
  TessAffine inverse;
  double at[3], lo[3], hi[3];
  int axis, a, b;
  gboolean inside = TRUE;

  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return;
  affine = tess_volume_affine (layer->volume);
  axis = normal_axis (pen, affine);
  a = axis == 0 ? 1 : 0;
  b = axis == 2 ? 1 : 2;
  tess_affine_apply (&inverse, pen->scene->cursor, at);
  cairo_set_line_width (pen->cr, pen->overlay->scale);
  for (guint i = 0; i < o->n_starts[a]; i++)
    for (guint j = 0; j < o->n_starts[b]; j++) {
      lo[axis] = at[axis];
      hi[axis] = at[axis];
      lo[a] = (double)o->starts[a][i];
      hi[a] = lo[a] + (double)o->patch[a];
      lo[b] = (double)o->starts[b][j];
      hi[b] = lo[b] + (double)o->patch[b];
      box_path (pen, affine, axis, at[axis], lo, hi);
    }
  cairo_set_source_rgba (pen->cr, 0.38, 0.69, 0.94, 0.55);
  cairo_stroke (pen->cr);
  for (int k = 0; k < 3; k++) { /* the first patch that holds the cursor */
    gboolean found = FALSE;

    for (guint i = 0; i < o->n_starts[k] && !found; i++) {
      lo[k] = (double)o->starts[k][i];
      hi[k] = lo[k] + (double)o->patch[k];
      found = at[k] >= lo[k] - 0.5 && at[k] < hi[k] - 0.5;
    }
    inside = inside && found;
  }
  if (inside) {
    box_path (pen, affine, axis, at[axis], lo, hi);
    cairo_set_source_rgba (pen->cr, 0.38, 0.69, 0.94, 0.12);
    cairo_fill_preserve (pen->cr);
    cairo_set_source_rgba (pen->cr, 0.38, 0.69, 0.94, 1.0);
    cairo_set_line_width (pen->cr, 1.5 * pen->overlay->scale);
    cairo_stroke (pen->cr);
  }
}

/* Where the slice cuts each finding's sphere: a circle. One that is smaller than the slices are apart, or whose size is
 * not known, is shown in the slice next to it, and none is smaller than can be seen. */
static void
draw_findings (const Pen *pen)
{
  const TessScene *scene = pen->scene;
  double right[3], down[3], normal[3], half_step = 0.5 * tess_pane_step (scene, pen->pane->plane);

  tess_pane_axes (scene, pen->pane->plane, right, down, normal);
  cairo_new_path (pen->cr);
  for (guint i = 0; i < tess_findings_n (scene->findings); i++) {
    const TessFinding *finding = tess_findings_peek (scene->findings, i);
    double radius = isfinite (finding->diameter) ? 0.5 * finding->diameter : 0.0, distance = 0.0, cut, x, y;

    for (int a = 0; a < 3; a++)
      distance += (finding->world[a] - scene->cursor[a]) * normal[a];
    if (!(fabs (distance) <= MAX (radius, half_step)))
      continue;
    tess_pane_from_world (pen->pane, scene, finding->world, &x, &y);
    cut = pen->pane->zoom * sqrt (MAX (radius * radius - distance * distance, 0.0));
    cut = CLAMP (cut, 4.0 * pen->overlay->scale, 1e5);
    if (!(fabs (x) <= 1e6 && fabs (y) <= 1e6)) /* beyond what Cairo's numbers hold */
      continue;
    cairo_new_sub_path (pen->cr);
    cairo_arc (pen->cr, x, y, cut, 0.0, 2.0 * G_PI);
  }
  cairo_set_source_rgba (pen->cr, 0.0, 0.0, 0.0, 0.6);
  cairo_set_line_width (pen->cr, 4.0 * pen->overlay->scale);
  cairo_stroke_preserve (pen->cr);
  cairo_set_source_rgb (pen->cr, 0.776, 0.471, 0.867);
  cairo_set_line_width (pen->cr, 2.0 * pen->overlay->scale);
  cairo_stroke (pen->cr);
}

void
tess_overlay_draw (const TessOverlay *overlay, cairo_t *cr, const TessScene *scene, const TessPane *panes,
                   guint n_panes)
{
  Pen pen = {.cr = cr, .overlay = overlay, .scene = scene, .margin = 8.0 * overlay->scale};
  PangoFontDescription *font = pango_font_description_from_string ("Sans");

  if (scene->layers->len == 0) {
    pango_font_description_free (font);
    return;
  }
  pen.layout = pango_cairo_create_layout (cr);
  pango_font_description_set_absolute_size (font, 12.0 * overlay->scale * PANGO_SCALE);
  pango_layout_set_font_description (pen.layout, font);
  for (guint i = 0; i < n_panes; i++) {
    pen.pane = &panes[i];
    cairo_save (cr);
    cairo_rectangle (cr, panes[i].x, panes[i].y, panes[i].width, panes[i].height);
    cairo_clip (cr);
    if (overlay->grid)
      draw_grid (&pen);
    if (overlay->findings && scene->findings)
      draw_findings (&pen);
    if (overlay->crosshair)
      draw_crosshair (&pen);
    if (overlay->text)
      draw_texts (&pen);
    cairo_restore (cr);
  }
  g_object_unref (pen.layout);
  pango_font_description_free (font);
}
