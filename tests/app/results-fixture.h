#pragma once

/* A data set of label boxes on disk, and a main loop that turns until something is so. */

#include "tess-volume.h"
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct {
  char *folder, *reference, *prediction, *images;
} ResultsFixture;

/* 12 x 12 x 10 voxels of 1 x 1 x 2 mm; label 1 in x of [2, 2 + n1), label 2 in x of [7, 7 + n2), all in y and z of [2, 6). */
TessVolume *fixture_labels (gint64 n1, gint64 n2);
TessVolume *fixture_scan   (void);
/* labelsTr, imagesTr, dataset.json and predictions of: good (exact), "half, way" (label 1 halved), empty (nothing in
 * either), and one file in each folder without a partner. */
void        results_fixture_init  (ResultsFixture *f);
void        results_fixture_clear (ResultsFixture *f);
/* Turns the main loop until it is so; fails the test after half a minute. */
typedef gboolean (*FixtureCondition) (gpointer data);
void        fixture_wait (FixtureCondition condition, gpointer data);

G_END_DECLS
