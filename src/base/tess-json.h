#pragma once

#include "tess-error.h"
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Reading: every getter checks presence and type and says `ORIGIN: "name" ...` in its error, where ORIGIN is the
 * file the object came from. _opt: absent (or null) leaves *value untouched and succeeds. */
JsonNode *tess_json_load  (const char *path, GError **error); /* size and nesting checked before parsing */
JsonNode *tess_json_parse (const char *text, gssize n, const char *origin, GError **error);

gboolean tess_json_root    (JsonNode *root, const char *origin, JsonObject **object, GError **error);
gboolean tess_json_string  (JsonObject *o, const char *origin, const char *name, const char **value, GError **error);
gboolean tess_json_int     (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *value, GError **error);
gboolean tess_json_double  (JsonObject *o, const char *origin, const char *name, double *value, GError **error); /* finite */
gboolean tess_json_bool    (JsonObject *o, const char *origin, const char *name, gboolean *value, GError **error);
gboolean tess_json_object  (JsonObject *o, const char *origin, const char *name, JsonObject **value, GError **error);
gboolean tess_json_array   (JsonObject *o, const char *origin, const char *name, JsonArray **value, GError **error);
gboolean tess_json_doubles (JsonObject *o, const char *origin, const char *name, double *values, guint n, GError **error);
gboolean tess_json_ints    (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *values, guint n, GError **error);

gboolean tess_json_string_opt (JsonObject *o, const char *origin, const char *name, const char **value, GError **error);
gboolean tess_json_int_opt    (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *value, GError **error);
gboolean tess_json_double_opt (JsonObject *o, const char *origin, const char *name, double *value, GError **error);
gboolean tess_json_bool_opt   (JsonObject *o, const char *origin, const char *name, gboolean *value, GError **error);
gboolean tess_json_object_opt (JsonObject *o, const char *origin, const char *name, JsonObject **value, GError **error);
gboolean tess_json_array_opt  (JsonObject *o, const char *origin, const char *name, JsonArray **value, GError **error);

/* Writing. */
char    *tess_json_to_text (JsonNode *root, gboolean pretty); /* doubles so that they read back equal; NaN and infinities as null */
gboolean tess_json_save    (const char *path, JsonNode *root, GError **error); /* pretty, atomic */

G_END_DECLS
