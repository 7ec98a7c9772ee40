#include "tess-notes-bar.h"

#include <glib/gi18n-lib.h>

struct _TessNotesBar {
  GtkWidget parent_instance;

  GtkWidget *bar;
  GtkLabel *sentence, *number;
  GtkMenuButton *details;
  GtkBox *all;

  GStrv notes;
};

G_DEFINE_FINAL_TYPE (TessNotesBar, tess_notes_bar, GTK_TYPE_WIDGET)

static void
fill (TessNotesBar *self)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->all))))
    gtk_box_remove (self->all, child);
  for (guint i = 0; self->notes[i]; i++) {
    GtkWidget *label = gtk_label_new (self->notes[i]);

    gtk_label_set_wrap (GTK_LABEL (label), TRUE);
    gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_max_width_chars (GTK_LABEL (label), 60);
    gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
    gtk_label_set_selectable (GTK_LABEL (label), TRUE);
    gtk_widget_set_can_focus (label, FALSE); /* else all of it is selected when the popover opens */
    gtk_box_append (self->all, label);
  }
}

void
tess_notes_bar_set_notes (TessNotesBar *self, const char *const *notes)
{
  guint n = g_strv_length ((GStrv)notes);
  g_autofree char *number = NULL;

  g_return_if_fail (TESS_IS_NOTES_BAR (self));
  if (self->notes && g_strv_equal ((const char *const *)self->notes, notes))
    return;
  g_strfreev (self->notes);
  self->notes = g_strdupv ((GStrv)notes);
  gtk_menu_button_popdown (self->details);
  gtk_widget_set_visible (self->bar, n > 0);
  if (n == 0)
    return;
  number = g_strdup_printf (ngettext ("%u note", "%u notes", n), n);
  gtk_label_set_text (self->sentence, notes[0]);
  gtk_label_set_text (self->number, number);
  gtk_widget_set_visible (GTK_WIDGET (self->number), n > 1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->bar), GTK_ACCESSIBLE_PROPERTY_LABEL, notes[0], -1);
  fill (self);
}

static void
close_cb (TessNotesBar *self)
{
  gtk_widget_set_visible (self->bar, FALSE);
}

static void
tess_notes_bar_dispose (GObject *object)
{
  gtk_widget_dispose_template (GTK_WIDGET (object), TESS_TYPE_NOTES_BAR);
  G_OBJECT_CLASS (tess_notes_bar_parent_class)->dispose (object);
}

static void
tess_notes_bar_finalize (GObject *object)
{
  g_strfreev (TESS_NOTES_BAR (object)->notes);
  G_OBJECT_CLASS (tess_notes_bar_parent_class)->finalize (object);
}

static void
tess_notes_bar_class_init (TessNotesBarClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_notes_bar_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_notes_bar_finalize;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/notes-bar.ui");
  gtk_widget_class_bind_template_child (widget_class, TessNotesBar, bar);
  gtk_widget_class_bind_template_child (widget_class, TessNotesBar, sentence);
  gtk_widget_class_bind_template_child (widget_class, TessNotesBar, number);
  gtk_widget_class_bind_template_child (widget_class, TessNotesBar, details);
  gtk_widget_class_bind_template_child (widget_class, TessNotesBar, all);
  gtk_widget_class_bind_template_callback (widget_class, close_cb);
}

static void
tess_notes_bar_init (TessNotesBar *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}
