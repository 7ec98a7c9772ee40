#include "tess-backend.h"

#include "tess-plugin.h"
#include "tess-thread.h"

/* All that exist, in the order of preference of the fallback; "cpu" is linked in, the others are plugins. */
static const char *const ids[] = {"cpu", "cuda"};

#define N_IDS G_N_ELEMENTS (ids)

static TessMutex mutex = TESS_MUTEX_INIT;
static const TessBackendIface *backends[N_IDS];
/* Why a plugin could not be loaded: it is tried once a run. */
static GError *failures[N_IDS];

static guint
index_of (const char *id)
{
  for (guint i = 0; i < N_IDS; i++)
    if (g_strcmp0 (ids[i], id) == 0)
      return i;
  return N_IDS;
}

/**
 * tess_backends_known:
 * @strings: (out) (transfer none): "cpu", "cuda"
 *
 * Returns: how many there are; whether one works here only tess_backend_find() can say.
 */
guint
tess_backends_known (const char *const **strings)
{
  *strings = ids;
  return N_IDS;
}

/**
 * tess_backend_register:
 *
 * Makes a linked-in backend known, before any other call; replaces an earlier one of the same id.
 */
void
tess_backend_register (const TessBackendIface *iface)
{
  guint i = index_of (iface->id);

  g_return_if_fail (i < N_IDS && iface->abi == TESS_BACKEND_ABI);

  tess_mutex_lock (&mutex);
  backends[i] = iface;
  tess_mutex_unlock (&mutex);
}

static const TessBackendIface *
load_plugin (const char *id, GError **error)
{
  g_autofree char *path = NULL;
  gpointer symbol;
  TessBackendQuery query;
  const TessBackendIface *iface;

  if (!tess_plugin_open (id, TESS_BACKEND_QUERY_SYMBOL, &symbol, &path, error))
    return NULL;
  memcpy (&query, &symbol, sizeof query);
  iface = query (TESS_BACKEND_ABI);
  if (iface != NULL && iface->abi == TESS_BACKEND_ABI && g_strcmp0 (iface->id, id) == 0)
    return iface;
  tess_plugin_mismatch (path, TESS_BACKEND_ABI, error);
  return NULL;
}

/**
 * tess_backend_find:
 * @id: "cpu" or "cuda"
 *
 * Loads the plugin when it is first asked for; the outcome is remembered. A backend found may still have no device.
 *
 * Returns: (transfer none): NULL with USAGE (no such id) or UNSUPPORTED (why it cannot be used).
 */
const TessBackendIface *
tess_backend_find (const char *id, GError **error)
{
  guint i = index_of (id);
  const TessBackendIface *iface;

  if (i == N_IDS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("there is no backend \"%s\"; choose auto, cpu or cuda"), id);
    return NULL;
  }
  tess_mutex_lock (&mutex);
  if (backends[i] == NULL && failures[i] == NULL) {
    if (g_str_equal (id, "cpu"))
      g_set_error (&failures[i], TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("the cpu backend is not part of this program"));
    else
      backends[i] = load_plugin (id, &failures[i]);
  }
  iface = backends[i];
  if (iface == NULL && error != NULL)
    *error = g_error_copy (failures[i]);
  tess_mutex_unlock (&mutex);
  return iface;
}

static char *
describe (const TessBackendIface *iface)
{
  TessDeviceInfo info = {0};

  if (!iface->device_info (0, &info, NULL))
    return g_strdup (iface->id);
  if (info.detail[0] == '\0')
    return g_strdup_printf ("%s (%s)", iface->id, info.name);
  return g_strdup_printf ("%s (%s, %s)", iface->id, info.name, info.detail);
}

/* Whether the backend has a device at all; error: its own reason, or ours. */
static gboolean
has_device (const TessBackendIface *iface, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (iface->n_devices (&reason) > 0)
    return TRUE;
  if (reason != NULL)
    g_propagate_error (error, g_steal_pointer (&reason));
  else
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s has no device here"), iface->name);
  return FALSE;
}

static const TessBackendIface *
usable (const char *id, GError **error)
{
  const TessBackendIface *iface = tess_backend_find (id, error);

  return iface != NULL && has_device (iface, error) ? iface : NULL;
}

/**
 * tess_backend_choose:
 * @id_or_auto: "cpu", "cuda", or "auto" (also NULL)
 * @why: (out) (optional): new string, one line: what was chosen, and with "auto" why not cuda
 *
 * "auto" takes cuda when its plugin loads, can train and has a device, else cpu: a missing or broken plugin is never
 * an error. A backend named by its id must work.
 */
const TessBackendIface *
tess_backend_choose (const char *id_or_auto, char **why, GError **error)
{
  const TessBackendIface *iface;
  g_autoptr (GError) reason = NULL;
  g_autofree char *text = NULL;

  if (why != NULL)
    *why = NULL;
  if (id_or_auto != NULL && strcmp (id_or_auto, "auto") != 0) {
    iface = usable (id_or_auto, error);
    if (iface != NULL && why != NULL)
      *why = describe (iface);
    return iface;
  }

  iface = usable ("cuda", &reason);
  if (iface != NULL && (iface->flags & TESS_BACKEND_TRAINS) == 0) {
    g_set_error (&reason, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("this cuda plugin has not been tried on a GPU yet; --backend cuda uses it all the same"));
    iface = NULL;
  }
  if (iface == NULL)
    iface = usable ("cpu", error);
  if (iface == NULL || why == NULL)
    return iface;
  text = describe (iface);
  *why = reason == NULL ? g_steal_pointer (&text) : g_strdup_printf (_ ("%s; not cuda: %s"), text, reason->message);
  return iface;
}

/* Returns: (transfer full): NULL with the backend's error. */
TessBuffer *
tess_backend_upload_new (const TessBackendIface *backend, TessDevice *device, const void *data, gsize bytes,
                         GError **error)
{
  TessBuffer *buffer = backend->buffer_new (device, bytes, error);

  if (buffer && !backend->upload (buffer, 0, data, bytes, error)) {
    backend->buffer_free (buffer);
    return NULL;
  }
  return buffer;
}
