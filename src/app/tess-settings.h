#pragma once

#include "tess-hands.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* What Tessera remembers about its user. One object a process, main thread only; where the GSettings schema is not
 * installed it lives in memory for the session. Properties, each saved under its own name:
 *   style            "dark", "light" or "system"
 *   window-width, window-height, window-maximized
 *   show-sidebar, show-inspector
 *   last-model       path of the model chosen last, "" for none
 *   neurological     patient's left on the left of the screen
 *   hands            profile of the mouse on pictures: "radiology", "research" or "slicer"
 *   swap-window-drag the window drag takes the level from the side and the width from up and down */
#define TESS_TYPE_SETTINGS (tess_settings_get_type ())
G_DECLARE_FINAL_TYPE (TessSettings, tess_settings, TESS, SETTINGS, GObject)

TessSettings *tess_settings_get              (void); /* (transfer none) */
gboolean      tess_settings_get_neurological (TessSettings *self);
TessHands     tess_settings_get_hands        (TessSettings *self);
const char   *tess_settings_get_last_model   (TessSettings *self); /* NULL when none */
void          tess_settings_set_last_model   (TessSettings *self, const char *path);
/* FALSE: no schema, so nothing outlives this session. */
gboolean      tess_settings_is_kept          (TessSettings *self);

G_END_DECLS
