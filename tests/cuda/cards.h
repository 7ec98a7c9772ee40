#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Cards as cuDNN is told of them, one of each kind the plugin holds code for, from NVIDIA's tables (CUDA C++ Programming
 * Guide, "Compute Capabilities", and data sheets). */
typedef struct {
  const char *name;
  guint sm; /* 10 times the compute capability's digits: 860 */
  guint n_sms, threads_per_sm, blocks_per_sm;
  gsize l2, shared, memory;
} Card;

static const Card cards[] = {
    {"RTX 2070", 750, 40, 1024, 16, 4194304, 65536, 8589934592},
    {"A100", 800, 108, 2048, 32, 41943040, 166912, 42949672960},
    {"RTX 3080", 860, 68, 1536, 16, 5242880, 101376, 17179869184},
    {"RTX 4080", 890, 76, 1536, 24, 67108864, 101376, 17179869184},
    {"H100", 900, 132, 2048, 32, 52428800, 232448, 85899345920},
    {"RTX 5080", 1200, 84, 1536, 24, 67108864, 101376, 17179869184},
};

static inline char *
card_json (const Card *c)
{
  return g_strdup_printf (
      "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"driverVer\": 13000, "
      "\"deviceVer\": %u, \"regsPerBlock\": 65536, \"multiProcessorCount\": %u, \"smClockRateKHz\": 1700000, "
      "\"memClockRateKHz\": 3201000, \"l2CacheSize\": %zu, \"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, "
      "\"maxSharedMemoryPerBlockOptin\": %zu, \"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, "
      "\"pciDeviceId\": 0, \"maxCtasPerSM\": %u, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": %u, "
      "\"cudaDeviceId\": 0, \"totalGlobalMem\": %zu, \"deviceName\": \"%s\", \"isTccDriver\": 0, "
      "\"supportCoopLaunch\": 1}",
      c->sm, c->n_sms, c->l2, c->shared, c->blocks_per_sm, c->threads_per_sm, c->memory, c->name);
}

G_END_DECLS
