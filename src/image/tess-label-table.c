#include "tess-label-table.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct _TessLabelTable {
  atomic_int refs;
  GPtrArray *labels;  /* TessLabel, ascending values */
  GPtrArray *regions; /* TessLabelRegion, in the order in which they were added */
};

static void
label_free (gpointer data)
{
  TessLabel *label = data;

  g_free (label->name);
  g_free (label);
}

static void
region_free (gpointer data)
{
  TessLabelRegion *region = data;

  g_free (region->name);
  g_free (region->values);
  g_free (region);
}

TessLabelTable *
tess_label_table_new (void)
{
  TessLabelTable *table = g_new0 (TessLabelTable, 1);

  atomic_init (&table->refs, 1);
  table->labels = g_ptr_array_new_with_free_func (label_free);
  table->regions = g_ptr_array_new_with_free_func (region_free);
  return table;
}

TessLabelTable *
tess_label_table_ref (TessLabelTable *table)
{
  atomic_fetch_add_explicit (&table->refs, 1, memory_order_relaxed);
  return table;
}

void
tess_label_table_unref (TessLabelTable *table)
{
  if (!table || atomic_fetch_sub_explicit (&table->refs, 1, memory_order_acq_rel) != 1)
    return;
  g_ptr_array_unref (table->labels);
  g_ptr_array_unref (table->regions);
  g_free (table);
}

/* Colour number i. First those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision
 * tell apart, without their black; then hues a golden angle apart, so that neighbouring values differ most, in rings
 * of brightness and saturation. */
static void
distinct_colour (guint i, guint8 rgba[4])
{
  static const guint8 okabe_ito[7][3] = {{0xe6, 0x9f, 0x00}, {0x56, 0xb4, 0xe9}, {0x00, 0x9e, 0x73}, {0xf0, 0xe4, 0x42},
                                         {0x00, 0x72, 0xb2}, {0xd5, 0x5e, 0x00}, {0xcc, 0x79, 0xa7}};
  guint later = i - G_N_ELEMENTS (okabe_ito);
  double hue = fmod ((double)later * 0.618033988749895, 1.0) * 6.0;
  double value = (later / 8) % 2 ? 0.72 : 0.96, saturation = (later / 16) % 2 ? 0.5 : 0.78;

  rgba[3] = 255;
  if (i < G_N_ELEMENTS (okabe_ito)) {
    memcpy (rgba, okabe_ito[i], sizeof okabe_ito[i]);
    return;
  }
  for (int c = 0; c < 3; c++) {
    double k = fmod ((c == 0 ? 5.0 : c == 1 ? 3.0 : 1.0) + hue, 6.0);
    double level = value - value * saturation * CLAMP (MIN (k, 4.0 - k), 0.0, 1.0);

    rgba[c] = (guint8)(level * 255.0 + 0.5);
  }
}

/* Index of the first label whose value is not below @value. */
static guint
lower_bound (TessLabelTable *table, gint64 value)
{
  guint lo = 0, hi = table->labels->len;

  while (lo < hi) {
    guint mid = lo + (hi - lo) / 2;
    const TessLabel *label = g_ptr_array_index (table->labels, mid);

    if (label->value < value)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

/* A value that is there already gets the new name and colour. Value 0 without a colour is transparent: background. */
void
tess_label_table_add (TessLabelTable *table, gint64 value, const char *name, const guint8 *rgba)
{
  guint at = lower_bound (table, value);
  TessLabel *label;

  if (at < table->labels->len && ((TessLabel *)g_ptr_array_index (table->labels, at))->value == value) {
    label = g_ptr_array_index (table->labels, at);
    g_free (label->name);
  } else {
    label = g_new0 (TessLabel, 1);
    label->value = value;
    if (!rgba && value != 0)
      distinct_colour ((guint)((ABS (value) - 1) % 65535), label->rgba);
    g_ptr_array_insert (table->labels, (gint)at, label);
  }
  label->name = g_strdup (name ? name : "");
  if (rgba)
    memcpy (label->rgba, rgba, 4);
}

guint
tess_label_table_n (TessLabelTable *table)
{
  return table->labels->len;
}

const TessLabel *
tess_label_table_peek (TessLabelTable *table, guint index)
{
  g_return_val_if_fail (index < table->labels->len, NULL);
  return g_ptr_array_index (table->labels, index);
}

const TessLabel *
tess_label_table_find (TessLabelTable *table, gint64 value)
{
  guint at = lower_bound (table, value);
  const TessLabel *label;

  if (at >= table->labels->len)
    return NULL;
  label = g_ptr_array_index (table->labels, at);
  return label->value == value ? label : NULL;
}

/* A region of that name that is there already gets the new values. Labels need not be in the table. */
void
tess_label_table_add_region (TessLabelTable *table, const char *name, const gint64 *values, guint n_values)
{
  TessLabelRegion *region = (TessLabelRegion *)tess_label_table_find_region (table, name);

  if (!region) {
    region = g_new0 (TessLabelRegion, 1);
    region->name = g_strdup (name);
    g_ptr_array_add (table->regions, region);
  }
  g_free (region->values);
  region->values = g_memdup2 (values, n_values * sizeof *values);
  region->n_values = n_values;
}

guint
tess_label_table_n_regions (TessLabelTable *table)
{
  return table->regions->len;
}

const TessLabelRegion *
tess_label_table_peek_region (TessLabelTable *table, guint index)
{
  g_return_val_if_fail (index < table->regions->len, NULL);
  return g_ptr_array_index (table->regions, index);
}

const TessLabelRegion *
tess_label_table_find_region (TessLabelTable *table, const char *name)
{
  for (guint i = 0; i < table->regions->len; i++) {
    const TessLabelRegion *region = g_ptr_array_index (table->regions, i);

    if (strcmp (region->name, name) == 0)
      return region;
  }
  return NULL;
}
