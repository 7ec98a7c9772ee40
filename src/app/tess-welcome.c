#include "tess-welcome.h"

#include "tess-model.h"
#include "tess-thumbnail.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define N_RECENT 6

struct _TessWelcome {
  GtkWidget parent_instance;

  GtkWidget *scroller, *open_button, *recent_box;
  GtkFlowBox *recent;
};

G_DEFINE_FINAL_TYPE (TessWelcome, tess_welcome, GTK_TYPE_WIDGET)

/* --- what was open lately --------------------------------------------------------------------------------------- */

static int
newer_first (gconstpointer a, gconstpointer b)
{
  return g_date_time_compare (gtk_recent_info_get_modified ((GtkRecentInfo *)b),
                              gtk_recent_info_get_modified ((GtkRecentInfo *)a));
}

char **
tess_recent_paths (guint n)
{
  GList *items = g_list_sort (gtk_recent_manager_get_items (gtk_recent_manager_get_default ()), newer_first);
  g_autoptr (GStrvBuilder) paths = g_strv_builder_new ();

  for (GList *l = items; l && n > 0; l = l->next) {
    GtkRecentInfo *info = l->data;
    g_autofree char *path = g_filename_from_uri (gtk_recent_info_get_uri (info), NULL, NULL);

    if (!path || !gtk_recent_info_has_application (info, g_get_application_name ()) ||
        !g_file_test (path, G_FILE_TEST_EXISTS))
      continue;
    g_strv_builder_add (paths, path);
    n--;
  }
  g_list_free_full (items, (GDestroyNotify)gtk_recent_info_unref);
  return g_strv_builder_end (paths);
}

void
tess_recent_add (const char *path)
{
  g_autofree char *uri = g_filename_to_uri (path, NULL, NULL);
  gboolean folder = g_file_test (path, G_FILE_TEST_IS_DIR);
  GtkRecentData data = {
      .mime_type = (char *)(folder ? "inode/directory" : "application/octet-stream"),
      .app_name = (char *)g_get_application_name (),
      .app_exec = (char *)"tessera %f",
  };

  if (uri)
    gtk_recent_manager_add_full (gtk_recent_manager_get_default (), uri, &data);
}

/* --- the page --------------------------------------------------------------------------------------------------- */

static GtkWidget *
picture_new (const char *path)
{
  g_autofree char *thumbnail = tess_thumbnail_path (path);
  gboolean folder = g_file_test (path, G_FILE_TEST_IS_DIR);
  GtkWidget *picture;

  /* The card has the name; a screen reader has nothing to say about the picture. */
  picture = g_object_new (GTK_TYPE_IMAGE, "accessible-role", GTK_ACCESSIBLE_ROLE_PRESENTATION, NULL);
  if (!folder && g_file_test (thumbnail, G_FILE_TEST_IS_REGULAR)) {
    gtk_image_set_from_file (GTK_IMAGE (picture), thumbnail);
    gtk_image_set_pixel_size (GTK_IMAGE (picture), TESS_THUMBNAIL_SIZE);
    gtk_widget_set_overflow (picture, GTK_OVERFLOW_HIDDEN);
  } else {
    gtk_image_set_from_icon_name (GTK_IMAGE (picture), folder                           ? "folder-symbolic"
                                                       : tess_model_is_file_name (path) ? "tessera-train-symbolic"
                                                                                        : "tessera-scan-symbolic");
    gtk_image_set_pixel_size (GTK_IMAGE (picture), 48);
    gtk_widget_add_css_class (picture, "symbol");
  }
  gtk_widget_add_css_class (picture, "thumbnail");
  gtk_widget_set_size_request (picture, TESS_THUMBNAIL_SIZE, TESS_THUMBNAIL_SIZE);
  gtk_widget_set_halign (picture, GTK_ALIGN_CENTER);
  return picture;
}

static GtkWidget *
caption_new (const char *text, const char *style)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_label_set_width_chars (GTK_LABEL (label), 16);
  gtk_label_set_max_width_chars (GTK_LABEL (label), 16);
  gtk_widget_add_css_class (label, style);
  return label;
}

static GtkWidget *
card_new (const char *path)
{
  GtkWidget *child = gtk_flow_box_child_new (), *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 4), *folder;
  g_autofree char *name = g_filename_display_basename (path), *parent = g_path_get_dirname (path);
  g_autofree char *parent_name = g_filename_display_basename (parent), *whole = g_filename_display_name (path);
  g_autofree char *spoken = g_strdup_printf (_ ("Open %s in %s"), name, parent_name);

  gtk_box_append (GTK_BOX (box), picture_new (path));
  gtk_box_append (GTK_BOX (box), caption_new (name, "caption"));
  folder = caption_new (parent_name, "caption");
  gtk_widget_add_css_class (folder, "dim-label");
  gtk_box_append (GTK_BOX (box), folder);
  gtk_flow_box_child_set_child (GTK_FLOW_BOX_CHILD (child), box);
  gtk_widget_add_css_class (child, "recent-card");
  gtk_widget_set_tooltip_text (child, whole);
  gtk_accessible_update_property (GTK_ACCESSIBLE (child), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  g_object_set_data_full (G_OBJECT (child), "path", g_strdup (path), g_free);
  return child;
}

static void
refill (TessWelcome *self)
{
  g_auto (GStrv) paths = tess_recent_paths (N_RECENT);
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->recent))))
    gtk_flow_box_remove (self->recent, child);
  for (guint i = 0; paths[i]; i++)
    gtk_flow_box_insert (self->recent, card_new (paths[i]), -1);
  /* As many columns as there are cards, so that few stand in the middle. */
  gtk_flow_box_set_min_children_per_line (self->recent, MIN (2, MAX (1, g_strv_length (paths))));
  gtk_flow_box_set_max_children_per_line (self->recent, MAX (1, g_strv_length (paths)));
  gtk_widget_set_visible (self->recent_box, paths[0] != NULL);
}

static void
activated_cb (TessWelcome *self, GtkFlowBoxChild *child)
{
  gtk_widget_activate_action (GTK_WIDGET (self), "win.open-path", "s",
                              (const char *)g_object_get_data (G_OBJECT (child), "path"));
}

static void
tess_welcome_map (GtkWidget *widget)
{
  refill (TESS_WELCOME (widget));
  GTK_WIDGET_CLASS (tess_welcome_parent_class)->map (widget);
}

static void
tess_welcome_dispose (GObject *object)
{
  gtk_widget_dispose_template (GTK_WIDGET (object), TESS_TYPE_WELCOME);
  G_OBJECT_CLASS (tess_welcome_parent_class)->dispose (object);
}

static void
tess_welcome_class_init (TessWelcomeClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_welcome_dispose;
  widget_class->map = tess_welcome_map;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/welcome.ui");
  gtk_widget_class_bind_template_child (widget_class, TessWelcome, scroller); /* so that it is taken down with us */
  gtk_widget_class_bind_template_child (widget_class, TessWelcome, open_button);
  gtk_widget_class_bind_template_child (widget_class, TessWelcome, recent_box);
  gtk_widget_class_bind_template_child (widget_class, TessWelcome, recent);
  gtk_widget_class_bind_template_callback (widget_class, activated_cb);
}

static void
tess_welcome_init (TessWelcome *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}
