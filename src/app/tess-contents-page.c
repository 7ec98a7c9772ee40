#include "tess-contents-page.h"

#include "tess-thumbnail.h"

#include <glib/gi18n-lib.h>

#define PICTURE_SIZE 64

struct _TessContentsPage {
  GtkWidget parent_instance;

  GtkWidget *whole, *open_button, *add_button;
  GtkLabel *title, *hint;
  GtkListBox *list;

  TessContents *contents;
  gboolean over;
};

enum { CHOSEN, CANCELLED, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessContentsPage, tess_contents_page, GTK_TYPE_WIDGET)

/* --- rows ------------------------------------------------------------------------------------------------------- */

static void
picture_cb (GtkImage *image, GParamSpec *pspec, TessContentsItem *item)
{
  if (!item->picture)
    return;
  gtk_image_set_from_paintable (image, GDK_PAINTABLE (item->picture));
  gtk_image_set_pixel_size (image, PICTURE_SIZE);
  gtk_widget_remove_css_class (GTK_WIDGET (image), "symbol");
}

static GtkWidget *
picture_new (TessContentsItem *item)
{
  GtkWidget *image = g_object_new (GTK_TYPE_IMAGE, "accessible-role", GTK_ACCESSIBLE_ROLE_PRESENTATION, NULL);

  gtk_image_set_from_icon_name (GTK_IMAGE (image), "tessera-scan-symbolic");
  gtk_image_set_pixel_size (GTK_IMAGE (image), 24);
  gtk_widget_set_size_request (image, PICTURE_SIZE, PICTURE_SIZE);
  gtk_widget_set_overflow (image, GTK_OVERFLOW_HIDDEN);
  gtk_widget_add_css_class (image, "thumbnail");
  gtk_widget_add_css_class (image, "symbol");
  g_signal_connect_object (item, "notify::picture", G_CALLBACK (picture_cb), image, G_CONNECT_SWAPPED);
  picture_cb (GTK_IMAGE (image), NULL, item);
  return image;
}

static GtkWidget *
line_new (const char *text, const char *style)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  if (style)
    gtk_widget_add_css_class (label, style);
  return label;
}

static GtkWidget *
row_new (TessContentsItem *item)
{
  GtkWidget *row = gtk_list_box_row_new (), *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);
  GtkWidget *lines = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2), *detail = line_new (item->detail, "dim-label");
  g_autofree char *spoken = *item->kind ? g_strdup_printf ("%s, %s, %s", item->name, item->kind, item->detail)
                                        : g_strdup_printf ("%s, %s", item->name, item->detail);

  gtk_widget_add_css_class (detail, "caption");
  gtk_widget_add_css_class (detail, "numeric");
  gtk_box_append (GTK_BOX (lines), line_new (item->name, NULL));
  gtk_box_append (GTK_BOX (lines), detail);
  gtk_widget_set_valign (lines, GTK_ALIGN_CENTER);
  gtk_widget_set_hexpand (lines, TRUE);
  gtk_box_append (GTK_BOX (box), picture_new (item));
  gtk_box_append (GTK_BOX (box), lines);
  if (*item->kind) {
    GtkWidget *kind = line_new (item->kind, "contents-kind");

    gtk_label_set_max_width_chars (GTK_LABEL (kind), 24);
    gtk_widget_set_valign (kind, GTK_ALIGN_CENTER);
    gtk_widget_set_tooltip_text (kind, item->kind);
    gtk_box_append (GTK_BOX (box), kind);
  }
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), box);
  gtk_widget_add_css_class (row, "contents-row");
  gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  return row;
}

/* --- choosing --------------------------------------------------------------------------------------------------- */

static void
choose (TessContentsPage *self, gboolean over)
{
  g_autoptr (GList) rows = gtk_list_box_get_selected_rows (self->list);
  g_autoptr (GArray) chosen = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GPtrArray) order = NULL;

  if (!rows || !self->contents)
    return;
  for (GList *l = rows; l; l = l->next) {
    guint i = (guint)gtk_list_box_row_get_index (l->data);

    g_array_append_val (chosen, i);
  }
  order = tess_contents_order (self->contents, &g_array_index (chosen, guint, 0), chosen->len);
  g_signal_emit (self, signals[CHOSEN], 0, order, over);
}

static void
open_cb (TessContentsPage *self)
{
  choose (self, self->over);
}

static void
add_cb (TessContentsPage *self)
{
  choose (self, TRUE);
}

