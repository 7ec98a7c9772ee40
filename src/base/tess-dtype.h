#pragma once

#include <glib.h>
#include <stdint.h>
#include <string.h>

G_BEGIN_DECLS

/* Element types of volumes and tensors. Values are part of the backend ABI: append only. */
typedef enum {
  TESS_DTYPE_U8,
  TESS_DTYPE_I8,
  TESS_DTYPE_U16,
  TESS_DTYPE_I16,
  TESS_DTYPE_U32,
  TESS_DTYPE_I32,
  TESS_DTYPE_U64,
  TESS_DTYPE_I64,
  TESS_DTYPE_F32,
  TESS_DTYPE_F64,
  TESS_DTYPE_F16,
  TESS_DTYPE_BF16,
  TESS_N_DTYPES
} TessDType;

gsize       tess_dtype_size        (TessDType dtype);
const char *tess_dtype_name        (TessDType dtype); /* NumPy's names: "uint8", "float32", ... */
const char *tess_dtype_safetensors (TessDType dtype); /* "U8", "F32", "BF16", ... */
gboolean    tess_dtype_from_name   (const char *name, TessDType *dtype); /* either spelling */
gboolean    tess_dtype_is_integer  (TessDType dtype);

static inline float
tess_bf16_to_float (uint16_t h)
{
  uint32_t u = (uint32_t) h << 16;
  float f;
  memcpy (&f, &u, 4);
  return f;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t
tess_float_to_bf16 (float f)
{
  uint32_t u;
  memcpy (&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return (uint16_t) ((u >> 16) | 0x40u);
  return (uint16_t) ((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

uint16_t tess_float_to_f16 (float f);
float    tess_f16_to_float (uint16_t h);

G_END_DECLS
