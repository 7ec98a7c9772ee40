#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Names and colours of label values; ref-counted, immutable after it is shared. Sorted by value. */
typedef struct {
  gint64 value;
  char  *name;
  guint8 rgba[4];
} TessLabel;

/* Several labels taken together: "whole tumor" is 1, 2 and 3. No voxel has a region for its value; regions overlap. */
typedef struct {
  char   *name;
  gint64 *values; /* as they were given */
  guint   n_values;
} TessLabelRegion;

typedef struct _TessLabelTable TessLabelTable;

TessLabelTable  *tess_label_table_new     (void);
TessLabelTable  *tess_label_table_ref     (TessLabelTable *table);
void             tess_label_table_unref   (TessLabelTable *table);
void             tess_label_table_add     (TessLabelTable *table, gint64 value, const char *name, const guint8 *rgba); /* rgba NULL = next distinct colour */
guint            tess_label_table_n       (TessLabelTable *table);
const TessLabel *tess_label_table_peek    (TessLabelTable *table, guint index);
const TessLabel *tess_label_table_find    (TessLabelTable *table, gint64 value); /* NULL when absent */

void                   tess_label_table_add_region  (TessLabelTable *table, const char *name, const gint64 *values, guint n_values);
guint                  tess_label_table_n_regions   (TessLabelTable *table);
const TessLabelRegion *tess_label_table_peek_region (TessLabelTable *table, guint index);
const TessLabelRegion *tess_label_table_find_region (TessLabelTable *table, const char *name); /* NULL when absent */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLabelTable, tess_label_table_unref)

G_END_DECLS
