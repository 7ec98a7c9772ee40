#include <gmodule.h>

#include "tess-backend.h"

/* A plugin for tests of the registry: how it fails is said by $TESSERA_TEST_PLUGIN. */

static gboolean
mode (const char *name)
{
  return g_strcmp0 (g_getenv ("TESSERA_TEST_PLUGIN"), name) == 0;
}

static guint
n_devices (GError **error)
{
  if (!mode ("no-device"))
    return 1;
  g_set_error (error, g_quark_from_static_string ("tess-error-quark"), TESS_ERROR_UNSUPPORTED, "no card is fitted");
  return 0;
}

static gboolean
device_info (guint index, TessDeviceInfo *info, GError **error)
{
  *info = (TessDeviceInfo){.memory_total = 1};
  g_strlcpy (info->name, "Test Card", sizeof info->name);
  return TRUE;
}

G_MODULE_EXPORT const TessBackendIface *tess_backend_query (guint32 host_abi);

G_MODULE_EXPORT const TessBackendIface *
tess_backend_query (guint32 host_abi)
{
  static TessBackendIface iface = {
      .abi = TESS_BACKEND_ABI,
      .flags = TESS_BACKEND_TRAINS,
      .id = "cuda",
      .name = "Test",
      .n_devices = n_devices,
      .device_info = device_info,
  };

  if (mode ("refuses") || host_abi != TESS_BACKEND_ABI)
    return NULL;
  if (mode ("old"))
    iface.abi = TESS_BACKEND_ABI - 1;
  if (mode ("infers"))
    iface.flags = 0;
  if (mode ("other-id"))
    iface.id = "cpu";
  return &iface;
}
