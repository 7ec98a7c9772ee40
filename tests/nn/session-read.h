#pragma once

#include "tess-session.h"

G_BEGIN_DECLS

/* What tests ask of a session. */

/* Room for the numbers of every parameter, an array each. */
GPtrArray *session_params_new    (TessSession *session);
/* ... with what they are now; NULL where the backend fails. */
GPtrArray *session_params        (TessSession *session, TessState state, GError **error);
/* All of them one after the other, to the end of an array of float. */
gboolean   session_append_params (TessSession *session, GArray *all, GError **error);
/* Over all heads, as the last run of the program saw it. */
gboolean   session_loss          (TessSession *session, int program, const TessStepArgs *args, double *loss, GError **error);

G_END_DECLS
