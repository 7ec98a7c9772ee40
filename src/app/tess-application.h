#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

/* The program: command line, one window a process, style, accelerators. */
#define TESS_TYPE_APPLICATION (tess_application_get_type ())
G_DECLARE_FINAL_TYPE (TessApplication, tess_application, TESS, APPLICATION, AdwApplication)

TessApplication *tess_application_new (void);
int              tess_application_run (TessApplication *self, int argc, char **argv);

G_END_DECLS
