#include "parity.h"
#include "tess-cpu-backend.h"

/* PyTorch in float64 and this backend in float32. */
static void
test_cpu (gconstpointer data)
{
  parity_check (GPOINTER_TO_UINT (data), tess_cpu_backend ());
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < parity_n (); i++) {
    g_autofree char *path = g_strdup_printf ("/cpu/parity/%s", parity_name (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_cpu);
  }
  return g_test_run ();
}
