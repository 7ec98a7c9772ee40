#include "tess-application.h"
#include "tess-cpu-backend.h"

#include <glib/gi18n-lib.h>
#include <locale.h>

int
main (int argc, char **argv)
{
  const char *locale_dir = g_getenv ("TESSERA_LOCALE_DIR"); /* where translations are when we are not installed */
  g_autoptr (TessApplication) application = NULL;

  setlocale (LC_ALL, "");
  setlocale (LC_NUMERIC, "C"); /* numbers have one form here, and files are read by programs */
  gtk_disable_setlocale ();
  bindtextdomain (GETTEXT_PACKAGE, locale_dir ? locale_dir : TESS_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);

  g_set_prgname ("tessera");
  g_set_application_name ("Tessera");
  tess_backend_register (tess_cpu_backend ());

  application = tess_application_new ();
  return tess_application_run (application, argc, argv);
}
