#include "tess-plan.h"

#include <stdint.h>

/* A plan comes from a model file's metadata: bytes from outside. Whatever is accepted must be valid, and must read
 * back from what is written. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_autoptr (TessPlan) plan = tess_plan_from_text (text, "fuzz", &error);

  g_assert_true (plan || error);
  if (!plan)
    return 0;
  g_autofree char *written = tess_plan_to_text (plan);
  g_autoptr (TessPlan) again = tess_plan_from_text (written, "written", &error);
  g_assert_no_error (error);
  g_autofree char *twice = tess_plan_to_text (again);
  g_assert_cmpstr (written, ==, twice);
  return 0;
}
