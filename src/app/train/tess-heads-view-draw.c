#include "tess-heads-view-private.h"

#include "tess-format.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define CAPTION_WIDTH 144
#define CAPTION_HEIGHT 20
#define TWO_LINES 36 /* the epoch under the name, when two stand side by side */
#define GAP 4
#define MIN_TILE 24
#define FOOT_HEIGHT 20 /* what is under the pointer */

static int
caption_height (TessHeadsView *self)
{
  return self->then && !self->enlarged ? TWO_LINES : CAPTION_HEIGHT;
}

/* Pictures are as large as rows and columns let them be, all alike; the grid stands in the middle of what is left. */
void
tess_heads_view_layout (TessHeadsView *self, TessHeadsLayout *l)
{
  int width = gtk_widget_get_width (GTK_WIDGET (self)), height = gtk_widget_get_height (GTK_WIDGET (self));
  double aspect = self->now ? tess_heads_aspect (self->now, self->plane) : 1.0;
  int room_x, room_y, tile;

  *l = (TessHeadsLayout){.rows = self->now ? self->now->n_levels : 0, .columns = self->columns->len};
  if (self->enlarged) {
    room_x = width - 2 * GAP;
    room_y = height - CAPTION_HEIGHT - FOOT_HEIGHT - GAP;
    l->width = MAX ((int)MIN (room_x, room_y / aspect), 1);
    l->height = MAX ((int)(l->width * aspect), 1);
    l->left = (width - l->width) / 2;
    l->top = CAPTION_HEIGHT + (room_y - l->height) / 2;
    return;
  }
  if (l->rows == 0 || l->columns == 0)
    return;
  room_x = (width - CAPTION_WIDTH - GAP) / (int)l->columns - GAP;
  room_y = (height - caption_height (self) - FOOT_HEIGHT) / (int)l->rows - GAP;
  tile = MAX ((int)MIN (room_x, room_y / aspect), MIN_TILE);
  l->width = tile;
  l->height = MAX ((int)(tile * aspect + 0.5), 4);
  l->step_x = l->width + (int)CLAMP (room_x - tile, GAP, 28); /* captions want some room */
  l->step_y = l->height + GAP;
  l->left = CAPTION_WIDTH + MAX (width - CAPTION_WIDTH - (int)l->columns * l->step_x, 0) / 2;
  l->top = caption_height (self) + MAX (height - caption_height (self) - FOOT_HEIGHT - (int)l->rows * l->step_y, 0) / 3;
}

/* Which picture, and where on it. */
gboolean
tess_heads_view_pick (TessHeadsView *self, double x, double y, int *row, int *column, double *across, double *down)
{
  TessHeadsLayout l;

  if (!self->now || self->columns->len == 0)
    return FALSE;
  tess_heads_view_layout (self, &l);
  x -= l.left;
  y -= l.top;
  if (x < 0.0 || y < 0.0)
    return FALSE;
  *column = self->enlarged ? self->focus_column : (int)x / l.step_x;
  *row = self->enlarged ? self->focus_row : (int)y / l.step_y;
  if (*column >= (int)l.columns || *row >= (int)l.rows)
    return FALSE;
  *across = (self->enlarged ? x : x - *column * l.step_x) / l.width;
  *down = (self->enlarged ? y : y - *row * l.step_y) / l.height;
  return *across < 1.0 && *down < 1.0;
}

gint64
tess_heads_view_slice (TessHeadsView *self)
{
  gint64 n = tess_heads_n_slices (self->now, self->plane);

  return CLAMP ((gint64)floor (self->place * (double)n), 0, n - 1);
}

static GdkTexture *
make_texture (TessHeadsView *self, guint level, const TessHeadsTileColumn *column, int width, int height)
{
  TessHeadsData *data = column->then && self->then ? self->then : self->now;
  gsize n = (gsize)width * (gsize)height * 4;
  guint32 *pixels = g_malloc (n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (pixels, n);

  tess_heads_paint (data, level, column->what, column->klass, self->plane, tess_heads_view_slice (self), self->mirrored,
                    (const guint8 (*)[3])self->rgb, width, height, pixels);
#if G_BYTE_ORDER == G_LITTLE_ENDIAN
  return gdk_memory_texture_new (width, height, GDK_MEMORY_B8G8R8A8_PREMULTIPLIED, bytes, (gsize)width * 4);
#else
  return gdk_memory_texture_new (width, height, GDK_MEMORY_A8R8G8B8_PREMULTIPLIED, bytes, (gsize)width * 4);
#endif
}

/* The texture of a picture at the device's own pixels, made when it is missing. */
static GdkTexture *
texture_at (TessHeadsView *self, guint level, guint column, int width, int height)
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  guint at = level * self->columns->len + column;
  GdkTexture *texture;

  if (width != self->tile_width || height != self->tile_height || scale != self->scale ||
      self->textures->len != self->now->n_levels * self->columns->len) {
    self->tile_width = width;
    self->tile_height = height;
    self->scale = scale;
    g_ptr_array_set_size (self->textures, 0);
    g_ptr_array_set_size (self->textures, (int)(self->now->n_levels * self->columns->len));
  }
  texture = g_ptr_array_index (self->textures, at);
  if (!texture) {
    texture = make_texture (self, level, &g_array_index (self->columns, TessHeadsTileColumn, column), width * scale,
                            height * scale);
    g_ptr_array_index (self->textures, at) = texture;
  }
  return texture;
}

