#pragma once

#include "tess-heads-view.h"

G_BEGIN_DECLS

typedef struct {
  TessHeadsColumn what;
  guint klass;
  gboolean then; /* of the earlier epoch */
  char *caption;
} TessHeadsTileColumn;

struct _TessHeadsView {
  GtkWidget parent_instance;

  TessHeadsData *now, *then;
  guint n_classes;
  char **names;
  guint8 (*rgb)[3];
  gboolean unused[TESS_MAX_HEADS]; /* heads that are not in the loss */
  gboolean *shown;                 /* [n_classes]: its probability has a column */

  TessHeadsPlane plane;
  double place; /* of the slice: (slice + 0.5) / n, so that it survives a change of plane or patch */
  gboolean mirrored;
  char *message;

  GArray *columns;                    /* TessHeadsTileColumn */
  GPtrArray *textures;                /* GdkTexture or NULL, [level][column] */
  int tile_width, tile_height, scale; /* what the textures are made for */
  int focus_row, focus_column;
  gboolean enlarged;
  gboolean pointed; /* the pointer is on a picture: */
  int point_row, point_column;
  double point_x, point_y; /* where, [0, 1) across and down */
  double wheel;
};

/* Where things are, widget coordinates. */
typedef struct {
  int left, top;                     /* of the first picture */
  int width, height, step_x, step_y; /* of a picture; from one to the next */
  guint rows, columns;
} TessHeadsLayout;

gboolean tess_heads_view_pick (TessHeadsView *self, double x, double y, int *row, int *column, double *across,
                               double *down);
void tess_heads_view_layout (TessHeadsView *self, TessHeadsLayout *layout);
gint64 tess_heads_view_slice (TessHeadsView *self);
void tess_heads_view_draw (TessHeadsView *self, GtkSnapshot *snapshot);

G_END_DECLS
