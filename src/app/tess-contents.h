#pragma once

#include "tess-progress.h"
#include <gdk/gdk.h>

G_BEGIN_DECLS

/* One volume that a path holds. Properties: picture (notified when it is there). */
#define TESS_TYPE_CONTENTS_ITEM (tess_contents_item_get_type ())
G_DECLARE_FINAL_TYPE (TessContentsItem, tess_contents_item, TESS, CONTENTS_ITEM, GObject)

struct _TessContentsItem {
  GObject     parent_instance;
  char       *location; /* what to open */
  char       *name;     /* "Thorax 1.0" */
  char       *kind;     /* "CT", "NIfTI"; may be empty */
  char       *detail;   /* "512 x 512 x 300 · int16" */
  char       *preview;  /* location whose middle slice stands for it; NULL: too large to be read for that */
  gboolean    labels;   /* its name says so */
  GdkTexture *picture;  /* of its middle slice; NULL while unknown */
};

/* What a study, a folder or a file with several volumes holds, to choose from. Main thread only. */
#define TESS_TYPE_CONTENTS (tess_contents_get_type ())
G_DECLARE_FINAL_TYPE (TessContents, tess_contents, TESS, CONTENTS, GObject)

/* Looks on a worker. Fails with TESS_ERROR_USAGE for a folder
 * without any volume. What may be one volume only is one item, whatever it is: opening it says more. */
void          tess_contents_look_async  (const char *path, TessProgress *progress, GAsyncReadyCallback callback,
                                         gpointer user_data);
TessContents *tess_contents_look_finish (GAsyncResult *result, GError **error);
/* Is path such that looking is needed before it is opened? Says no for formats of one volume. */
gboolean          tess_contents_needed  (const char *path);
const char       *tess_contents_get_path (TessContents *self);
guint             tess_contents_n       (TessContents *self);
TessContentsItem *tess_contents_nth     (TessContents *self, guint i); /* (transfer none) */
/* Which of those chosen (indices) are opened in which order: the first that is no labels takes the place of the scan, so
 * it comes first. Of TessContentsItem, not owned. */
GPtrArray *tess_contents_order   (TessContents *self, const guint *chosen, guint n);
/* Pictures one after the other on a worker, until they are all there or it is stopped. */
void       tess_contents_start_pictures (TessContents *self);
void       tess_contents_stop_pictures  (TessContents *self);

G_END_DECLS
