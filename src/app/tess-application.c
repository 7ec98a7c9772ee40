#include "tess-application.h"

#include "tess-settings.h"
#include "tess-shortcuts.h"
#include "tess-window.h"
#include "tess-window-private.h"

#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

struct _TessApplication {
  AdwApplication parent_instance;

  TessHeadStart *head_start; /* until there is a window */
  int exit_status;           /* of --exit-after-startup */
};

G_DEFINE_FINAL_TYPE (TessApplication, tess_application, ADW_TYPE_APPLICATION)

static const GOptionEntry options[] = {
    {"label", 0, 0, G_OPTION_ARG_FILENAME, NULL, N_ ("Labels to show over the scan"), N_ ("FILE")},
    {"model", 0, 0, G_OPTION_ARG_FILENAME, NULL, N_ ("Model to segment with"), N_ ("FILE")},
    {"run", 0, 0, G_OPTION_ARG_FILENAME, NULL, N_ ("Run folder of a training to show, also while it goes on"),
     N_ ("FOLDER")},
    {"version", 0, 0, G_OPTION_ARG_NONE, NULL, N_ ("Print the version and leave"), NULL},
    {"exit-after-startup", 0, 0, G_OPTION_ARG_NONE, NULL,
     N_ ("Leave when everything named is open and drawn (for tests)"), NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, NULL, NULL, N_ ("[FILE or FOLDER]")},
    {0},
};

static TessWindow *
the_window (TessApplication *self)
{
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l; l = l->next)
    if (TESS_IS_WINDOW (l->data))
      return l->data;
  return NULL;
}

static void
apply_style_cb (TessSettings *settings)
{
  g_autofree char *style = NULL;
  AdwStyleManager *manager = adw_style_manager_get_default ();

  gboolean debugging = g_getenv ("ADW_DEBUG_COLOR_SCHEME") != NULL; /* then that decides */

  g_object_get (settings, "style", &style, NULL);
  if (g_strcmp0 (style, "light") == 0)
    adw_style_manager_set_color_scheme (manager, ADW_COLOR_SCHEME_FORCE_LIGHT);
  else if (g_strcmp0 (style, "system") == 0)
    adw_style_manager_set_color_scheme (manager, ADW_COLOR_SCHEME_PREFER_LIGHT);
  else
    adw_style_manager_set_color_scheme (manager,
                                        debugging ? ADW_COLOR_SCHEME_PREFER_DARK : ADW_COLOR_SCHEME_FORCE_DARK);
}

static void
quit_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessWindow *window = the_window (data);

  /* The window may want to ask something first. */
  if (window)
    gtk_window_close (GTK_WINDOW (window));
  else
    g_application_quit (data);
}

/* SIGTERM, SIGINT, SIGHUP: as if the session ended. A second one ends the process at once, as without us. */
static gboolean
told_to_end_cb (gpointer data)
{
  TessWindow *window = the_window (data);

  if (window)
    tess_window_end (window);
  else
    g_application_quit (data);
  return G_SOURCE_REMOVE;
}

static void
tess_application_startup (GApplication *application)
{
  static const GActionEntry entries[] = {{.name = "quit", .activate = quit_cb}};
  g_autoptr (GtkCssProvider) css = gtk_css_provider_new ();
  TessSettings *settings;

  G_APPLICATION_CLASS (tess_application_parent_class)->startup (application);

  gtk_window_set_default_icon_name ("org.tessera.Tessera");
  gtk_css_provider_load_from_resource (css, "/org/tessera/Tessera/ui/style.css");
  gtk_style_context_add_provider_for_display (gdk_display_get_default (), GTK_STYLE_PROVIDER (css),
                                              GTK_STYLE_PROVIDER_PRIORITY_APPLICATION);
  g_action_map_add_action_entries (G_ACTION_MAP (application), entries, G_N_ELEMENTS (entries), application);
  tess_shortcuts_install (GTK_APPLICATION (application));

  g_unix_signal_add (SIGTERM, told_to_end_cb, application);
  g_unix_signal_add (SIGINT, told_to_end_cb, application);
  g_unix_signal_add (SIGHUP, told_to_end_cb, application);

  settings = tess_settings_get ();
  g_signal_connect (settings, "notify::style", G_CALLBACK (apply_style_cb), NULL);
  apply_style_cb (settings);
}

static void
tess_application_activate (GApplication *application)
{
  TessWindow *window = the_window (TESS_APPLICATION (application));

  if (!window)
    window =
        tess_window_new (ADW_APPLICATION (application), g_steal_pointer (&TESS_APPLICATION (application)->head_start));
  gtk_window_present (GTK_WINDOW (window));
}

static char *
absolute (GApplicationCommandLine *line, const char *path)
{
  const char *cwd = g_application_command_line_get_cwd (line);

  return g_canonicalize_filename (path, cwd);
}

static char *
lookup_path (GApplicationCommandLine *line, GVariantDict *dict, const char *key)
{
  g_autofree char *path = NULL;

  return g_variant_dict_lookup (dict, key, "^ay", &path) ? absolute (line, path) : NULL;
}

static void
started_cb (TessWindow *window, gboolean ok, gpointer data)
{
  TESS_APPLICATION (data)->exit_status = ok ? 0 : 1;
  gtk_window_destroy (GTK_WINDOW (window));
}

