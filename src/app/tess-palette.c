#include "tess-palette.h"

#include "tess-shortcuts.h"

#include <glib/gi18n-lib.h>
#include <string.h>

struct _TessPalette {
  GtkPopover parent_instance;

  GtkEditable *entry;
  GtkWidget *scroller;
  GtkListBox *list;
  GtkWidget *before; /* weak: what had the keyboard when it was opened */
};

G_DEFINE_FINAL_TYPE (TessPalette, tess_palette, GTK_TYPE_POPOVER)

/* Kept with a row: its action, and its title folded for the search. */
static const char *
row_text (GtkWidget *row, const char *key)
{
  return g_object_get_data (G_OBJECT (row), key);
}

/* Whether a command can be used now is known to the button in its row, which names the action. */
static gboolean
is_usable (GtkWidget *row)
{
  return gtk_widget_get_sensitive (gtk_list_box_row_get_child (GTK_LIST_BOX_ROW (row)));
}

static gboolean
filter_cb (GtkListBoxRow *row, gpointer data)
{
  TessPalette *self = data;
  g_autofree char *typed = g_utf8_casefold (gtk_editable_get_text (self->entry), -1);
  g_auto (GStrv) words = g_strsplit (typed, " ", -1);

  if (!is_usable (GTK_WIDGET (row)))
    return FALSE;
  for (guint i = 0; words[i]; i++)
    if (!strstr (row_text (GTK_WIDGET (row), "folded"), words[i]))
      return FALSE;
  return TRUE;
}

static GtkListBoxRow *
next_seen (TessPalette *self, GtkListBoxRow *from, int step)
{
  int i = from ? gtk_list_box_row_get_index (from) + step : 0;
  GtkListBoxRow *row;

  for (; (row = i < 0 ? NULL : gtk_list_box_get_row_at_index (self->list, i)) != NULL; i += step)
    if (gtk_widget_get_child_visible (GTK_WIDGET (row)))
      return row;
  return from;
}

static void
changed_cb (TessPalette *self)
{
  gtk_list_box_invalidate_filter (self->list);
  gtk_list_box_select_row (self->list, next_seen (self, NULL, 1));
}

/* Closed first: what it starts may want the keyboard. */
static void
row_activated_cb (TessPalette *self, GtkListBoxRow *row)
{
  g_autofree char *action = g_strdup (row_text (GTK_WIDGET (row), "action")), *name = NULL;
  g_autoptr (GVariant) target = NULL;

  gtk_popover_popdown (GTK_POPOVER (self));
  if (g_action_parse_detailed_name (action, &name, &target, NULL))
    gtk_widget_activate_action_variant (GTK_WIDGET (self), name, target);
}

static void
entry_activated_cb (TessPalette *self)
{
  GtkListBoxRow *row = gtk_list_box_get_selected_row (self->list);

  if (row && gtk_widget_get_child_visible (GTK_WIDGET (row)))
    row_activated_cb (self, row);
}

static void
stop_cb (TessPalette *self)
{
  gtk_popover_popdown (GTK_POPOVER (self));
}

static void
closed_cb (TessPalette *self)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  if (self->before && root && gtk_widget_get_root (self->before) == root && gtk_widget_get_mapped (self->before))
    gtk_widget_grab_focus (self->before);
  g_clear_weak_pointer (&self->before);
}

/* Up and Down move the choice while the entry keeps the keyboard. */
static gboolean
key_cb (TessPalette *self, guint keyval)
{
  GtkListBoxRow *row = gtk_list_box_get_selected_row (self->list);
  GtkAdjustment *adjustment;
  graphene_rect_t at;

  if (keyval != GDK_KEY_Up && keyval != GDK_KEY_Down)
    return GDK_EVENT_PROPAGATE;
  row = next_seen (self, row, keyval == GDK_KEY_Up ? -1 : 1);
  gtk_list_box_select_row (self->list, row);
  adjustment = gtk_scrolled_window_get_vadjustment (GTK_SCROLLED_WINDOW (self->scroller));
  if (row && gtk_widget_compute_bounds (GTK_WIDGET (row), GTK_WIDGET (self->list), &at))
    gtk_adjustment_clamp_page (adjustment, at.origin.y, at.origin.y + at.size.height);
  return GDK_EVENT_STOP;
}

