#include "tess-label-item.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (TessLabelItem, tess_label_item, G_TYPE_OBJECT)

static void
tess_label_item_finalize (GObject *object)
{
  g_free (TESS_LABEL_ITEM (object)->name);
  G_OBJECT_CLASS (tess_label_item_parent_class)->finalize (object);
}

static void
tess_label_item_class_init (TessLabelItemClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tess_label_item_finalize;
}

static void
tess_label_item_init (TessLabelItem *self)
{
}

TessLabelItem *
tess_label_item_new (const TessLabel *label, double volume, gboolean hidden)
{
  TessLabelItem *self = g_object_new (TESS_TYPE_LABEL_ITEM, NULL);

  self->value = label->value;
  self->name = g_strdup (label->name);
  memcpy (self->rgba, label->rgba, 4);
  self->volume = volume;
  self->hidden = hidden;
  return self;
}
