#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Numbers and units as the user reads them; all return new strings. */
char *tess_format_bytes    (guint64 bytes);   /* "3.1 GB" (10^9) */
char *tess_format_duration (double seconds);  /* "0:41", "1:02:03" */
char *tess_format_dims     (const gint64 *dims, guint n); /* "181 x 217 x 181" */
char *tess_format_exact    (double value);    /* the shortest decimal text that reads back as the same number */
char *tess_format_number   (double value, guint significant); /* "0.8315", C locale, no trailing zeros */

G_END_DECLS