static GtkWidget *
row_new (const char *title, const char *action, const char *key)
{
  GtkWidget *row = gtk_list_box_row_new (), *button = gtk_button_new (), *line, *label, *hint;

  line = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);
  label = gtk_label_new (title);
  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_widget_set_hexpand (label, TRUE);
  gtk_box_append (GTK_BOX (line), label);
  if (key) {
    hint = gtk_label_new (key);
    gtk_widget_add_css_class (hint, "dim-label");
    gtk_box_append (GTK_BOX (line), hint);
  }
  /* It is the row that is pressed; the button only knows the action. */
  gtk_button_set_child (GTK_BUTTON (button), line);
  gtk_actionable_set_detailed_action_name (GTK_ACTIONABLE (button), action);
  gtk_widget_set_can_target (button, FALSE);
  gtk_widget_set_can_focus (button, FALSE);
  gtk_widget_add_css_class (button, "flat");
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), button);
  gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  g_object_set_data_full (G_OBJECT (row), "action", g_strdup (action), g_free);
  g_object_set_data_full (G_OBJECT (row), "folded", g_utf8_casefold (title, -1), g_free);
  return row;
}

static void
tess_palette_dispose (GObject *object)
{
  g_clear_weak_pointer (&TESS_PALETTE (object)->before);
  gtk_widget_dispose_template (GTK_WIDGET (object), TESS_TYPE_PALETTE);
  G_OBJECT_CLASS (tess_palette_parent_class)->dispose (object);
}

static void
tess_palette_class_init (TessPaletteClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_palette_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/palette.ui");
  gtk_widget_class_bind_template_child (widget_class, TessPalette, entry);
  gtk_widget_class_bind_template_child (widget_class, TessPalette, scroller);
  gtk_widget_class_bind_template_child (widget_class, TessPalette, list);
  gtk_widget_class_bind_template_callback (widget_class, changed_cb);
  gtk_widget_class_bind_template_callback (widget_class, entry_activated_cb);
  gtk_widget_class_bind_template_callback (widget_class, row_activated_cb);
  gtk_widget_class_bind_template_callback (widget_class, stop_cb);
  gtk_widget_class_bind_template_callback (widget_class, closed_cb);
}

static void
tess_palette_init (TessPalette *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();
  const char *title, *action;
  char *key;

  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (keys, "key-pressed", G_CALLBACK (key_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), keys);
  for (guint i = 0; tess_shortcuts_nth (i, &title, &action, &key); i++) {
    g_autofree char *owned = key;

    if (strcmp (action, "win.palette") != 0)
      gtk_list_box_append (self->list, row_new (title, action, owned));
  }
  gtk_list_box_set_filter_func (self->list, filter_cb, self, NULL);
}

GtkWidget *
tess_palette_new (GtkWidget *parent, GActionGroup *view)
{
  GtkWidget *self = g_object_new (TESS_TYPE_PALETTE, NULL);

  gtk_widget_insert_action_group (self, "view", view);
  gtk_widget_set_parent (self, parent);
  return self;
}

void
tess_palette_open (TessPalette *self)
{
  GtkWidget *parent = gtk_widget_get_parent (GTK_WIDGET (self));

  g_return_if_fail (TESS_IS_PALETTE (self));
  if (gtk_widget_get_mapped (GTK_WIDGET (self)))
    return;
  g_set_weak_pointer (&self->before, gtk_root_get_focus (gtk_widget_get_root (parent)));
  /* Under the header, in the middle. */
  gtk_popover_set_pointing_to (GTK_POPOVER (self), &(GdkRectangle){gtk_widget_get_width (parent) / 2, 0, 1, 1});
  gtk_editable_set_text (self->entry, "");
  gtk_popover_popup (GTK_POPOVER (self));
  changed_cb (self);
  gtk_widget_grab_focus (GTK_WIDGET (self->entry));
}
