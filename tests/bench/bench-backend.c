#include "bench-backend.h"

#include "tess-cpu-backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_HERE 77

const TessBackendIface *
bench_backend (const char *id, TessDeviceInfo *info)
{
  g_autoptr (GError) error = NULL;
  const char *told = g_getenv ("TESSERA_BENCH_BACKEND");
  const TessBackendIface *backend;

  tess_backend_register (tess_cpu_backend ());
  backend = tess_backend_choose (told != NULL ? told : id, NULL, &error);
  if (backend == NULL || !backend->device_info (0, info, &error)) {
    fprintf (stderr, "%s: %s\n", program_invocation_short_name, error->message);
    exit (NOT_HERE);
  }
  return backend;
}

gint64
bench_number (const char *name, gint64 without)
{
  const char *told = g_getenv (name);
  gint64 number = told != NULL ? g_ascii_strtoll (told, NULL, 10) : 0;

  return number > 0 ? number : without;
}

gint64
bench_resident (const char *name)
{
  g_autofree char *text = NULL;
  const char *line = g_file_get_contents ("/proc/self/status", &text, NULL, NULL) ? strstr (text, name) : NULL;

  return line != NULL ? g_ascii_strtoll (line + strlen (name), NULL, 10) * 1024 : 0;
}

void
bench_forget_peak (void)
{
  if (!g_file_set_contents ("/proc/self/clear_refs", "5", 1, NULL))
    g_debug ("the largest resident set cannot be forgotten; it is that of now or near it");
}
