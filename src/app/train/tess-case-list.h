#pragma once

#include "tess-train-work.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The cases of a dataset: id, voxels, spacing, and a mark once a case has been read and found in order. */
#define TESS_TYPE_CASE_LIST (tess_case_list_get_type ())
G_DECLARE_FINAL_TYPE (TessCaseList, tess_case_list, TESS, CASE_LIST, GtkWidget)

GtkWidget *tess_case_list_new (void);
void tess_case_list_set_cases (TessCaseList *self, const GArray *cases); /* TessCaseLook */
void tess_case_list_set_checked (TessCaseList *self, guint n);           /* the first n */
void tess_case_list_set_failed (TessCaseList *self, guint index);

G_END_DECLS