/* ---- words ---- */

static PangoLayout *
small_layout (TessHeadsView *self, const char *text)
{
  PangoLayout *layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), text);
  g_autoptr (PangoFontDescription) font =
      pango_font_description_copy (pango_context_get_font_description (pango_layout_get_context (layout)));

  pango_font_description_set_size (font, (int)(0.82 * pango_font_description_get_size (font)));
  pango_layout_set_font_description (layout, font);
  return layout;
}

static void
words (TessHeadsView *self, GtkSnapshot *snapshot, const char *text, double x, double y, double width,
       PangoAlignment alignment, double alpha)
{
  g_autoptr (PangoLayout) layout = small_layout (self, text);
  GdkRGBA colour;
  int height;

  pango_layout_set_width (layout, (int)(width * PANGO_SCALE));
  pango_layout_set_ellipsize (layout, PANGO_ELLIPSIZE_END);
  pango_layout_set_alignment (layout, alignment);
  pango_layout_get_pixel_size (layout, NULL, &height);
  gtk_style_context_get_color (gtk_widget_get_style_context (GTK_WIDGET (self)), &colour);
  colour.alpha *= (float)alpha;
  gtk_snapshot_save (snapshot);
  gtk_snapshot_translate (snapshot, &GRAPHENE_POINT_INIT ((float)x, (float)(y - height / 2.0)));
  gtk_snapshot_append_layout (snapshot, layout, &colour);
  gtk_snapshot_restore (snapshot);
}

static char *
level_size (const TessHeadsLevel *level)
{
  return tess_format_dims (level->dim, 3);
}

static char *
slice_text (TessHeadsView *self)
{
  return g_strdup_printf (_ ("slice %d / %d"), (int)tess_heads_view_slice (self) + 1,
                          (int)tess_heads_n_slices (self->now, self->plane));
}

static void
draw_row_caption (TessHeadsView *self, GtkSnapshot *snapshot, const TessHeadsLayout *l, guint row)
{
  const TessHeadsLevel *level = &self->now->levels[row];
  g_autofree char *size = level_size (level), *dice = NULL;
  double middle = l->top + row * l->step_y + l->height / 2.0, left = l->left - CAPTION_WIDTH;

  if (self->unused[row])
    dice = g_strdup (_ ("not in the loss"));
  else if (self->then && isfinite (self->then->levels[row].dice[0]) && isfinite (level->dice[0]))
    dice = g_strdup_printf (_ ("Dice %.2f → %.2f"), self->then->levels[row].dice[0], level->dice[0]);
  else if (isfinite (level->dice[0]))
    dice = g_strdup_printf (_ ("Dice %.2f"), level->dice[0]);
  words (self, snapshot, size, left, l->height >= 32 && dice ? middle - 8 : middle, CAPTION_WIDTH - 8,
         PANGO_ALIGN_RIGHT, 0.9);
  if (dice && l->height >= 32)
    words (self, snapshot, dice, left, middle + 8, CAPTION_WIDTH - 8, PANGO_ALIGN_RIGHT, 0.65);
}

/* A letter on a picture: white with a dark halo, so that it is read on any ground. */
static void
draw_letter (TessHeadsView *self, GtkSnapshot *snapshot, const char *letter, double x, double y)
{
  const GdkRGBA black = {0.0f, 0.0f, 0.0f, 0.8f}, white = {1.0f, 1.0f, 1.0f, 1.0f};
  g_autoptr (PangoLayout) layout = small_layout (self, letter);
  int width, height;

  pango_layout_get_pixel_size (layout, &width, &height);
  for (int i = 0; i < 5; i++) {
    double dx = i == 0 ? -1.0 : i == 1 ? 1.0 : 0.0, dy = i == 2 ? -1.0 : i == 3 ? 1.0 : 0.0;

    gtk_snapshot_save (snapshot);
    gtk_snapshot_translate (snapshot,
                            &GRAPHENE_POINT_INIT ((float)(x + dx - width / 2.0), (float)(y + dy - height / 2.0)));
    gtk_snapshot_append_layout (snapshot, layout, i < 4 ? &black : &white);
    gtk_snapshot_restore (snapshot);
  }
}

