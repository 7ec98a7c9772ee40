#pragma once

#include <glib.h>

/* The next of a sequence that tests/reference/nets.py makes, too: in [-1, 1), a multiple of 2^-23. */
static inline float
random_number (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}
