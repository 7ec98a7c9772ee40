#include "tess-cpu-vector.h"

/* The kernels of one instruction set; compiled once for each. */

#define TESS_CPU_KERNELS(X)                                                                                            \
  X (norm_forward)                                                                                                     \
  X (norm_backward)                                                                                                    \
  X (leaky)                                                                                                            \
  X (leaky_backward)                                                                                                   \
  X (add)                                                                                                              \
  X (to_bf16)                                                                                                          \
  X (concat)                                                                                                           \
  X (split)                                                                                                            \
  X (add_bias)                                                                                                         \
  X (column_sums)                                                                                                      \
  X (label_resize)                                                                                                     \
  X (loss_forward)                                                                                                     \
  X (loss_finish)                                                                                                      \
  X (loss_backward)                                                                                                    \
  X (sum_squares)                                                                                                      \
  X (sgd)                                                                                                              \
  X (add_leaky)                                                                                                        \
  X (avg_pool)                                                                                                         \
  X (avg_pool_backward)                                                                                                \
  X (adam)                                                                                                             \
  X (extra)                                                                                                            \
  X (conv_weights)

/* Each has the type of its member in the table. */
#define TESS_CPU_DECLARE(name) extern __typeof__ (*((TessCpuKernels *)0)->name) TESS_KERNEL (name);
TESS_CPU_KERNELS (TESS_CPU_DECLARE)

extern const TessCpuKernels TESS_KERNEL (kernels);
const TessCpuKernels TESS_KERNEL (kernels) = {
#define TESS_CPU_MEMBER(name) .name = TESS_KERNEL (name),
    TESS_CPU_KERNELS (TESS_CPU_MEMBER)};
