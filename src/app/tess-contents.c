#include "tess-contents.h"

#include "tess-file-kind.h"
#include "tess-format-registry.h"
#include "tess-format.h"
#include "tess-thumbnail.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_ITEMS 2000u                          /* of a folder */
#define MAX_PREVIEW ((guint64)256 * 1024 * 1024) /* bytes in memory */

struct _TessContents {
  GObject parent_instance;

  char *path;
  GPtrArray *items;      /* TessContentsItem */
  TessProgress *drawing; /* NULL: no pictures are being made */
  guint next;
};

enum { PROP_0, PROP_PICTURE, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (TessContentsItem, tess_contents_item, G_TYPE_OBJECT)
G_DEFINE_FINAL_TYPE (TessContents, tess_contents, G_TYPE_OBJECT)

/* --- items ------------------------------------------------------------------------------------------------------ */

static void
tess_contents_item_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_PICTURE)
    g_value_set_object (value, TESS_CONTENTS_ITEM (object)->picture);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
tess_contents_item_finalize (GObject *object)
{
  TessContentsItem *self = TESS_CONTENTS_ITEM (object);

  g_free (self->location);
  g_free (self->name);
  g_free (self->kind);
  g_free (self->detail);
  g_free (self->preview);
  g_clear_object (&self->picture);
  G_OBJECT_CLASS (tess_contents_item_parent_class)->finalize (object);
}

static void
tess_contents_item_class_init (TessContentsItemClass *klass)
{
  G_OBJECT_CLASS (klass)->get_property = tess_contents_item_get_property;
  G_OBJECT_CLASS (klass)->finalize = tess_contents_item_finalize;
  properties[PROP_PICTURE] =
      g_param_spec_object ("picture", NULL, NULL, GDK_TYPE_TEXTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (G_OBJECT_CLASS (klass), N_PROPS, properties);
}

static void
tess_contents_item_init (TessContentsItem *self)
{
}

static char *
describe (const TessVolumeEntry *entry)
{
  g_autofree char *dims = tess_format_dims (entry->dim, 3);
  GString *text = g_string_new (dims);

  if (entry->n_channels > 1)
    g_string_append_printf (text,
                            g_dngettext (GETTEXT_PACKAGE, " · %d volume", " · %d volumes", (gulong)entry->n_channels),
                            (int)entry->n_channels);
  g_string_append_printf (text, " · %s", tess_dtype_name (entry->dtype));
  return g_string_free (text, FALSE);
}

static gboolean
is_small (const TessVolumeEntry *entry)
{
  guint64 n = tess_dtype_size (entry->dtype);

  for (int a = 0; a < 3; a++)
    if (!g_uint64_checked_mul (&n, n, (guint64)entry->dim[a]))
      return FALSE;
  return g_uint64_checked_mul (&n, n, (guint64)entry->n_channels) && n <= MAX_PREVIEW;
}

/* A DICOM series is known by its words ("CT, Thorax"), as its id is a long number; anything else by its id. */
static TessContentsItem *
item_of_entry (const char *path, const TessFormat *format, const TessVolumeEntry *entry)
{
  TessContentsItem *item = g_object_new (TESS_TYPE_CONTENTS_ITEM, NULL);
  gboolean dicom = strcmp (format->id, "dicom") == 0;
  const char *words = dicom ? strstr (entry->description, ", ") : NULL;

  item->location = g_strconcat (path, "::", entry->id, NULL);
  item->detail = describe (entry);
  if (dicom) {
    item->kind =
        words ? g_strndup (entry->description, (gsize)(words - entry->description)) : g_strdup (entry->description);
    item->name = g_strdup (words && words[2] ? words + 2 : _ ("Series without a name"));
    item->labels = strcmp (item->kind, "SEG") == 0;
  } else {
    item->kind = g_strdup (entry->description ? entry->description : "");
    item->name = g_strdup (entry->id);
    item->labels = tess_file_name_says_labels (entry->id) || tess_file_name_says_labels (path);
  }
  if (entry->preview)
    item->preview = g_strdup (entry->preview);
  else if (is_small (entry))
    item->preview = g_strdup (item->location);
  return item;
}

static TessContentsItem *
item_of_file (const char *path)
{
  TessContentsItem *item = g_object_new (TESS_TYPE_CONTENTS_ITEM, NULL);
  const TessFormat *format = tess_format_for_path (path, NULL);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, 0, NULL, NULL);
  guint64 size = info ? (guint64)g_file_info_get_size (info) : 0;

  item->location = g_strdup (path);
  item->name = g_filename_display_basename (path);
  item->kind = g_strdup (format ? format->name : "");
  item->detail = g_format_size (size);
  item->labels = tess_file_name_says_labels (path);
  if (size <= MAX_PREVIEW / 4) /* compressed, it may be larger in memory */
    item->preview = g_strdup (path);
  return item;
}

