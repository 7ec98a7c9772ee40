#pragma once

/* Private to segmenting and saving. */

#include "tess-segment.h"

G_BEGIN_DECLS

typedef struct _TessSegmentRun TessSegmentRun;

/* Of one window. Layers are known by the serial of their voxels: one may be freed and another made at its address. */
typedef struct {
  TessWindow *window; /* ends with it */
  TessStudy *study;
  TessSegmentRun *run; /* NULL when none is under way */
  guint64 scan;        /* serial of the scan that is open */
  guint64 generation;  /* grows with every other scan: results for an earlier one are dropped */
  GArray *unsaved;     /* guint64: serials of layers made here and not saved */
} TessSegment;

TessSegment *tess_segment_of (TessWindow *window);
TessLayer *tess_segment_find_layer (TessStudy *study, guint64 serial); /* NULL when it is gone */

G_END_DECLS
