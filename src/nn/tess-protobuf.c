#include "tess-protobuf.h"

#include <string.h>

/* The wire format of protocol buffers, as far as writing needs it: a key (field number and wire type), then a varint,
 * four bytes, or a length and as many bytes. Source: Google's "Encoding" page of the protocol buffers manual. */

enum { VARINT = 0, LENGTH = 2, FIXED32 = 5 };

void
tess_protobuf_varint (GByteArray *out, guint64 value)
{
  guint8 bytes[10];
  guint n = 0;

  do {
    bytes[n] = (guint8)(value & 0x7f);
    value >>= 7;
    if (value > 0)
      bytes[n] |= 0x80;
    n++;
  } while (value > 0);
  g_byte_array_append (out, bytes, n);
}

static void
key (GByteArray *out, guint field, guint wire)
{
  tess_protobuf_varint (out, (guint64)field << 3 | wire);
}

void
tess_protobuf_tag (GByteArray *out, guint field, guint64 length)
{
  key (out, field, LENGTH);
  tess_protobuf_varint (out, length);
}

/* Negative numbers take ten bytes, as the format has it for int32 and int64. */
void
tess_protobuf_int (GByteArray *out, guint field, gint64 value)
{
  key (out, field, VARINT);
  tess_protobuf_varint (out, (guint64)value);
}

void
tess_protobuf_float (GByteArray *out, guint field, float value)
{
  guint32 bits;
  guint8 bytes[4];

  memcpy (&bits, &value, sizeof bits);
  for (guint i = 0; i < 4; i++)
    bytes[i] = (guint8)(bits >> (8 * i));
  key (out, field, FIXED32);
  g_byte_array_append (out, bytes, 4);
}

void
tess_protobuf_bytes (GByteArray *out, guint field, const void *data, gsize n)
{
  g_return_if_fail (n <= G_MAXINT32);
  tess_protobuf_tag (out, field, n);
  g_byte_array_append (out, data, (guint)n);
}

void
tess_protobuf_text (GByteArray *out, guint field, const char *text)
{
  tess_protobuf_bytes (out, field, text, strlen (text));
}

void
tess_protobuf_message (GByteArray *out, guint field, GByteArray *message)
{
  tess_protobuf_bytes (out, field, message->data, message->len);
  g_byte_array_unref (message);
}