/* --- looking ---------------------------------------------------------------------------------------------------- */

static int
by_name (gconstpointer a, gconstpointer b)
{
  const TessContentsItem *s = *(const TessContentsItem *const *)a, *t = *(const TessContentsItem *const *)b;
  g_autofree char *k = g_utf8_collate_key_for_filename (s->name, -1),
                  *l = g_utf8_collate_key_for_filename (t->name, -1);

  return strcmp (k, l);
}

/* Files of volumes that lie in a folder side by side. */
static gboolean
list_folder (TessContents *self, TessProgress *progress, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (self->path, 0, NULL);
  g_autofree char *shown = g_filename_display_name (self->path);
  const char *name;

  if (!dir) {
    tess_error_set_errno (error, self->path, EACCES, _ ("open"));
    return FALSE;
  }
  while ((name = g_dir_read_name (dir)) && self->items->len < MAX_ITEMS) {
    g_autofree char *path = g_build_filename (self->path, name, NULL), *stem = tess_volume_stem (name);

    if (!tess_progress_check (progress, error))
      return FALSE;
    if (name[0] != '.' && strcmp (stem, name) != 0 && g_file_test (path, G_FILE_TEST_IS_REGULAR) &&
        !tess_volume_is_companion (path))
      g_ptr_array_add (self->items, item_of_file (path));
  }
  g_ptr_array_sort (self->items, by_name);
  if (self->items->len > 0)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
               _ ("%s: there is no scan in this folder, and it is neither a dataset (with imagesTr and labelsTr in it) "
                  "nor a run (with plan.json and log.csv); choose another"),
               shown);
  return FALSE;
}

static gboolean
look (TessContents *self, TessProgress *progress, GError **error)
{
  g_autoptr (GError) unknown = NULL;
  const TessFormat *format = tess_format_for_path (self->path, &unknown);
  g_autoptr (GPtrArray) entries = NULL;

  if (!format && g_file_test (self->path, G_FILE_TEST_IS_DIR))
    return list_folder (self, progress, error);
  if (!format) {
    g_propagate_error (error, g_steal_pointer (&unknown));
    return FALSE;
  }
  entries = tess_volume_scan (self->path, progress, error);
  if (!entries)
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    g_ptr_array_add (self->items, item_of_entry (self->path, format, g_ptr_array_index (entries, i)));
  if (entries->len <= 1) { /* nothing to choose */
    g_autofree char *path = g_strdup (self->path);
    TessContentsItem *item = entries->len ? g_object_ref (g_ptr_array_index (self->items, 0)) : item_of_file (path);

    g_free (item->location);
    item->location = g_steal_pointer (&path);
    g_ptr_array_set_size (self->items, 0);
    g_ptr_array_add (self->items, item);
  }
  return TRUE;
}

