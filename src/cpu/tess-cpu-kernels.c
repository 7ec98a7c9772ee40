#include "tess-cpu-kernels.h"

extern const TessCpuKernels tess_cpu_kernels_base;
#ifdef TESS_CPU_X86
extern const TessCpuKernels tess_cpu_kernels_avx2, tess_cpu_kernels_avx512;
#endif

/**
 * tess_cpu_kernels_usable:
 * @tables: room for TESS_CPU_MAX_ISAS tables
 *
 * Returns: how many sets of kernels this processor can run, widest instruction set first.
 */
guint
tess_cpu_kernels_usable (const TessCpuKernels **tables)
{
  guint n = 0;

#ifdef TESS_CPU_X86
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw") &&
      __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("avx512vl"))
    tables[n++] = &tess_cpu_kernels_avx512;
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma") && __builtin_cpu_supports ("bmi2"))
    tables[n++] = &tess_cpu_kernels_avx2;
#endif
  tables[n++] = &tess_cpu_kernels_base;
  return n;
}

gsize
tess_cpu_norm_scratch (gsize n, gsize voxels, gsize channels)
{
  TessCpuWalk w = tess_cpu_walk (voxels, channels);

  return n * (2 * w.n_blocks + 10) * w.period * sizeof (float);
}

gsize
tess_cpu_columns_scratch (gsize rows, gsize channels)
{
  TessCpuWalk w = tess_cpu_walk (rows, channels);

  return channels * sizeof (double) + w.n_blocks * w.period * sizeof (float);
}

gsize
tess_cpu_loss_scratch (guint n_threads, gsize n, gsize voxels, guint n_classes)
{
  gsize n_blocks = (voxels + TESS_CPU_LOSS_BLOCK - 1) / TESS_CPU_LOSS_BLOCK;

  return n_threads * (gsize)n_classes * (64 + 2 * 16) * sizeof (float) +
         n * n_blocks * (2 + 6 * (gsize)n_classes) * sizeof (double);
}

gsize
tess_cpu_loss_sums (gsize n, guint n_classes)
{
  return n * 3 * (gsize)n_classes + 1;
}

gsize
tess_cpu_squares_scratch (gsize n)
{
  return (n / 4096 + 1) * sizeof (double);
}

gsize
tess_cpu_conv_weights_scratch (const TessCpuConvWeights *a)
{
  TessCpuConvWeightsPlan p = tess_cpu_conv_weights_plan (a);

  return (p.n_sums + 2 * p.planes * p.plane) * sizeof (float);
}

gsize
tess_cpu_extra_scratch (gsize n, gsize voxels, gsize channels)
{
  gsize n_blocks = (voxels + TESS_CPU_EXTRA_BLOCK - 1) / TESS_CPU_EXTRA_BLOCK;

  return (n * n_blocks + 1) * channels * sizeof (double);
}
