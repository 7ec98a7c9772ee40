#include "ref-backend.h"

#include "ref.h"

struct _TessDevice {
  guint n_threads;
};

struct _TessBuffer {
  guint8 *data;
  gsize bytes;
};

struct _TessProgram {
  TessGraph *graph;
  guint8 *arenas[TESS_N_ARENAS];
  gboolean bound;
};

static guint live;

guint
ref_backend_live (void)
{
  return live;
}

static guint
n_devices (GError **error)
{
  return 1;
}

static gboolean
device_info (guint index, TessDeviceInfo *info, GError **error)
{
  *info = (TessDeviceInfo){.memory_total = 1u << 30, .memory_free = 1u << 30};
  g_strlcpy (info->name, "Reference", sizeof info->name);
  g_strlcpy (info->detail, "double", sizeof info->detail);
  return TRUE;
}

static TessDevice *
device_open (guint index, guint n_threads, GError **error)
{
  TessDevice *device = g_new0 (TessDevice, 1);

  device->n_threads = n_threads;
  live++;
  return device;
}

static void
device_close (TessDevice *device)
{
  g_free (device);
  live--;
}

static TessBuffer *
buffer_new (TessDevice *device, gsize bytes, GError **error)
{
  TessBuffer *buffer;
  guint8 *data = g_try_malloc0 (bytes);

  if (data == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, "no %" G_GSIZE_FORMAT " bytes", bytes);
    return NULL;
  }
  buffer = g_new0 (TessBuffer, 1);
  buffer->data = data;
  buffer->bytes = bytes;
  live++;
  return buffer;
}

static void
buffer_free (TessBuffer *buffer)
{
  g_free (buffer->data);
  g_free (buffer);
  live--;
}

static void *
buffer_host (TessBuffer *buffer)
{
  return buffer->data;
}

static gboolean
upload (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  g_assert_true (offset <= buffer->bytes && n <= buffer->bytes - offset);
  memcpy (buffer->data + offset, source, n);
  return TRUE;
}

static gboolean
download (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error)
{
  g_assert_true (offset <= buffer->bytes && n <= buffer->bytes - offset);
  memcpy (target, buffer->data + offset, n);
  return TRUE;
}

static TessProgram *
prepare (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error)
{
  TessProgram *program = g_new0 (TessProgram, 1);

  program->graph = tess_graph_ref (graph);
  *requirements = (TessRequirements){.workspace = 1000};
  memcpy (requirements->arena, graph->arena_bytes, sizeof requirements->arena);
  live++;
  return program;
}

static gboolean
bind (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error)
{
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    g_assert_true (program->graph->arena_bytes[a] == 0 ||
                   (arenas[a] != NULL && arenas[a]->bytes >= program->graph->arena_bytes[a]));
    program->arenas[a] = arenas[a] != NULL ? arenas[a]->data : NULL;
  }
  program->bound = TRUE;
  return TRUE;
}

static gboolean
run (TessProgram *program, const TessStepArgs *args, GError **error)
{
  g_assert_true (program->bound);
  return ref_run (program->graph, program->arenas, args, error);
}

static void
program_free (TessProgram *program)
{
  tess_graph_unref (program->graph);
  g_free (program);
  live--;
}

const TessBackendIface *
ref_backend (void)
{
  static const TessBackendIface iface = {
      .abi = TESS_BACKEND_ABI,
      .flags = TESS_BACKEND_TRAINS,
      .id = "cpu",
      .name = "Reference",
      .n_devices = n_devices,
      .device_info = device_info,
      .open = device_open,
      .close = device_close,
      .buffer_new = buffer_new,
      .buffer_free = buffer_free,
      .buffer_host = buffer_host,
      .upload = upload,
      .download = download,
      .prepare = prepare,
      .bind = bind,
      .run = run,
      .program_free = program_free,
  };

  return &iface;
}
