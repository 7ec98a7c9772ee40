#pragma once

/* Private to segmenting and saving. */

#include "tess-segment.h"

G_BEGIN_DECLS

typedef struct _TessSegmentRun TessSegmentRun;

/* Of one window. Layers are known by the serial of their voxels: one may be freed and another made at its address. */
typedef struct {
  TessWindow *window;     /* ends with it */
  TessStudy *study;
  TessSegmentRun *run;    /* NULL when none is under way */
  TessSegmentRun *ending; /* cancelled, and its thread still busy with a tile */
  guint64 scan;           /* serial of the scan that is open */
  guint64 generation;     /* grows with every other scan: results for an earlier one are dropped */
  GArray *made;           /* guint64: serials of layers made here */
  GArray *unsaved;        /* those of them that are in no file */
} TessSegment;

TessSegment *tess_segment_of         (TessWindow *window);
TessLayer   *tess_segment_find_layer (TessStudy *study, guint64 serial); /* NULL when it is gone */
/* tess-segment-model.c */
gboolean     tess_segment_look       (const char *model_path, TessStudy *study, char **name, char ***more, GError **error);
void         tess_segment_ask_model  (TessWindow *window);

G_END_DECLS
