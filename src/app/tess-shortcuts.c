#include "tess-shortcuts.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Several keys are separated by blanks and any of them does it; "1...9" is a range. An action of app, win or window is
 * bound by us to all its keys; those of view are the canvas's, which binds its keys itself. Where there is no action
 * the line is only told of. */
typedef struct {
  const char *title;
  const char *action;
  const char *keys;
} Shortcut;

typedef struct {
  const char *title;
  const Shortcut *shortcuts;
  guint n;
} Group;

static const Shortcut general[] = {
    {N_ ("Open a scan"), "win.open", "<Control>o"},
    {N_ ("Open a folder of scans"), "win.open-folder", "<Control><Shift>o"},
    {N_ ("Open labels over the scan"), "win.open-labels", "<Control>l"},
    {N_ ("Open a dataset folder"), "win.open-dataset", "<Control>d"},
    {N_ ("Open a run folder"), "win.open-run", "<Control>r"},
    {N_ ("Choose a model"), "win.open-model", "<Control>m"},
    {N_ ("Choose a model folder"), "win.open-model-folder", "<Control><Shift>m"},
    {N_ ("Segment the scan"), "win.segment", "<Control>Return"},
    {N_ ("Save labels"), "win.save-labels", "<Control>s"},
    {N_ ("Save a picture"), "win.save-picture", "<Control><Shift>s"},
    {N_ ("Preferences"), "win.preferences", "<Control>comma"},
    {N_ ("Command palette"), "win.palette", "<Control>k"},
    {N_ ("Keyboard shortcuts"), "win.show-help-overlay", "F1 <Control>question"},
    {N_ ("Close the window"), "window.close", "<Control>w"},
    {N_ ("Quit"), "app.quit", "<Control>q"},
};

static const Shortcut frame[] = {
    {N_ ("View"), "win.mode::view", "<Control>1"},
    {N_ ("Train"), "win.mode::train", "<Control>2"},
    {N_ ("Results"), "win.mode::results", "<Control>3"},
    {N_ ("Show or hide the side bar"), "win.show-sidebar", "F9"},
    {N_ ("Show or hide the inspector"), "win.show-inspector", "<Control>F9"},
    {N_ ("Results: prediction"), "win.results-display::prediction", "<Alt>1"},
    {N_ ("Results: truth"), "win.results-display::reference", "<Alt>2"},
    {N_ ("Results: difference"), "win.results-display::difference", "<Alt>3"},
};

static const Shortcut pictures[] = {
    {N_ ("Move the crosshair one voxel"), NULL, "Left Right Up Down"},
    {N_ ("One slice up or down"), NULL, "Page_Up Page_Down"},
    {N_ ("First and last slice"), NULL, "Home End"},
    {N_ ("Zoom in and out"), NULL, "plus minus"},
    {N_ ("Window presets"), NULL, "1...9"},
    {N_ ("Window from the values in the scan"), "view.auto-window", "0"},
    {N_ ("Patch grid"), "view.grid", "g"},
    {N_ ("Labels"), "view.labels", "l"},
    {N_ ("Outlines of labels"), "view.outline", "o"},
    {N_ ("Crosshair"), "view.crosshair", "x"},
    {N_ ("Texts in the corners"), "view.texts", "t"},
    {N_ ("Reset the view"), "view.reset", "r"},
    {N_ ("Back from a filled canvas"), "view.escape", "Escape"},
};

enum { GROUP_GENERAL, GROUP_FRAME, GROUP_PICTURES };

static const Group groups[] = {
    [GROUP_GENERAL] = {N_ ("General"), general, G_N_ELEMENTS (general)},
    [GROUP_FRAME] = {N_ ("Window"), frame, G_N_ELEMENTS (frame)},
    [GROUP_PICTURES] = {N_ ("Keys"), pictures, G_N_ELEMENTS (pictures)},
};

void
tess_shortcuts_install (GtkApplication *application)
{
  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    for (guint j = 0; j < groups[i].n; j++) {
      const Shortcut *s = &groups[i].shortcuts[j];
      g_auto (GStrv) keys = g_strsplit (s->keys, " ", -1);

      if (s->action && !g_str_has_prefix (s->action, "view."))
        gtk_application_set_accels_for_action (application, s->action, (const char *const *)keys);
    }
}

