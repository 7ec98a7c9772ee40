#include "tess-shortcuts.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Keys carry accelerators (several are separated by blanks and any of them does it; "1...9" is a range), gestures carry
 * words. An action of app, win or window is bound by us to all its accelerators; where there is none, the canvas
 * itself listens. */
typedef struct {
  const char *title;
  const char *action;
  const char *keys;
  const char *gesture;
} Shortcut;

typedef struct {
  const char *title;
  const Shortcut *shortcuts;
  guint n;
} Group;

static const Shortcut general[] = {
    {N_ ("Open a scan"), "win.open", "<Control>o", NULL},
    {N_ ("Open labels over the scan"), "win.open-labels", "<Control>l", NULL},
    {N_ ("Open a data set folder"), "win.open-dataset", "<Control>d", NULL},
    {N_ ("Open a run folder"), "win.open-run", "<Control>r", NULL},
    {N_ ("Choose a model"), "win.open-model", "<Control>m", NULL},
    {N_ ("Segment the scan"), "win.segment", "<Control>Return", NULL},
    {N_ ("Save labels"), "win.save-labels", "<Control>s", NULL},
    {N_ ("Save a picture"), "win.save-picture", "<Control><Shift>s", NULL},
    {N_ ("Preferences"), "win.preferences", "<Control>comma", NULL},
    {N_ ("Keyboard shortcuts"), "win.show-help-overlay", "F1 <Control>question", NULL},
    {N_ ("Close the window"), "window.close", "<Control>w", NULL},
    {N_ ("Quit"), "app.quit", "<Control>q", NULL},
};

static const Shortcut frame[] = {
    {N_ ("View"), "win.mode::view", "<Control>1", NULL},
    {N_ ("Train"), "win.mode::train", "<Control>2", NULL},
    {N_ ("Results"), "win.mode::results", "<Control>3", NULL},
    {N_ ("Show or hide the side bar"), "win.show-sidebar", "F9", NULL},
    {N_ ("Show or hide the inspector"), "win.show-inspector", "<Control>F9", NULL},
};

static const Shortcut pictures[] = {
    {N_ ("Move the crosshair one voxel"), NULL, "Left Right Up Down", NULL},
    {N_ ("One slice up or down"), NULL, "Page_Up Page_Down", NULL},
    {N_ ("First and last slice"), NULL, "Home End", NULL},
    {N_ ("Window presets"), NULL, "1...9", NULL},
    {N_ ("Window from the values in the scan"), NULL, "0", NULL},
    {N_ ("Patch grid"), NULL, "g", NULL},
    {N_ ("Labels"), NULL, "l", NULL},
    {N_ ("Outlines of labels"), NULL, "o", NULL},
    {N_ ("Crosshair"), NULL, "x", NULL},
    {N_ ("Reset the view"), NULL, "r", NULL},
    {N_ ("Back from a filled canvas"), NULL, "Escape", NULL},
};

static const Shortcut hands[] = {
    {N_ ("Put the crosshair there"), NULL, NULL, N_ ("Click, or Shift + left drag")},
    {N_ ("Window (to the side) and level (up and down)"), NULL, NULL, N_ ("Left drag")},
    {N_ ("Window from the values in a box"), NULL, NULL, N_ ("Ctrl + left drag")},
    {N_ ("Pan"), NULL, NULL, N_ ("Middle drag, or hold Space")},
    {N_ ("Zoom"), NULL, NULL, N_ ("Right drag, or Ctrl + wheel")},
    {N_ ("One slice a notch, five with Shift"), NULL, NULL, N_ ("Wheel")},
    {N_ ("Fill the canvas with a pane, and back"), NULL, NULL, N_ ("Double click")},
};

static const Group groups[] = {
    {N_ ("General"), general, G_N_ELEMENTS (general)},
    {N_ ("Window"), frame, G_N_ELEMENTS (frame)},
    {N_ ("Pictures: keys"), pictures, G_N_ELEMENTS (pictures)},
    {N_ ("Pictures: mouse"), hands, G_N_ELEMENTS (hands)},
};

void
tess_shortcuts_install (GtkApplication *application)
{
  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    for (guint j = 0; j < groups[i].n; j++) {
      const Shortcut *s = &groups[i].shortcuts[j];

      if (s->action) {
        g_auto (GStrv) keys = g_strsplit (s->keys, " ", -1);

        gtk_application_set_accels_for_action (application, s->action, (const char *const *)keys);
      }
    }
}

char *
tess_shortcuts_label (const char *action)
{
  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    for (guint j = 0; j < groups[i].n; j++) {
      const Shortcut *s = &groups[i].shortcuts[j];

      if (s->action && strcmp (s->action, action) == 0) {
        g_auto (GStrv) keys = g_strsplit (s->keys, " ", 2);
        GdkModifierType modifiers;
        guint key;

        return gtk_accelerator_parse (keys[0], &key, &modifiers) ? gtk_accelerator_get_label (key, modifiers) : NULL;
      }
    }
  return NULL;
}

static void
append_property (GString *xml, const char *name, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  g_string_append_printf (xml, "<property name=\"%s\">%s</property>", name, escaped);
}

/* GTK 4.8 has no functions to fill a shortcuts window: it is built from a description made here. */
GtkWidget *
tess_shortcuts_window_new (void)
{
  g_autoptr (GString) xml = g_string_new ("<interface><object class=\"GtkShortcutsWindow\" id=\"window\">"
                                          "<property name=\"modal\">1</property><child>"
                                          "<object class=\"GtkShortcutsSection\">"
                                          "<property name=\"section-name\">all</property>"
                                          "<property name=\"max-height\">12</property>");
  g_autoptr (GtkBuilder) builder = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GIcon) mouse = g_themed_icon_new ("input-mouse-symbolic");
  GtkWidget *window;

  for (guint i = 0; i < G_N_ELEMENTS (groups); i++) {
    g_string_append (xml, "<child><object class=\"GtkShortcutsGroup\">");
    append_property (xml, "title", _ (groups[i].title));
    for (guint j = 0; j < groups[i].n; j++) {
      const Shortcut *s = &groups[i].shortcuts[j];

      g_string_append_printf (xml, "<child><object class=\"GtkShortcutsShortcut\" id=\"s%u-%u\">", i, j);
      append_property (xml, "title", _ (s->title));
      if (s->keys)
        append_property (xml, "accelerator", s->keys);
      else
        append_property (xml, "subtitle", _ (s->gesture));
      g_string_append (xml, "</object></child>");
    }
    g_string_append (xml, "</object></child>");
  }
  g_string_append (xml, "</object></child></object></interface>");

  builder = gtk_builder_new ();
  if (!gtk_builder_add_from_string (builder, xml->str, (gssize)xml->len, &error)) {
    g_critical ("shortcuts window: %s", error->message);
    return NULL;
  }
  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    for (guint j = 0; j < groups[i].n; j++)
      if (!groups[i].shortcuts[j].keys) {
        g_autofree char *id = g_strdup_printf ("s%u-%u", i, j);

        g_object_set (gtk_builder_get_object (builder, id), "shortcut-type", GTK_SHORTCUT_GESTURE, "icon", mouse, NULL);
      }
  window = GTK_WIDGET (gtk_builder_get_object (builder, "window"));
  return g_object_ref_sink (window);
}
