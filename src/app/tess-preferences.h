#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

/* Every row changes one property of TessSettings; nothing is there that nothing reads. */
#define TESS_TYPE_PREFERENCES (tess_preferences_get_type ())
G_DECLARE_FINAL_TYPE (TessPreferences, tess_preferences, TESS, PREFERENCES, AdwPreferencesWindow)

GtkWidget *tess_preferences_new (void);

G_END_DECLS
