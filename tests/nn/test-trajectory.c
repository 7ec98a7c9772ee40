#include "ref-backend.h"
#include "trajectory.h"

/* Ten steps of PyTorch in float64 and of the reference with float storage. */
static void
test_reference (void)
{
  g_autoptr (GError) error = NULL;
  Trajectory t;
  gboolean ok = trajectory_run (NULL, 0, 1, TESS_DTYPE_F32, &t, &error);

  g_assert_no_error (error);
  g_assert_true (ok);
  g_assert_cmpuint (t.n_steps, ==, 10);
  for (guint k = 0; k < t.n_steps; k++)
    g_test_message ("step %u: loss %.9f (PyTorch %.9f), gradient norm %.9f (PyTorch %.9f)", k, t.loss[k],
                    t.torch_loss[k], t.norm[k], t.torch_norm[k]);
  g_test_message (
      "largest relative error of loss %.3g, of norm %.3g; NMSE of logits %.3g, of the parameters' change %.3g",
      t.loss_error, t.norm_error, t.logits_nmse, t.param_nmse);
  g_assert_cmpfloat (t.loss_error, <, 1e-4);
  g_assert_cmpfloat (t.norm_error, <, 1e-4);
  g_assert_cmpfloat (t.logits_nmse, <, 1e-10);
  g_assert_cmpfloat (t.param_nmse, <, 1e-8);
  g_assert_cmpuint (ref_backend_live (), ==, 0);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/trajectory/reference", test_reference);
  return g_test_run ();
}
