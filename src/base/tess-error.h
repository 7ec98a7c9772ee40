#pragma once

#include <glib.h>
#include <glib/gi18n-lib.h>

G_BEGIN_DECLS

#define TESS_ERROR (tess_error_quark ())

typedef enum {
  TESS_ERROR_FORMAT,      /* a file's contents are not what they claim to be */
  TESS_ERROR_UNSUPPORTED, /* valid, but not something this program or backend does */
  TESS_ERROR_NO_MEMORY,   /* message carries advice: what would fit */
  TESS_ERROR_DEVICE_LOST,
  TESS_ERROR_BAD_SHAPE,
  TESS_ERROR_MISMATCH, /* two things that must agree do not (grids, channels, labels, run and dataset) */
  TESS_ERROR_IO,       /* the operating system refused: missing, permission, disk full */
  TESS_ERROR_CANCELLED,
  TESS_ERROR_USAGE, /* the caller's words are wrong (command line, option value) */
} TessError;

GQuark tess_error_quark (void);

/* "PATH: cannot DOING: reason; what to do"; doing: "open", "read", "write", ... in the infinitive, translated. */
void tess_error_set_errno (GError **error, const char *path, int saved_errno, const char *doing);
/* What n shares of some work, done in parallel, had to say: the first goes to error, the others are freed. TRUE: nothing. */
gboolean tess_error_first (GError *const *errors, gsize n, GError **error);

G_END_DECLS
