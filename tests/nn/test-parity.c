#include "parity.h"

/* PyTorch in float64 and the reference with float storage. */
static void
test_reference (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Parity p;

  parity_run (GPOINTER_TO_UINT (data), NULL, &p, &error);
  g_assert_no_error (error);
  g_test_message ("errors: logits %.3g (%s), gradients %.3g (%s), parameters after ten steps %.3g (%s), losses %.3g",
                  p.logits, p.worst[0], p.gradients, p.worst[1], p.params, p.worst[2], p.losses);
  g_assert_cmpuint (p.n_params, >, 30);
  g_assert_cmpfloat (p.logits, <=, 1e-4);
  g_assert_cmpfloat (p.gradients, <=, 1e-3);
  g_assert_cmpfloat (p.params, <=, 1e-3);
  g_assert_cmpfloat (p.losses, <=, 1e-4);
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
