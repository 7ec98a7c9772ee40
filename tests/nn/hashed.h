#pragma once

#include <glib.h>

/* Number i of a name: what tests/reference/networks.py and onnx_logits.py make of the same name and i. */
static inline guint32
hashed_number (const char *name, guint32 i)
{
  guint32 h = 2166136261u;

  for (const char *p = name; *p; p++)
    h = (h ^ (guint8)*p) * 16777619u;
  h += i * 0x9E3779B1u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  return h ^ h >> 16;
}

/* The same in [-1, 1): a multiple of 2^-31. */
static inline double
hashed_uniform (const char *name, guint32 i)
{
  return (double)hashed_number (name, i) / 2147483648.0 - 1.0;
}
