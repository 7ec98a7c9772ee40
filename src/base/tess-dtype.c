#include "tess-dtype.h"

typedef struct {
  gsize size;
  const char *name, *safetensors;
  gboolean integer;
} DTypeInfo;

static const DTypeInfo infos[TESS_N_DTYPES] = {
    [TESS_DTYPE_U8] = {1, "uint8", "U8", TRUE},      [TESS_DTYPE_I8] = {1, "int8", "I8", TRUE},
    [TESS_DTYPE_U16] = {2, "uint16", "U16", TRUE},   [TESS_DTYPE_I16] = {2, "int16", "I16", TRUE},
    [TESS_DTYPE_U32] = {4, "uint32", "U32", TRUE},   [TESS_DTYPE_I32] = {4, "int32", "I32", TRUE},
    [TESS_DTYPE_U64] = {8, "uint64", "U64", TRUE},   [TESS_DTYPE_I64] = {8, "int64", "I64", TRUE},
    [TESS_DTYPE_F32] = {4, "float32", "F32", FALSE}, [TESS_DTYPE_F64] = {8, "float64", "F64", FALSE},
    [TESS_DTYPE_F16] = {2, "float16", "F16", FALSE}, [TESS_DTYPE_BF16] = {2, "bfloat16", "BF16", FALSE},
};

/* Bytes of one element; 0 for a value outside the enumeration. */
gsize
tess_dtype_size (TessDType dtype)
{
  return (guint)dtype < TESS_N_DTYPES ? infos[dtype].size : 0;
}

const char *
tess_dtype_name (TessDType dtype)
{
  return (guint)dtype < TESS_N_DTYPES ? infos[dtype].name : "unknown";
}

const char *
tess_dtype_safetensors (TessDType dtype)
{
  return (guint)dtype < TESS_N_DTYPES ? infos[dtype].safetensors : "UNKNOWN";
}

/* Reads NumPy's ("float32") or safetensors' ("F32") spelling; FALSE leaves *dtype untouched. */
gboolean
tess_dtype_from_name (const char *name, TessDType *dtype)
{
  if (!name)
    return FALSE;
  for (guint i = 0; i < TESS_N_DTYPES; i++)
    if (strcmp (name, infos[i].name) == 0 || strcmp (name, infos[i].safetensors) == 0) {
      *dtype = (TessDType)i;
      return TRUE;
    }
  return FALSE;
}

gboolean
tess_dtype_is_integer (TessDType dtype)
{
  return (guint)dtype < TESS_N_DTYPES && infos[dtype].integer;
}

/* IEEE 754 binary16, round to nearest, ties to even; overflow gives infinity, NaN stays NaN. */
uint16_t
tess_float_to_f16 (float f)
{
  uint32_t u, sign, abs;

  memcpy (&u, &f, 4);
  sign = (u >> 16) & 0x8000u;
  abs = u & 0x7fffffffu;
  if (abs > 0x7f800000u)
    return (uint16_t)(sign | 0x7e00u | ((abs >> 13) & 0x3ffu));
  if (abs >= 0x477ff000u) /* 65520: half way between the largest half and the next power of two */
    return (uint16_t)(sign | 0x7c00u);
  if (abs >= 0x38800000u) { /* normal: 2^-14 and above */
    uint32_t rounded = abs - 0x38000000u + 0xfffu + ((abs >> 13) & 1u);

    return (uint16_t)(sign | (rounded >> 13));
  }
  if (abs < 0x33000000u) /* below half of the smallest subnormal */
    return (uint16_t)sign;
  {
    uint32_t shift = 126u - (abs >> 23); /* 14 to 24 */
    uint32_t mantissa = (abs & 0x7fffffu) | 0x800000u;
    uint32_t half = 1u << (shift - 1u);
    uint32_t value = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1u);

    if (rest > half || (rest == half && (value & 1u)))
      value++;
    return (uint16_t)(sign | value);
  }
}

float
tess_f16_to_float (uint16_t h)
{
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, mantissa = h & 0x3ffu, u;
  float f;

  if (exponent == 0x1fu)
    u = sign | 0x7f800000u | (mantissa << 13);
  else if (exponent)
    u = sign | ((exponent + 112u) << 23) | (mantissa << 13);
  else {
    f = (float)mantissa * 0x1p-24f;
    return sign ? -f : f;
  }
  memcpy (&f, &u, 4);
  return f;
}
