#include "bench-backend.h"

#include "../random-number.h"
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

gboolean
bench_write_batch (TessSession *session, GError **error)
{
  const TessNetwork *network = tess_session_network (session, 0);
  guint32 n_classes = (guint32)tess_graph_tensor (network->graph, network->logits[0])->dim[4], state = 1;
  gsize n = (gsize)tess_tensor_n_elements (tess_graph_tensor (network->graph, network->image));
  g_autofree float *image = g_new (float, n);
  g_autofree guint8 *labels = g_new (guint8, n); /* one channel: as many */

  for (gsize i = 0; i < n; i++) {
    image[i] = random_number (&state);
    labels[i] = (guint8)((state >> 20) % n_classes);
  }
  return tess_session_write (session, 0, network->image, image, n * sizeof *image, error) &&
         tess_session_write (session, 0, network->labels, labels, n, error);
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
