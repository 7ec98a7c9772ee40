#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Bytes this process can still take, control groups counted; root "" (or a folder standing in for /). 0 = unknown. */
guint64 tess_available_memory (const char *root);

G_END_DECLS
