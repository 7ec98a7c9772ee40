/* Reading a large file: bench-read FILE prints one line of JSON for one load: its seconds, the seconds until the first
 * slices could be looked at, and the bytes of memory the process had at most. Without a file nothing: the peer makes
 * the file and calls this, once a measurement, so that no load gets the pages of the one before. */
#include "tess-format-registry.h"

#include <stdio.h>
#include <sys/resource.h>

static void
live_cb (TessVolume *volume, gpointer data)
{
  gint64 *first = data;

  if (*first == 0)
    *first = g_get_monotonic_time ();
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = NULL;
  gint64 start = g_get_monotonic_time (), first = 0, end;
  struct rusage usage;

  if (argc != 2)
    return 0;
  volume = tess_volume_load_live (argv[1], NULL, live_cb, &first, &error);
  end = g_get_monotonic_time ();
  if (!volume) {
    fprintf (stderr, "%s\n", error->message);
    return 1;
  }
  getrusage (RUSAGE_SELF, &usage);
  printf ("{\"load\": %.6f, \"first\": %.6f, \"memory\": %.0f}\n", (double)(end - start) / 1e6,
          (double)((first ? first : end) - start) / 1e6, 1024.0 * (double)usage.ru_maxrss);
  return 0;
}