static char *
first_key (const Shortcut *s)
{
  g_auto (GStrv) keys = g_strsplit (s->keys, " ", 2);
  GdkModifierType modifiers;
  guint key;

  return gtk_accelerator_parse (keys[0], &key, &modifiers) ? gtk_accelerator_get_label (key, modifiers) : NULL;
}

gboolean
tess_shortcuts_nth (guint i, const char **title, const char **action, char **key)
{
  for (guint g = 0; g < G_N_ELEMENTS (groups); g++)
    for (guint j = 0; j < groups[g].n; j++) {
      const Shortcut *s = &groups[g].shortcuts[j];

      if (!s->action || i-- > 0)
        continue;
      *title = _ (s->title);
      *action = s->action;
      *key = first_key (s);
      return TRUE;
    }
  return FALSE;
}

char *
tess_shortcuts_tooltip (const char *text, const char *action)
{
  const char *title, *name;
  char *key = NULL;

  for (guint i = 0; tess_shortcuts_nth (i, &title, &name, &key); i++) {
    g_autofree char *owned = key;

    if (owned && strcmp (name, action) == 0)
      return g_strdup_printf ("%s (%s)", text, owned);
  }
  return g_strdup (text);
}

/* --- the window ------------------------------------------------------------------------------------------------- */

static void
append_property (GString *xml, const char *name, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  g_string_append_printf (xml, "<property name=\"%s\">%s</property>", name, escaped);
}

static void
open_section (GString *xml, const char *name, const char *title)
{
  g_string_append (xml, "<child><object class=\"GtkShortcutsSection\"><property name=\"max-height\">14</property>");
  append_property (xml, "section-name", name);
  append_property (xml, "title", title);
}

static void
open_group (GString *xml, const char *title)
{
  g_string_append (xml, "<child><object class=\"GtkShortcutsGroup\">");
  append_property (xml, "title", title);
}

static void
append_keys (GString *xml, const Group *group)
{
  open_group (xml, _ (group->title));
  for (guint j = 0; j < group->n; j++) {
    g_string_append (xml, "<child><object class=\"GtkShortcutsShortcut\">");
    append_property (xml, "title", _ (group->shortcuts[j].title));
    append_property (xml, "accelerator", group->shortcuts[j].keys);
    g_string_append (xml, "</object></child>");
  }
  g_string_append (xml, "</object></child>");
}

static void
append_hands (GString *xml, TessHands hands)
{
  const char *gesture, *what;

  open_group (xml, _ ("Mouse"));
  for (guint i = 0; tess_hands_nth (hands, i, &gesture, &what); i++) {
    g_string_append_printf (xml, "<child><object class=\"GtkShortcutsShortcut\" id=\"hand%u\">", i);
    append_property (xml, "title", what);
    append_property (xml, "subtitle", gesture);
    g_string_append (xml, "</object></child>");
  }
  g_string_append (xml, "</object></child>");
}

/* GTK 4.8 has no functions to fill a shortcuts window: it is built from a description made here. What fits on a page is
 * a section of its own, as GTK puts the pages of one section in the wrong order. */
GtkWidget *
tess_shortcuts_window_new (TessHands hands)
{
  g_autoptr (GString) xml = g_string_new ("<interface><object class=\"GtkShortcutsWindow\" id=\"window\">"
                                          "<property name=\"modal\">1</property>");
  g_autoptr (GtkBuilder) builder = gtk_builder_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GIcon) mouse = g_themed_icon_new ("input-mouse-symbolic");
  const char *gesture, *what;

  open_section (xml, "general", _ ("General"));
  append_keys (xml, &groups[GROUP_GENERAL]);
  append_keys (xml, &groups[GROUP_FRAME]);
  g_string_append (xml, "</object></child>");
  open_section (xml, "pictures", _ ("Pictures"));
  append_keys (xml, &groups[GROUP_PICTURES]);
  append_hands (xml, hands);
  g_string_append (xml, "</object></child></object></interface>");

  if (!gtk_builder_add_from_string (builder, xml->str, (gssize)xml->len, &error)) {
    g_critical ("shortcuts window: %s", error->message);
    return NULL;
  }
  for (guint i = 0; tess_hands_nth (hands, i, &gesture, &what); i++) {
    g_autofree char *id = g_strdup_printf ("hand%u", i);

    g_object_set (gtk_builder_get_object (builder, id), "shortcut-type", GTK_SHORTCUT_GESTURE, "icon", mouse, NULL);
  }
  return g_object_ref_sink (GTK_WIDGET (gtk_builder_get_object (builder, "window")));
}
