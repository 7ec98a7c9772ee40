#pragma once

#include "tess-volume.h"
#include <gdk/gdk.h>

G_BEGIN_DECLS

/* Small pictures of scans opened before, in the user's cache folder. */
#define TESS_THUMBNAIL_SIZE 112

/* The middle axial slice, windowed like a scan just opened; any thread. NULL when it cannot be drawn. */
GdkTexture *tess_thumbnail_draw (TessVolume *volume);
char *tess_thumbnail_path (const char *scan); /* where it is, if there is one */
/* Draws the middle axial slice on a worker and keeps it; nobody is told when that fails. */
void  tess_thumbnail_keep (const char *scan, TessVolume *volume);

G_END_DECLS
