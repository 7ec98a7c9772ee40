#include "tess-cpu-private.h"

#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "tess-parallel.h"

/* Buffers from here on come from mmap: already zero, and in pages of 2 MB where the system gives them. */
#define MAPPED_FROM ((gsize)1 << 20)

int
tess_cpu_threads_enter (const TessDevice *device)
{
  int before = omp_get_max_threads ();

  omp_set_num_threads ((int)device->n_threads);
  return before;
}

void
tess_cpu_threads_leave (int before)
{
  omp_set_num_threads (before);
}

/* Bytes behind "NAME:  123 kB" in /proc/meminfo; 0 when there is none. */
static guint64
meminfo (const char *text, const char *name)
{
  const char *line = text != NULL ? strstr (text, name) : NULL;

  return line != NULL ? g_ascii_strtoull (line + strlen (name), NULL, 10) * 1024 : 0;
}

/* A number in a control group's file; G_MAXUINT64 where there is no limit. */
static guint64
cgroup (const char *path)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL) || !g_ascii_isdigit (text[0]))
    return G_MAXUINT64;
  return g_ascii_strtoull (text, NULL, 10);
}

static void
read_memory (guint64 *total, guint64 *available)
{
  g_autofree char *text = NULL;
  guint64 limit = cgroup ("/sys/fs/cgroup/memory.max"), used = cgroup ("/sys/fs/cgroup/memory.current");

  g_file_get_contents ("/proc/meminfo", &text, NULL, NULL);
  *total = meminfo (text, "MemTotal:");
  *available = meminfo (text, "MemAvailable:");
  if (limit < *total) {
    *total = limit;
    if (used != G_MAXUINT64)
      *available = MIN (*available, limit > used ? limit - used : 0);
  }
}

static void
read_name (char *name, gsize size)
{
  g_strlcpy (name, _ ("processor"), size);
#if defined(__x86_64__)
  guint words[13] = {0};

  if ((guint)__get_cpuid_max (0x80000000u, NULL) < 0x80000004u)
    return;
  for (guint i = 0; i < 3; i++)
    __get_cpuid (0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
  g_strlcpy (name, g_strstrip ((char *)words), size);
#endif
}

typedef enum { ISA_OTHER, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16, ISA_AMX_BF16 } Isa;

static Isa
find_isa (void)
{
#if defined(__x86_64__)
  guint a, b, c, d;

  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512dq") &&
      __builtin_cpu_supports ("avx512vl")) {
    if (__get_cpuid_count (7, 0, &a, &b, &c, &d) && (d & (1u << 22)) != 0)
      return ISA_AMX_BF16;
    return __builtin_cpu_supports ("avx512bf16") ? ISA_AVX512_BF16 : ISA_AVX512;
  }
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    return ISA_AVX2;
#endif
  return ISA_OTHER;
}

static guint
cpu_n_devices (GError **error)
{
  return 1;
}

static gboolean
cpu_device_info (guint index, TessDeviceInfo *info, GError **error)
{
  static const char *const details[] = {"", "AVX2", "AVX-512", "AVX-512 BF16", "AMX BF16"};
  Isa isa = find_isa ();
  guint n_cores = tess_parallel_n_cores ();

  if (index != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("cpu:%u: there is only one CPU device, number 0"), index);
    return FALSE;
  }
  memset (info, 0, sizeof *info);
  read_name (info->name, sizeof info->name);
  read_memory (&info->memory_total, &info->memory_free);
  /* Both kinds of bf16 instructions multiply twice as many numbers a cycle as float32 ones, and activations take half
   * the bandwidth; without them oneDNN emulates. */
  info->bf16 = isa == ISA_AVX512_BF16 || isa == ISA_AMX_BF16;
  g_snprintf (info->detail, sizeof info->detail, g_dngettext (GETTEXT_PACKAGE, "%u core%s%s", "%u cores%s%s", n_cores),
              n_cores, isa == ISA_OTHER ? "" : ", ", details[isa]);
  return TRUE;
}

static void
cpu_close (TessDevice *device)
{
  if (device == NULL)
    return;
  if (device->stream != NULL)
    device->dnnl->stream_destroy (device->stream);
  if (device->engine != NULL)
    device->dnnl->engine_destroy (device->engine);
  g_free (device);
}

