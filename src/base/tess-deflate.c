#include "tess-deflate.h"

#include <isa-l/igzip_lib.h>

#define LEVEL 1

gsize
tess_zlib_bound (gsize n)
{
  return n + 5 * (n / 65535 + 1) + 64; /* stored blocks, header, checksum */
}

gsize
tess_zlib_pack (const guint8 *in, gsize n, guint8 *out, gsize n_out)
{
  g_autofree struct isal_zstream *z = g_new (struct isal_zstream, 1);
  g_autofree guint8 *buffer = g_malloc (ISAL_DEF_LVL1_DEFAULT);
  union {
    const guint8 *in;
    guint8 *next;
  } cast = {.in = in}; /* ISA-L only reads it */

  g_return_val_if_fail (n < G_MAXUINT32 && n_out < G_MAXUINT32, 0);
  isal_deflate_stateless_init (z);
  z->gzip_flag = IGZIP_ZLIB;
  z->level = LEVEL;
  z->level_buf = buffer;
  z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
  z->end_of_stream = 1;
  z->flush = NO_FLUSH;
  z->next_in = cast.next;
  z->avail_in = (guint32)n;
  z->next_out = out;
  z->avail_out = (guint32)n_out;
  return isal_deflate_stateless (z) == COMP_OK ? n_out - z->avail_out : 0;
}

gboolean
tess_zlib_unpack (const guint8 *in, gsize n, guint8 *out, gsize n_out)
{
  g_autofree struct inflate_state *state = g_new (struct inflate_state, 1);
  union {
    const guint8 *in;
    guint8 *next;
  } cast = {.in = in};

  if (n >= G_MAXUINT32 || n_out >= G_MAXUINT32)
    return FALSE;
  isal_inflate_init (state);
  state->crc_flag = ISAL_ZLIB;
  state->next_in = cast.next;
  state->avail_in = (guint32)n;
  state->next_out = out;
  state->avail_out = (guint32)n_out;
  return isal_inflate (state) == ISAL_DECOMP_OK && state->avail_out == 0 && state->block_state == ISAL_BLOCK_FINISH;
}

/* Product of two polynomials over GF(2) modulo CRC-32's, whose highest bit is the constant. */
static guint32
multiply (guint32 a, guint32 b)
{
  guint32 product = 0;

  for (guint i = 0; i < 32; i++) {
    if (a >> (31 - i) & 1)
      product ^= b;
    b = b & 1 ? b >> 1 ^ 0xedb88320u : b >> 1;
  }
  return product;
}

/**
 * tess_crc32_combine:
 * @n_second: bytes of the second stretch
 *
 * CRC-32 (as in gzip) of two stretches one after the other: that of the first times x^(8 n), plus that of the second.
 */
guint32
tess_crc32_combine (guint32 first, guint32 second, guint64 n_second)
{
  guint32 power = 1u << 31, square = 1u << 23; /* 1 and x^8 */

  for (; n_second > 0; n_second >>= 1) {
    if (n_second & 1)
      power = multiply (power, square);
    square = multiply (square, square);
  }
  return multiply (power, first) ^ second;
}
