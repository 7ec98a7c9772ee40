#include "tess-backend.h"

/* A plugin of another time: it answers any host, with a contract of the next ABI. The registry has to refuse it by
 * the number alone, as nothing else in the struct can be trusted then. */
__attribute__ ((visibility ("default"))) const TessBackendIface *tess_backend_query (guint32 host_abi);

const TessBackendIface *
tess_backend_query (guint32 host_abi)
{
  static const TessBackendIface iface = {.abi = TESS_BACKEND_ABI + 1, .id = "cuda", .name = "of another ABI"};

  return &iface;
}