/* n_threads: more than there are cores is allowed (they take turns); 0 = all cores. */
static TessDevice *
cpu_open (guint index, guint n_threads, GError **error)
{
  const TessCpuKernels *tables[TESS_CPU_MAX_ISAS];
  TessDeviceInfo info;
  const TessDnnl *dnnl;
  TessDevice *device;

  if (!cpu_device_info (index, &info, error))
    return NULL;
  dnnl = tess_dnnl_load (error);
  if (dnnl == NULL)
    return NULL;
  device = g_new0 (TessDevice, 1);
  device->dnnl = dnnl;
  tess_cpu_kernels_usable (tables);
  device->kernels = tables[0];
  device->n_threads = n_threads > 0 ? MIN (n_threads, 1024) : tess_parallel_n_cores ();
  if (!tess_dnnl_check (dnnl->engine_create (&device->engine, dnnl_cpu, 0), "open the processor", error) ||
      !tess_dnnl_check (dnnl->stream_create (&device->stream, device->engine, dnnl_stream_default_flags),
                        "open the processor", error)) {
    cpu_close (device);
    return NULL;
  }
  return device;
}

gboolean
tess_cpu_buffer_alloc (TessBuffer *buffer, gsize bytes, GError **error)
{
  guint64 total, available;
  gsize rounded;

  read_memory (&total, &available);
  buffer->bytes = bytes;
  buffer->data = NULL;
  buffer->mapped = bytes >= MAPPED_FROM;
  /* The system promises more than it has and kills whoever takes it at its word. */
  if (g_size_checked_add (&rounded, MAX (bytes, 1), 255) && (total == 0 || bytes <= total)) {
    rounded -= rounded % 256;
    if (buffer->mapped) {
      void *data = mmap (NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      if (data != MAP_FAILED) {
        madvise (data, rounded, MADV_HUGEPAGE);
        buffer->data = data;
      }
    } else {
      buffer->data = aligned_alloc (256, rounded);
      if (buffer->data != NULL)
        memset (buffer->data, 0, rounded);
    }
  }
  if (buffer->data == NULL) {
    g_autofree char *needed = g_format_size (bytes), *there = g_format_size (available);

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("%s of memory are needed, %s are free; take a smaller patch or batch"), needed, there);
    return FALSE;
  }
  return TRUE;
}

void
tess_cpu_buffer_clear (TessBuffer *buffer)
{
  if (buffer->data != NULL && buffer->mapped)
    munmap (buffer->data, (buffer->bytes + 255) / 256 * 256);
  else
    free (buffer->data);
  memset (buffer, 0, sizeof *buffer);
}

static TessBuffer *
cpu_buffer_new (TessDevice *device, gsize bytes, GError **error)
{
  TessBuffer *buffer = g_new0 (TessBuffer, 1);

  if (!tess_cpu_buffer_alloc (buffer, bytes, error))
    g_clear_pointer (&buffer, g_free);
  return buffer;
}

static void
cpu_buffer_free (TessBuffer *buffer)
{
  if (buffer == NULL)
    return;
  tess_cpu_buffer_clear (buffer);
  g_free (buffer);
}

static void *
cpu_buffer_host (TessBuffer *buffer)
{
  return buffer->data;
}

static gboolean
inside (const TessBuffer *buffer, gsize offset, gsize n, GError **error)
{
  if (offset <= buffer->bytes && n <= buffer->bytes - offset)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("%zu bytes at %zu do not lie in a buffer of %zu"), n, offset,
               buffer->bytes);
  return FALSE;
}

static gboolean
cpu_upload (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  if (!inside (buffer, offset, n, error))
    return FALSE;
  memcpy (buffer->data + offset, source, n);
  return TRUE;
}

static gboolean
cpu_download (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error)
{
  if (!inside (buffer, offset, n, error))
    return FALSE;
  memcpy (target, buffer->data + offset, n);
  return TRUE;
}

/**
 * tess_cpu_backend:
 *
 * Convolutions by oneDNN 2.6, everything else by our own OpenMP kernels; float32, and bfloat16 from AVX-512 on. Buffers
 * are host memory. Float32 results are the same bits every time for one number of threads.
 */
const TessBackendIface *
tess_cpu_backend (void)
{
  static const TessBackendIface iface = {
      .abi = TESS_BACKEND_ABI,
      .flags = TESS_BACKEND_TRAINS | TESS_BACKEND_REDUCES,
      .id = "cpu",
      .name = "oneDNN",
      .n_devices = cpu_n_devices,
      .device_info = cpu_device_info,
      .open = cpu_open,
      .close = cpu_close,
      .buffer_new = cpu_buffer_new,
      .buffer_free = cpu_buffer_free,
      .buffer_host = cpu_buffer_host,
      .upload = cpu_upload,
      .download = cpu_download,
      .prepare = tess_cpu_program_prepare,
      .bind = tess_cpu_program_bind,
      .run = tess_cpu_program_run,
      .program_free = tess_cpu_program_free,
      .buffer_new_near = cpu_buffer_new,
      .band_clear = tess_cpu_band_clear,
      .band_add = tess_cpu_band_add,
      .band_mean = tess_cpu_band_mean,
      .band_labels = tess_cpu_band_labels,
  };

  return &iface;
}
