#pragma once

#include "tess-label-table.h"
#include <glib-object.h>
#include <math.h>

G_BEGIN_DECLS

/* A row of the label table: a copy of what it shows, made anew whenever that changes. */
#define TESS_TYPE_LABEL_ITEM (tess_label_item_get_type ())
G_DECLARE_FINAL_TYPE (TessLabelItem, tess_label_item, TESS, LABEL_ITEM, GObject)

struct _TessLabelItem {
  GObject  parent_instance;
  gint64   value;
  char    *name;
  guint8   rgba[4];
  double   volume; /* mm^3, NaN while unknown */
  gboolean hidden;
};

TessLabelItem *tess_label_item_new (const TessLabel *label, double volume, gboolean hidden);

G_END_DECLS
