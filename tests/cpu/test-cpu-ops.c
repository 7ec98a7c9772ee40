#include "op-run.h"
#include "tess-cpu-backend.h"

/* Every case of the shared op table on the CPU backend against the naive reference. */

static void
test_f32 (gconstpointer data)
{
  op_run_case (tess_cpu_backend (), GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
}

static void
test_bf16 (gconstpointer data)
{
  op_run_case (tess_cpu_backend (), GPOINTER_TO_UINT (data), TESS_DTYPE_BF16, 1e-4);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < op_table_n (); i++) {
    g_autofree char *f32 = g_strdup_printf ("/cpu/ops/f32/%s", op_table_name (i));
    g_autofree char *bf16 = g_strdup_printf ("/cpu/ops/bf16/%s", op_table_name (i));

    g_test_add_data_func (f32, GUINT_TO_POINTER (i), test_f32);
    g_test_add_data_func (bf16, GUINT_TO_POINTER (i), test_bf16);
  }
  return g_test_run ();
}
