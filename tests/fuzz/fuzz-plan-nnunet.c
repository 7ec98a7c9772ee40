/* Any JSON, taken as nnU-Net's plans and dataset in one: refused with a reason, or a valid plan. */
#include "tess-plan-nnunet.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (JsonNode) root = tess_json_parse ((const char *)data, (gssize)size, "fuzz", NULL);
  g_autoptr (TessPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  guint axes[3];

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_FATAL_MASK);
  if (!root || !JSON_NODE_HOLDS_OBJECT (root))
    return 0;
  plan = tess_plan_from_nnunet (json_node_get_object (root), "3d", json_node_get_object (root), "fuzz", axes, &error);
  if ((plan == NULL) != (error != NULL) || (plan && !tess_plan_validate (plan, "fuzz", NULL)))
    abort ();
  return 0;
}