/* In the first process for itself and for every later one: `tessera FILE` opens FILE in the window that is there. */
static int
tess_application_command_line (GApplication *application, GApplicationCommandLine *line)
{
  GVariantDict *dict = g_application_command_line_get_options_dict (line);
  g_autofree char *label = lookup_path (line, dict, "label"), *model = lookup_path (line, dict, "model");
  g_autofree char *run = lookup_path (line, dict, "run");
  g_auto (GStrv) files = NULL;
  TessWindow *window;

  g_variant_dict_lookup (dict, G_OPTION_REMAINING, "^aay", &files);
  g_application_activate (application);
  window = the_window (TESS_APPLICATION (application));
  /* The scan is what is shown in the end, with the run one click away. */
  if (run)
    tess_window_open_run (window, run);
  for (guint i = 0; files && files[i]; i++) {
    g_autofree char *path = absolute (line, files[i]);

    /* Labels belong to the scan, which is the first. */
    tess_window_open (window, path, i == 0 ? label : NULL);
  }
  if (label && !files)
    tess_window_open_labels (window, label);
  /* Last: opening a scan puts away what was said before. */
  if (model)
    tess_window_open_model (window, model);
  if (g_variant_dict_contains (dict, "exit-after-startup"))
    tess_window_when_started (window, started_cb, application);
  return 0;
}

/* Then this process only hands its command over, and needs no display: a fifth of the time to the first picture. */
static gboolean
is_running (GApplication *application)
{
  g_autoptr (GDBusConnection) bus = g_bus_get_sync (G_BUS_TYPE_SESSION, NULL, NULL);
  g_autoptr (GVariant) reply = NULL;
  gboolean owned = FALSE;

  if (bus)
    reply = g_dbus_connection_call_sync (bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                         "NameHasOwner",
                                         g_variant_new ("(s)", g_application_get_application_id (application)),
                                         G_VARIANT_TYPE ("(b)"), G_DBUS_CALL_FLAGS_NONE, 1000, NULL, NULL);
  if (reply)
    g_variant_get (reply, "(b)", &owned);
  return owned;
}

/* What will be opened first, by this process. */
static void
start_ahead (TessApplication *self, GVariantDict *dict)
{
  g_auto (GStrv) files = NULL;
  g_autofree char *path = NULL;

  if (!g_variant_dict_lookup (dict, G_OPTION_REMAINING, "^aay", &files) || !files[0])
    return;
  path = g_canonicalize_filename (files[0], NULL);
  self->head_start = tess_head_start_new (path);
}

static int
tess_application_handle_local_options (GApplication *application, GVariantDict *dict)
{
  if (g_variant_dict_contains (dict, "version")) {
    printf ("tessera " TESS_VERSION "\n");
    return 0;
  }
  g_set_prgname ("org.tessera.Tessera"); /* --help has had the other; by this the desktop finds our icon and name */
  if (is_running (application))
    return -1;
  start_ahead (TESS_APPLICATION (application), dict);
  /* GTK itself would end the program with a line that does not help. */
  if (!gtk_init_check ()) {
    fprintf (
        stderr,
        _ ("tessera: there is no display to show a window on; start it in a graphical session, or use tessera-cli\n"));
    return 1;
  }
  return -1;
}

static void
tess_application_finalize (GObject *object)
{
  g_clear_pointer (&TESS_APPLICATION (object)->head_start, tess_head_start_free);
  G_OBJECT_CLASS (tess_application_parent_class)->finalize (object);
}

static void
tess_application_class_init (TessApplicationClass *klass)
{
  GApplicationClass *application_class = G_APPLICATION_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tess_application_finalize;
  application_class->startup = tess_application_startup;
  application_class->activate = tess_application_activate;
  application_class->command_line = tess_application_command_line;
  application_class->handle_local_options = tess_application_handle_local_options;
}

static void
tess_application_init (TessApplication *self)
{
  GApplication *application = G_APPLICATION (self);

  g_application_add_main_option_entries (application, options);
  g_application_set_option_context_parameter_string (application, NULL);
  g_application_set_option_context_summary (
      application, _ ("Look at medical volumes, train 3D segmentation networks on them, and segment the next scan."));
}

/* Without a graphics card GTK paints its own widgets much faster by itself than through OpenGL in software; the
 * pictures are drawn with OpenGL in either case. GSK_RENDERER, where it is set, decides. */
static void
choose_painter (void)
{
  static const char *const cards[] = {"/dev/dri/renderD128", "/dev/nvidia0", "/dev/dxg"};
  gboolean card = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (cards); i++)
    card = card || g_file_test (cards[i], G_FILE_TEST_EXISTS);
  if (!card || g_strcmp0 (g_getenv ("LIBGL_ALWAYS_SOFTWARE"), "1") == 0)
    g_setenv ("GSK_RENDERER", "cairo", FALSE);
}

TessApplication *
tess_application_new (void)
{
  choose_painter ();
  return g_object_new (TESS_TYPE_APPLICATION, "application-id", "org.tessera.Tessera", "flags",
                       G_APPLICATION_HANDLES_COMMAND_LINE, "resource-base-path", "/org/tessera/Tessera", NULL);
}

/* The exit status of the process: 0, or 1 when there was no display or, with --exit-after-startup, something named
 * could not be opened. */
int
tess_application_run (TessApplication *self, int argc, char **argv)
{
  int status = g_application_run (G_APPLICATION (self), argc, argv);

  return status ? status : self->exit_status;
}
