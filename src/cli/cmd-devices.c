#include "tess-cli.h"

#include "tess-format.h"

#include <stdio.h>

/* One backend as found: its devices, or the reason why there is none. */
typedef struct {
  const char *id;
  const TessBackendIface *iface; /* NULL when it could not be loaded */
  guint n;
  TessDeviceInfo *info; /* n */
  char *reason;         /* one line; NULL when there are devices */
} Found;

static char *
one_line (GError *error)
{
  char *text = g_strdelimit (g_strdup (error ? error->message : _ ("it finds no device")), "\n\r", ' ');

  g_clear_error (&error);
  return g_strstrip (text);
}

static void
look (const char *id, Found *found)
{
  GError *error = NULL;

  *found = (Found){.id = id};
  found->iface = tess_backend_find (id, &error);
  if (found->iface)
    found->n = found->iface->n_devices (&error);
  if (found->n == 0) {
    found->reason = one_line (error);
    return;
  }
  found->info = g_new0 (TessDeviceInfo, found->n);
  for (guint i = 0; i < found->n; i++)
    if (!found->iface->device_info (i, &found->info[i], &error)) {
      /* It is there but does not answer: what it says belongs into the list. */
      g_autofree char *text = one_line (g_steal_pointer (&error));

      g_strlcpy (found->info[i].name, text, sizeof found->info[i].name);
    }
}

static void
found_clear (Found *found)
{
  g_free (found->info);
  g_free (found->reason);
}

static gboolean
trains (const Found *found)
{
  return found->iface && (found->iface->flags & TESS_BACKEND_TRAINS);
}

static void
print_text (const Found *found)
{
  if (found->n == 0)
    printf ("%-5s %s\n", found->id, found->reason);
  for (guint i = 0; i < found->n; i++) {
    const TessDeviceInfo *info = &found->info[i];
    g_autofree char *unused = tess_format_bytes (info->memory_free);
    g_autofree char *total = tess_format_bytes (info->memory_total);

    printf ("%-5s %u  %s\n", found->id, i, info->name);
    printf (_ ("         memory: %s free of %s\n"), unused, total);
    printf (_ ("         precision: %s%s%s\n"), info->bf16 ? "bf16" : "f32", info->detail[0] ? "; " : "", info->detail);
    if (!trains (found))
      printf (_ ("         this backend has not been tried on a GPU yet, so --backend auto does not choose it\n"));
  }
}

static JsonObject *
to_json (const Found *found)
{
  JsonObject *object = json_object_new ();
  JsonArray *devices = json_array_new ();

  json_object_set_string_member (object, "id", found->id);
  if (found->iface)
    json_object_set_string_member (object, "name", found->iface->name);
  json_object_set_boolean_member (object, "available", found->n > 0);
  json_object_set_boolean_member (object, "trains", trains (found));
  if (found->reason)
    json_object_set_string_member (object, "reason", found->reason);
  for (guint i = 0; i < found->n; i++) {
    const TessDeviceInfo *info = &found->info[i];
    JsonObject *device = json_object_new ();

    json_object_set_int_member (device, "index", i);
    json_object_set_string_member (device, "name", info->name);
    json_object_set_string_member (device, "detail", info->detail);
    json_object_set_int_member (device, "memory_total", (gint64)info->memory_total);
    json_object_set_int_member (device, "memory_free", (gint64)info->memory_free);
    json_object_set_boolean_member (device, "bf16", info->bf16);
    json_array_add_object_element (devices, device);
  }
  json_object_set_array_member (object, "devices", devices);
  return object;
}

/* devices: every backend this program knows, its devices with their memory (bytes in JSON), and for a backend that
 * is missing or finds no device the reason in one line. */
int
tess_cmd_devices (TessCli *cli, int argc, char **argv)
{
  const char *const *ids;
  guint n_ids = tess_backends_known (&ids);
  JsonArray *backends;
  int code;

  if (!tess_cli_parse (cli, &argc, &argv, NULL, "", _ ("Lists what can compute here: backends, devices and memory."), 0,
                       0, &code))
    return code;
  backends = json_array_new ();
  for (guint i = 0; i < n_ids; i++) {
    Found found;

    look (ids[i], &found);
    if (cli->json)
      json_array_add_object_element (backends, to_json (&found));
    else
      print_text (&found);
    found_clear (&found);
  }
  if (cli->json) {
    JsonObject *root = json_object_new ();
    JsonNode *node = json_node_new (JSON_NODE_OBJECT);

    json_object_set_array_member (root, "backends", json_array_ref (backends));
    json_node_take_object (node, root);
    tess_cli_print_json (node);
  }
  json_array_unref (backends);
  return 0;
}
