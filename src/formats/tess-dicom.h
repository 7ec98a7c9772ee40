#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

/* A file, a folder of files, a tree of folders or a DICOMDIR; entries are its series. Read only. */
extern const TessFormat tess_format_dicom;

G_END_DECLS