/* A double click or Enter on one of several chosen opens them all. */
static void
row_activated_cb (TessContentsPage *self, GtkListBoxRow *row)
{
  if (!gtk_list_box_row_is_selected (row)) {
    gtk_list_box_unselect_all (self->list);
    gtk_list_box_select_row (self->list, row);
  }
  choose (self, self->over);
}

static void
cancel_cb (TessContentsPage *self)
{
  g_signal_emit (self, signals[CANCELLED], 0);
}

static void
selected_cb (TessContentsPage *self)
{
  g_autoptr (GList) rows = self->list ? gtk_list_box_get_selected_rows (self->list) : NULL; /* none: going down */
  guint n = g_list_length (rows);
  g_autofree char *text = n > 1 ? g_strdup_printf (ngettext ("_Open %u", "_Open %u", n), n) : g_strdup (_ ("_Open"));

  if (!self->list)
    return;
  gtk_button_set_label (GTK_BUTTON (self->open_button), text);
  gtk_widget_set_sensitive (self->open_button, n > 0);
  gtk_widget_set_sensitive (self->add_button, n > 0);
}

static gboolean
escape_cb (GtkWidget *widget, GVariant *arguments, gpointer data)
{
  g_signal_emit (widget, signals[CANCELLED], 0);
  return TRUE;
}

/* --- public ----------------------------------------------------------------------------------------------------- */

void
tess_contents_page_show (TessContentsPage *self, TessContents *contents, gboolean over, gboolean can_add)
{
  g_autofree char *name = NULL, *text = NULL;
  guint n = contents ? tess_contents_n (contents) : 0;
  GtkListBoxRow *row;

  g_return_if_fail (TESS_IS_CONTENTS_PAGE (self));
  if (self->contents)
    tess_contents_stop_pictures (self->contents);
  g_set_object (&self->contents, contents);
  self->over = over;
  while ((row = gtk_list_box_get_row_at_index (self->list, 0)))
    gtk_list_box_remove (self->list, GTK_WIDGET (row));
  if (!contents)
    return;
  name = g_filename_display_basename (tess_contents_get_path (contents));
  text = g_strdup_printf (ngettext ("%s holds %u volume", "%s holds %u volumes", n), name, n);
  gtk_label_set_text (self->title, text);
  gtk_label_set_text (self->hint, over ? _ ("Choose the labels to show over the scan. Ctrl+click chooses several.")
                                       : _ ("Choose the one to open. Ctrl+click chooses several: the first becomes the "
                                            "scan, the others lie over it."));
  for (guint i = 0; i < n; i++)
    gtk_list_box_append (self->list, row_new (tess_contents_nth (contents, i)));
  gtk_list_box_select_row (self->list, gtk_list_box_get_row_at_index (self->list, 0));
  gtk_widget_set_visible (self->add_button, can_add && !over);
  tess_contents_start_pictures (contents);
}

/* Keys go to the first of the list. */
void
tess_contents_page_focus (TessContentsPage *self)
{
  GtkListBoxRow *row = gtk_list_box_get_row_at_index (self->list, 0);

  if (row)
    gtk_widget_grab_focus (GTK_WIDGET (row));
}

/* --- class ------------------------------------------------------------------------------------------------------ */

static void
tess_contents_page_dispose (GObject *object)
{
  TessContentsPage *self = TESS_CONTENTS_PAGE (object);

  if (self->contents)
    tess_contents_stop_pictures (self->contents);
  g_clear_object (&self->contents);
  gtk_widget_dispose_template (GTK_WIDGET (object), TESS_TYPE_CONTENTS_PAGE);
  G_OBJECT_CLASS (tess_contents_page_parent_class)->dispose (object);
}

static void
tess_contents_page_class_init (TessContentsPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_contents_page_dispose;
  signals[CHOSEN] = g_signal_new ("chosen", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                  G_TYPE_NONE, 2, G_TYPE_PTR_ARRAY, G_TYPE_BOOLEAN);
  signals[CANCELLED] =
      g_signal_new ("cancelled", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Escape, 0, escape_cb, NULL);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/contents-page.ui");
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, whole); /* so that it is taken down with us */
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, title);
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, hint);
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, list);
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, open_button);
  gtk_widget_class_bind_template_child (widget_class, TessContentsPage, add_button);
  gtk_widget_class_bind_template_callback (widget_class, row_activated_cb);
  gtk_widget_class_bind_template_callback (widget_class, selected_cb);
  gtk_widget_class_bind_template_callback (widget_class, open_cb);
  gtk_widget_class_bind_template_callback (widget_class, add_cb);
  gtk_widget_class_bind_template_callback (widget_class, cancel_cb);
}

static void
tess_contents_page_init (TessContentsPage *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}
