#pragma once

#include "tess-job.h"
#include "tess-scene.h"

G_BEGIN_DECLS

/* The opened scan with its layers, view and patch grid: the model behind the canvas, the side bar and the inspector of
 * View. Main thread only. Who changes the scene calls the function below that fits, which emits:
 *   "changed"         pixels must be drawn again (window, colours, opacity, cursor, visibility, grid)
 *   "cursor-changed"  the cursor moved (also "changed")
 *   "layers-changed"  layers came, went or changed place (also "changed")
 *   "findings-changed" a table of findings came or went (also "changed")
 *   "active-changed", "surveyed"  see below
 * Properties: title, subtitle (strings for the header), has-image. */
#define TESS_TYPE_STUDY (tess_study_get_type ())
G_DECLARE_FINAL_TYPE (TessStudy, tess_study, TESS, STUDY, GObject)

TessStudy *tess_study_new (void);
TessScene *tess_study_get_scene (TessStudy *self); /* (transfer none) */
const char *tess_study_get_title (TessStudy *self);
const char *tess_study_get_subtitle (TessStudy *self);
gboolean tess_study_get_has_image (TessStudy *self);
const char *tess_study_get_path (TessStudy *self); /* file or folder of the main image, NULL when none */
/* What the readers had to say of the layers' files, a sentence each, with the layer's name before it where there are
 * several layers. (transfer full), NULL-terminated, never NULL */
char **tess_study_dup_notes (TessStudy *self);
gboolean tess_study_is_reading (TessStudy *self); /* what is shown is not whole yet: nothing may be computed from it */
guint64 tess_study_get_serial (TessStudy *self);       /* another one whenever all layers went at once */

typedef enum {
  TESS_OPEN_SCAN,   /* in the place of what is open */
  TESS_OPEN_LABELS, /* over the open scan, which must exist */
  TESS_OPEN_OVER,   /* the same; as labels where the volume is or looks like labels, else as a half clear picture */
  TESS_OPEN_FINDINGS, /* a table of findings, over the open scan */
} TessOpenAs;

/* Reads a location (PATH or PATH::ENTRY) on a worker. name: what the layer is called; NULL: after the file. The job is the
 * caller's to show, and finished here. A later open of a scan voids everything before it; what is asked for over a scan
 * that is still being read waits for it. A scan that takes long is shown while it comes in; should it fail in the end,
 * what was open before is back. */
void tess_study_open_async (TessStudy *self, const char *location, const char *name, TessOpenAs as, TessJob *job,
                            GAsyncReadyCallback callback, gpointer user_data);
gboolean tess_study_open_finish (TessStudy *self, GAsyncResult *result, GError **error);
void tess_study_close (TessStudy *self);

TessLayer *tess_study_add_layer (TessStudy *self, TessVolume *volume, const char *name); /* NULL when full */
void tess_study_remove_layer (TessStudy *self, TessLayer *layer);
/* Takes a layer out but keeps it, so that a toast's Undo can put it back. */
TessLayer *tess_study_steal_layer (TessStudy *self, TessLayer *layer, guint *position);
void tess_study_insert_layer (TessStudy *self, TessLayer *layer, guint position); /* (transfer full) */
void tess_study_discard_layer (TessStudy *self, TessLayer *layer);                /* (transfer full) one taken out */
TessLayer *tess_study_top_labels (TessStudy *self); /* the uppermost label layer, or NULL */
/* The layer that window drags and the inspector are about; "active-changed". An image layer where there is one. */
TessLayer *tess_study_get_active (TessStudy *self);
void tess_study_set_active (TessStudy *self, TessLayer *layer);

/* What a worker found out about a layer; "surveyed" is emitted when it comes in later than the layer. */
typedef struct {
  gint64 value, n_voxels;
  double volume;    /* mm^3 */
  double centre[3]; /* world mm of the label's voxel nearest to its centroid */
} TessLabelFact;

const TessLabelFact *tess_study_peek_labels (TessStudy *self, TessLayer *layer,
                                             guint *n); /* ascending values above 0; NULL while unknown */
const TessLabelFact *tess_study_find_label (TessStudy *self, TessLayer *layer, gint64 value);
void tess_study_get_auto_window (TessStudy *self, TessLayer *layer, double *lower, double *upper);
gboolean tess_study_is_hounsfield (TessStudy *self, TessLayer *layer); /* values look like a CT's */

/* Of the open scan; they go with it. The scene holds them. */
void tess_study_set_findings (TessStudy *self, TessFindings *findings, const char *name); /* NULL: none */
const char *tess_study_get_findings_name (TessStudy *self); /* of their file */

void tess_study_emit_changed (TessStudy *self);
void tess_study_set_cursor (TessStudy *self, const double world[3]);
void tess_study_reset_cursor (TessStudy *self);
void tess_study_scroll (TessStudy *self, int plane, gint64 steps);
void tess_study_set_window (TessStudy *self, TessLayer *layer, double lower, double upper);
void tess_study_set_channel (TessStudy *self, TessLayer *layer, gint64 channel);

/* Patch grid of the main layer: voxels (x,y,z). */
gboolean tess_study_get_grid (TessStudy *self, gint64 patch[3], gint64 stride[3]); /* is it shown */
void tess_study_set_grid (TessStudy *self, gboolean shown, const gint64 patch[3], const gint64 stride[3]);
/* Starts an axis for the overlay, and what the inspector says: number of patches and share of voxels covered. */
gboolean tess_study_peek_grid (TessStudy *self, guint n_starts[3], const gint64 *starts[3], guint64 *n,
                               double *coverage);

G_END_DECLS
