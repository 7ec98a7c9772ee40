#include "parity.h"

/* PyTorch in float64 and the reference with float storage. */
static void
test_reference (gconstpointer data)
{
  parity_check (GPOINTER_TO_UINT (data), NULL);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < parity_n (); i++) {
    g_autofree char *path = g_strdup_printf ("/nn/parity/%s", parity_name (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_reference);
  }
  return g_test_run ();
}