static void
look_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  TessContents *self = source;
  GError *error = NULL;

  if (look (self, data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
tess_contents_look_async (const char *path, TessProgress *progress, GAsyncReadyCallback callback, gpointer user_data)
{
  TessContents *self = g_object_new (TESS_TYPE_CONTENTS, NULL);
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);

  self->path = g_strdup (path);
  g_task_set_source_tag (task, tess_contents_look_async);
  g_task_set_task_data (task, tess_progress_ref (progress), (GDestroyNotify)tess_progress_unref);
  g_task_run_in_thread (task, look_thread);
  g_object_unref (self); /* the task's */
}

TessContents *
tess_contents_look_finish (GAsyncResult *result, GError **error)
{
  TessContents *self = g_task_get_source_object (G_TASK (result));

  return g_task_propagate_boolean (G_TASK (result), error) ? g_object_ref (self) : NULL;
}

gboolean
tess_contents_needed (const char *path)
{
  const TessFormat *format;

  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return TRUE;
  format = g_file_test (path, G_FILE_TEST_EXISTS) ? tess_format_for_path (path, NULL) : NULL;
  return format && format->entries;
}

const char *
tess_contents_get_path (TessContents *self)
{
  return self->path;
}

guint
tess_contents_n (TessContents *self)
{
  return self->items->len;
}

TessContentsItem *
tess_contents_nth (TessContents *self, guint i)
{
  g_return_val_if_fail (i < self->items->len, NULL);
  return g_ptr_array_index (self->items, i);
}

GPtrArray *
tess_contents_order (TessContents *self, const guint *chosen, guint n)
{
  GPtrArray *order = g_ptr_array_new ();

  for (int labels = 0; labels < 2; labels++)
    for (guint i = 0; i < n; i++) {
      TessContentsItem *item = tess_contents_nth (self, chosen[i]);

      if (item && item->labels == labels)
        g_ptr_array_add (order, item);
    }
  return order;
}

/* --- pictures --------------------------------------------------------------------------------------------------- */

typedef struct {
  TessProgress *progress;
  char *location;
} Drawing;

static void
drawing_free (gpointer data)
{
  Drawing *drawing = data;

  tess_progress_unref (drawing->progress);
  g_free (drawing->location);
  g_free (drawing);
}

static void
draw_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Drawing *drawing = data;
  g_autoptr (TessVolume) volume = tess_volume_load (drawing->location, drawing->progress, NULL);

  g_task_return_pointer (task, volume ? tess_thumbnail_draw (volume) : NULL, g_object_unref);
}

static void draw_next (TessContents *self);

/* What cannot be drawn keeps its symbol: opening it says why. */
static void
drawn_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  TessContents *self = TESS_CONTENTS (source);
  Drawing *drawing = g_task_get_task_data (G_TASK (result));
  g_autoptr (GdkTexture) picture = g_task_propagate_pointer (G_TASK (result), NULL);

  if (drawing->progress != self->drawing)
    return;
  if (picture) {
    TessContentsItem *item = g_ptr_array_index (self->items, self->next);

    g_set_object (&item->picture, picture);
    g_object_notify_by_pspec (G_OBJECT (item), properties[PROP_PICTURE]);
  }
  self->next++;
  draw_next (self);
}

static void
draw_next (TessContents *self)
{
  g_autoptr (GTask) task = NULL;
  Drawing *drawing;

  for (; self->next < self->items->len; self->next++) {
    TessContentsItem *item = g_ptr_array_index (self->items, self->next);

    if (item->preview && !item->picture)
      break;
  }
  if (self->next >= self->items->len) {
    g_clear_pointer (&self->drawing, tess_progress_unref);
    return;
  }
  drawing = g_new0 (Drawing, 1);
  drawing->progress = tess_progress_ref (self->drawing);
  drawing->location = g_strdup (((TessContentsItem *)g_ptr_array_index (self->items, self->next))->preview);
  task = g_task_new (self, NULL, drawn_cb, NULL);
  g_task_set_source_tag (task, draw_next);
  g_task_set_task_data (task, drawing, drawing_free);
  g_task_run_in_thread (task, draw_thread);
}

void
tess_contents_start_pictures (TessContents *self)
{
  if (self->drawing)
    return;
  self->drawing = tess_progress_new ();
  self->next = 0;
  draw_next (self);
}

void
tess_contents_stop_pictures (TessContents *self)
{
  if (self->drawing)
    tess_progress_cancel (self->drawing);
  g_clear_pointer (&self->drawing, tess_progress_unref);
}

/* --- class ------------------------------------------------------------------------------------------------------ */

static void
tess_contents_finalize (GObject *object)
{
  TessContents *self = TESS_CONTENTS (object);

  tess_contents_stop_pictures (self);
  g_ptr_array_unref (self->items);
  g_free (self->path);
  G_OBJECT_CLASS (tess_contents_parent_class)->finalize (object);
}

static void
tess_contents_class_init (TessContentsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tess_contents_finalize;
}

static void
tess_contents_init (TessContents *self)
{
  self->items = g_ptr_array_new_with_free_func (g_object_unref);
}
