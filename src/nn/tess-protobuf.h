#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Fields of a protocol buffers message, appended to its bytes; field: its number in the message's definition. */
void tess_protobuf_varint  (GByteArray *out, guint64 value);
void tess_protobuf_tag     (GByteArray *out, guint field, guint64 length); /* of a field of `length` bytes, which follow */
void tess_protobuf_int     (GByteArray *out, guint field, gint64 value);
void tess_protobuf_float   (GByteArray *out, guint field, float value);
void tess_protobuf_bytes   (GByteArray *out, guint field, const void *data, gsize n);
void tess_protobuf_text    (GByteArray *out, guint field, const char *text); /* UTF-8 */
void tess_protobuf_message (GByteArray *out, guint field, GByteArray *message); /* takes message */

G_END_DECLS
