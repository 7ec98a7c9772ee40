#pragma once

#include "tess-run-folder.h"

G_BEGIN_DECLS

/* Removes snapshots of later epochs and what a killed training left under temporary names. */
gboolean tess_run_folder_remove_later (TessRunFolder *run, gint64 epochs, GError **error);

G_END_DECLS