/* R and L at the edges of a picture, where the scan says which is which. */
static void
draw_letters (TessHeadsView *self, GtkSnapshot *snapshot, const graphene_rect_t *picture)
{
  const char *left = self->plane == TESS_HEADS_SAGITTAL ? "A" : self->mirrored ? "L" : "R";
  const char *right = self->plane == TESS_HEADS_SAGITTAL ? "P" : self->mirrored ? "R" : "L";
  double middle = picture->origin.y + picture->size.height / 2.0;

  if (!self->now->oriented || picture->size.width < 48.0f)
    return;
  draw_letter (self, snapshot, left, picture->origin.x + 8.0, middle);
  draw_letter (self, snapshot, right, picture->origin.x + picture->size.width - 8.0, middle);
}

/* ---- what is under the pointer ---- */

/* The voxel of every picture that is where the pointer is, framed. */
static void
draw_point (TessHeadsView *self, GtkSnapshot *snapshot, guint row, const graphene_rect_t *bounds)
{
  const float outer_width[4] = {1, 1, 1, 1};
  const GdkRGBA white = {1.0f, 1.0f, 1.0f, 0.9f}, black = {0.0f, 0.0f, 0.0f, 0.6f};
  const GdkRGBA whites[4] = {white, white, white, white}, blacks[4] = {black, black, black, black};
  graphene_rect_t voxel, around;
  GskRoundedRect outline;
  gint64 columns, rows;
  float w, h;

  tess_heads_extent (self->now, row, self->plane, &columns, &rows);
  w = bounds->size.width / (float)columns;
  h = bounds->size.height / (float)rows;
  graphene_rect_init (&voxel, roundf (bounds->origin.x + w * floorf ((float)(self->point_x * (double)columns)) - 1.0f),
                      roundf (bounds->origin.y + h * floorf ((float)(self->point_y * (double)rows)) - 1.0f),
                      roundf (w) + 2.0f, roundf (h) + 2.0f);
  gsk_rounded_rect_init_from_rect (&outline, &voxel, 0.0f);
  gtk_snapshot_append_border (snapshot, &outline, outer_width, whites);
  graphene_rect_inset_r (&voxel, -1.0f, -1.0f, &around);
  gsk_rounded_rect_init_from_rect (&outline, &around, 0.0f);
  gtk_snapshot_append_border (snapshot, &outline, outer_width, blacks);
}

static const char *
class_name (TessHeadsView *self, guint8 c)
{
  return c == 0 || c >= self->n_classes ? _ ("background") : self->names[c];
}

/* "voxel 12, 9, 4 of 28 x 24 x 20   truth organ   prediction vessel   p(organ) 0.31   p(vessel) 0.60" */
static char *
point_text (TessHeadsView *self)
{
  const TessHeadsTileColumn *column =
      &g_array_index (self->columns, TessHeadsTileColumn, MIN ((guint)self->point_column, self->columns->len - 1));
  const TessHeadsData *data = column->then && self->then ? self->then : self->now;
  guint row = (guint)self->point_row;
  const TessHeadsLevel *level;
  g_autofree char *size = NULL;
  GString *t;
  gint64 at[3];
  gsize i;

  if (row >= data->n_levels)
    return g_strdup ("");
  level = &data->levels[row];
  size = level_size (level);
  i = tess_heads_voxel (data, row, self->plane, tess_heads_view_slice (self), self->mirrored, self->point_x,
                        self->point_y, at);
  t = g_string_new (NULL);
  g_string_append_printf (t, _ ("voxel %d, %d, %d of %s"), (int)at[0] + 1, (int)at[1] + 1, (int)at[2] + 1, size);
  g_string_append_printf (t, _ ("   truth %s"), class_name (self, level->truth[i]));
  g_string_append_printf (t, _ ("   prediction %s"), class_name (self, level->prediction[i]));
  for (guint c = 1; c < self->n_classes && c < data->n_classes; c++)
    if (self->shown[c])
      g_string_append_printf (t, "   p(%s) %.2f", self->names[c], level->p[c][i] / 255.0);
  if (self->then)
    g_string_append_printf (t, _ ("   epoch %d"), (int)data->epoch);
  return g_string_free (t, FALSE);
}

static void
draw_point_text (TessHeadsView *self, GtkSnapshot *snapshot)
{
  int width = gtk_widget_get_width (GTK_WIDGET (self)), height = gtk_widget_get_height (GTK_WIDGET (self));
  g_autofree char *text = NULL;

  if (!self->pointed)
    return;
  text = point_text (self);
  words (self, snapshot, text, GAP, height - FOOT_HEIGHT / 2.0, width - 2 * GAP, PANGO_ALIGN_CENTER, 0.9);
}

