/* Reading a DICOM series: bench-dicom FOLDER prints the seconds of the fastest of three reads, from folder to volume;
 * without a folder nothing: the peer makes the series and calls this. */
#include "tess-format-registry.h"

#include <stdio.h>

int
main (int argc, char **argv)
{
  double best = G_MAXDOUBLE;

  for (int i = 0; i < 3 && argc == 2; i++) {
    g_autoptr (GError) error = NULL;
    gint64 start = g_get_monotonic_time ();
    g_autoptr (TessVolume) volume = tess_volume_load (argv[1], NULL, &error);

    if (!volume) {
      fprintf (stderr, "%s\n", error->message);
      return 1;
    }
    best = MIN (best, (double)(g_get_monotonic_time () - start) / 1e6);
  }
  if (argc == 2)
    printf ("%.4f\n", best);
  return 0;
}
