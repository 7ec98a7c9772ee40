#pragma once

#include "tess-cpu-kernels.h"

/* Vectors of the instruction set this file is compiled for (GCC's vector extension), for the kernel sources only. */

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif

typedef float VFloat __attribute__ ((vector_size (4 * VL)));
typedef gint32 VInt __attribute__ ((vector_size (4 * VL)));
typedef guint32 VUint __attribute__ ((vector_size (4 * VL)));
typedef guint16 VHalf __attribute__ ((vector_size (2 * VL)));
/* As they lie in memory: no alignment beyond the element's. */
typedef float VFloatMem __attribute__ ((vector_size (4 * VL), aligned (4), may_alias));
typedef guint16 VHalfMem __attribute__ ((vector_size (2 * VL), aligned (2), may_alias));

#define ALWAYS_INLINE static inline __attribute__ ((always_inline))

/* Every kernel is named NAME_ISA. */
#define TESS_KERNEL_JOIN(name, isa) name##_##isa
#define TESS_KERNEL_EXPAND(name, isa) TESS_KERNEL_JOIN (name, isa)
#define TESS_KERNEL(name) TESS_KERNEL_EXPAND (tess_cpu_##name, TESS_CPU_ISA)

/* Below this many elements a second thread costs more than it brings. */
#define SMALL 65536

ALWAYS_INLINE VFloat
v_load (const float *p)
{
  return *(const VFloatMem *) (gconstpointer) p;
}

ALWAYS_INLINE void
v_store (float *p, VFloat v)
{
  *(VFloatMem *) (gpointer) p = v;
}

/* Element i of a tensor that is float32 or bfloat16; bf16 is a constant where this is inlined. */
ALWAYS_INLINE VFloat
v_get (const void *p, gsize i, gboolean bf16)
{
  if (bf16) {
    VHalf h = *(const VHalfMem *) (gconstpointer) ((const guint16 *) p + i);

    return (VFloat) (__builtin_convertvector (h, VUint) << 16);
  }
  return v_load ((const float *) p + i);
}

ALWAYS_INLINE void
v_put (void *p, gsize i, VFloat v, gboolean bf16)
{
  if (bf16) {
    VUint u = (VUint) v;
    VUint nan = (VUint) (v != v);
    VUint rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    VUint quiet = (u >> 16) | 0x40u;

    rounded = (nan & quiet) | (~nan & rounded);
    *(VHalfMem *) (gpointer) ((guint16 *) p + i) = __builtin_convertvector (rounded, VHalf);
    return;
  }
  v_store ((float *) p + i, v);
}

/* a where mask, else b */
ALWAYS_INLINE VFloat
v_select (VInt mask, VFloat a, VFloat b)
{
  return (VFloat) ((mask & (VInt) a) | (~mask & (VInt) b));
}

ALWAYS_INLINE VFloat
v_splat (float f)
{
  return f - (VFloat){ 0 };
}

ALWAYS_INLINE float
s_get (const void *p, gsize i, gboolean bf16)
{
  return bf16 ? tess_bf16_to_float (((const guint16 *) p)[i]) : ((const float *) p)[i];
}

ALWAYS_INLINE void
s_put (void *p, gsize i, float f, gboolean bf16)
{
  if (bf16)
    ((guint16 *) p)[i] = tess_float_to_bf16 (f);
  else
    ((float *) p)[i] = f;
}

ALWAYS_INLINE const void *
s_at (const void *p, gsize i, gboolean bf16)
{
  return (const guint8 *) p + i * (bf16 ? 2 : 4);
}

ALWAYS_INLINE void *
s_at_mut (void *p, gsize i, gboolean bf16)
{
  return (guint8 *) p + i * (bf16 ? 2 : 4);
}
