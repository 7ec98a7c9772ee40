#include "tess-heads-view-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define CAPTION_WIDTH 128
#define CAPTION_HEIGHT 20
#define TWO_LINES 36 /* the epoch under the name, when two stand side by side */
#define GAP 4
#define MIN_TILE 24

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
    room_y = height - CAPTION_HEIGHT - GAP;
    l->width = MAX ((int)MIN (room_x, room_y / aspect), 1);
    l->height = MAX ((int)(l->width * aspect), 1);
    l->left = (width - l->width) / 2;
    l->top = CAPTION_HEIGHT + (room_y - l->height) / 2;
    return;
  }
  if (l->rows == 0 || l->columns == 0)
    return;
  room_x = (width - CAPTION_WIDTH - GAP) / (int)l->columns - GAP;
  room_y = (height - caption_height (self)) / (int)l->rows - GAP;
  tile = MAX ((int)MIN (room_x, room_y / aspect), MIN_TILE);
  l->width = tile;
  l->height = MAX ((int)(tile * aspect + 0.5), 4);
  l->step_x = l->width + (int)CLAMP (room_x - tile, GAP, 28); /* captions want some room */
  l->step_y = l->height + GAP;
  l->left = CAPTION_WIDTH + MAX (width - CAPTION_WIDTH - (int)l->columns * l->step_x, 0) / 2;
  l->top = caption_height (self) + MAX (height - caption_height (self) - (int)l->rows * l->step_y, 0) / 4;
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

static void
words (TessHeadsView *self, GtkSnapshot *snapshot, const char *text, double x, double y, double width,
       PangoAlignment alignment, double alpha)
{
  g_autoptr (PangoLayout) layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), text);
  g_autoptr (PangoFontDescription) font =
      pango_font_description_copy (pango_context_get_font_description (pango_layout_get_context (layout)));
  GdkRGBA colour;
  int height;

  pango_font_description_set_size (font, (int)(0.82 * pango_font_description_get_size (font)));
  pango_layout_set_font_description (layout, font);
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
  return g_strdup_printf ("%d × %d × %d", (int)level->dim[0], (int)level->dim[1], (int)level->dim[2]);
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
  double middle = l->top + row * l->step_y + l->height / 2.0;

  if (self->unused[row])
    dice = g_strdup (_ ("not in the loss"));
  else if (isfinite (level->dice[0]))
    dice = g_strdup_printf (_ ("Dice %.2f"), level->dice[0]);
  words (self, snapshot, size, 4, l->height >= 32 && dice ? middle - 8 : middle, CAPTION_WIDTH - 8, PANGO_ALIGN_RIGHT,
         0.9);
  if (dice && l->height >= 32)
    words (self, snapshot, dice, 4, middle + 8, CAPTION_WIDTH - 8, PANGO_ALIGN_RIGHT, 0.6);
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
  words (self, snapshot, slice, 4, l.top - caption_height (self) / 2.0, CAPTION_WIDTH - 8, PANGO_ALIGN_RIGHT, 0.9);
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
}

/* R and L beside the picture, where the scan says which is which. */
static void
draw_letters (TessHeadsView *self, GtkSnapshot *snapshot, const TessHeadsLayout *l)
{
  const char *left = self->plane == TESS_HEADS_SAGITTAL ? "A" : self->mirrored ? "L" : "R";
  const char *right = self->plane == TESS_HEADS_SAGITTAL ? "P" : self->mirrored ? "R" : "L";
  double middle = l->top + l->height / 2.0;

  if (!self->now->oriented || l->left < 24)
    return;
  words (self, snapshot, left, l->left - 22, middle, 16, PANGO_ALIGN_RIGHT, 0.9);
  words (self, snapshot, right, l->left + l->width + 6, middle, 16, PANGO_ALIGN_LEFT, 0.9);
}

static void
draw_enlarged (TessHeadsView *self, GtkSnapshot *snapshot)
{
  guint row = (guint)self->focus_row, at = (guint)self->focus_column;
  const TessHeadsTileColumn *column = &g_array_index (self->columns, TessHeadsTileColumn, at);
  g_autofree char *size = level_size (&self->now->levels[row]), *slice = slice_text (self), *title = NULL;
  g_autofree char *caption = g_strdelimit (g_strdup (column->caption), "\n", ' ');
  TessHeadsLayout l;

  tess_heads_view_layout (self, &l);
  title = g_strdup_printf (_ ("%s   %s   %s   Escape returns"), caption, size, slice);
  words (self, snapshot, title, GAP, CAPTION_HEIGHT / 2.0, gtk_widget_get_width (GTK_WIDGET (self)) - 2 * GAP,
         PANGO_ALIGN_CENTER, 0.9);
  gtk_snapshot_append_texture (snapshot, texture_at (self, row, at, l.width, l.height),
                               &GRAPHENE_RECT_INIT ((float)l.left, (float)l.top, (float)l.width, (float)l.height));
  draw_letters (self, snapshot, &l);
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