static void
draw_focus (TessHeadsView *self, GtkSnapshot *snapshot, const graphene_rect_t *bounds)
{
  GskRoundedRect outline;
  const float width[4] = {2, 2, 2, 2};
  GdkRGBA accent = {0.47f, 0.68f, 0.93f, 1.0f};
  const GdkRGBA colours[4] = {accent, accent, accent, accent};
  graphene_rect_t around;

  graphene_rect_inset_r (bounds, -2.0f, -2.0f, &around);
  gsk_rounded_rect_init_from_rect (&outline, &around, 0.0f);
  gtk_snapshot_append_border (snapshot, &outline, width, colours);
}

static void
draw_tile (TessHeadsView *self, GtkSnapshot *snapshot, const TessHeadsLayout *l, guint row, guint column)
{
  GdkTexture *texture = texture_at (self, row, column, l->width, l->height);
  graphene_rect_t bounds =
      GRAPHENE_RECT_INIT ((float)(l->left + (int)column * l->step_x), (float)(l->top + (int)row * l->step_y),
                          (float)l->width, (float)l->height);

  gtk_snapshot_append_texture (snapshot, texture, &bounds);
  if (row == 0 && column == 0)
    draw_letters (self, snapshot, &bounds);
  if (self->pointed)
    draw_point (self, snapshot, row, &bounds);
  if (gtk_widget_has_visible_focus (GTK_WIDGET (self)) && (int)row == self->focus_row &&
      (int)column == self->focus_column)
    draw_focus (self, snapshot, &bounds);
}

static void
draw_grid (TessHeadsView *self, GtkSnapshot *snapshot)
{
  g_autofree char *slice = slice_text (self);
  TessHeadsLayout l;

  tess_heads_view_layout (self, &l);
  words (self, snapshot, slice, l.left - CAPTION_WIDTH, l.top - caption_height (self) / 2.0, CAPTION_WIDTH - 8,
         PANGO_ALIGN_RIGHT, 0.9);
  for (guint c = 0; c < l.columns; c++) {
    const TessHeadsTileColumn *column = &g_array_index (self->columns, TessHeadsTileColumn, c);
    double excess = MIN (l.step_x - l.width, 28);

    words (self, snapshot, column->caption, l.left + (int)c * l.step_x - excess / 2.0,
           l.top - caption_height (self) / 2.0, l.width + excess, PANGO_ALIGN_CENTER, column->then ? 1.0 : 0.75);
  }
  for (guint r = 0; r < l.rows; r++) {
    draw_row_caption (self, snapshot, &l, r);
    for (guint c = 0; c < l.columns; c++)
      draw_tile (self, snapshot, &l, r, c);
  }
  draw_point_text (self, snapshot);
}

static void
draw_enlarged (TessHeadsView *self, GtkSnapshot *snapshot)
{
  guint row = (guint)self->focus_row, at = (guint)self->focus_column;
  const TessHeadsTileColumn *column = &g_array_index (self->columns, TessHeadsTileColumn, at);
  g_autofree char *size = level_size (&self->now->levels[row]), *slice = slice_text (self), *title = NULL;
  g_autofree char *caption = g_strdelimit (g_strdup (column->caption), "\n", ' ');
  graphene_rect_t bounds;
  TessHeadsLayout l;

  tess_heads_view_layout (self, &l);
  graphene_rect_init (&bounds, (float)l.left, (float)l.top, (float)l.width, (float)l.height);
  title = g_strdup_printf (_ ("%s   %s   %s   Escape returns"), caption, size, slice);
  words (self, snapshot, title, GAP, CAPTION_HEIGHT / 2.0, gtk_widget_get_width (GTK_WIDGET (self)) - 2 * GAP,
         PANGO_ALIGN_CENTER, 0.9);
  gtk_snapshot_append_texture (snapshot, texture_at (self, row, at, l.width, l.height), &bounds);
  if (self->pointed)
    draw_point (self, snapshot, row, &bounds);
  draw_letters (self, snapshot, &bounds);
  draw_point_text (self, snapshot);
}

void
tess_heads_view_draw (TessHeadsView *self, GtkSnapshot *snapshot)
{
  int width = gtk_widget_get_width (GTK_WIDGET (self)), height = gtk_widget_get_height (GTK_WIDGET (self));

  gtk_snapshot_push_clip (snapshot, &GRAPHENE_RECT_INIT (0, 0, (float)width, (float)height));
  if (!self->now || self->columns->len == 0)
    words (self, snapshot, self->message ? self->message : "", 12, height / 2.0, width - 24, PANGO_ALIGN_CENTER, 0.6);
  else if (self->enlarged)
    draw_enlarged (self, snapshot);
  else
    draw_grid (self, snapshot);
  gtk_snapshot_pop (snapshot);
}
