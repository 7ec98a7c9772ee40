#include "tess-zip.h"

#include <string.h>

/* Sizes and offsets from here on are written in zip64's fields. */
#define LIMIT32 0xffffffffu
#define VERSION_ZIP64 45
#define DATE 0x0021 /* 1 January 1980: equal contents make equal files */

typedef struct {
  char *name;
  guint16 method;
  guint32 crc;
  guint64 size, packed, offset;
} Entry;

struct _TessZipWriter {
  TessAtomicFile *file;
  GArray *entries;
  Entry *open; /* the last of entries, while it is being written */
  guint64 data_offset;
};

static void
entry_clear (gpointer entry)
{
  g_free (((Entry *)entry)->name);
}

static void
put (GByteArray *out, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint8 byte = (guint8)(value >> (8 * i));

    g_byte_array_append (out, &byte, 1);
  }
}

TessZipWriter *
tess_zip_writer_new (const char *path, GError **error)
{
  TessAtomicFile *file = tess_atomic_file_new (path, FALSE, error);
  TessZipWriter *writer;

  if (!file)
    return NULL;
  writer = g_new0 (TessZipWriter, 1);
  writer->file = file;
  writer->entries = g_array_new (FALSE, TRUE, sizeof (Entry));
  g_array_set_clear_func (writer->entries, entry_clear);
  return writer;
}

/* The fields that stand in front of a member and in the directory alike. */
static void
put_common (GByteArray *out, const Entry *entry, guint extra_length, gboolean large)
{
  put (out, VERSION_ZIP64, 2);
  put (out, 0x0800, 2); /* the name is UTF-8 */
  put (out, entry->method, 2);
  put (out, 0, 2);
  put (out, DATE, 2);
  put (out, entry->crc, 4);
  put (out, large ? LIMIT32 : entry->packed, 4);
  put (out, large ? LIMIT32 : entry->size, 4);
  put (out, strlen (entry->name), 2);
  put (out, extra_length, 2);
}

/* Sizes of a member always stand in zip64's fields in front of it: they are known only after its bytes. */
static GByteArray *
local_header (const Entry *entry)
{
  GByteArray *out = g_byte_array_new ();

  put (out, 0x04034b50, 4);
  put_common (out, entry, 20, TRUE);
  g_byte_array_append (out, (const guint8 *)entry->name, (guint)strlen (entry->name));
  put (out, 0x0001, 2);
  put (out, 16, 2);
  put (out, entry->size, 8);
  put (out, entry->packed, 8);
  return out;
}

/**
 * tess_zip_writer_begin:
 * @name: UTF-8, at most 65535 bytes
 *
 * Returns: where the contents of a new member are written to, until tess_zip_writer_end(); of the writer
 */
TessAtomicFile *
tess_zip_writer_begin (TessZipWriter *writer, const char *name, gboolean deflate, GError **error)
{
  g_autoptr (GByteArray) header = NULL;
  Entry entry = {.method = deflate ? 8 : 0, .offset = tess_atomic_file_tell (writer->file)};

  g_return_val_if_fail (!writer->open && strlen (name) <= G_MAXUINT16, NULL);
  entry.name = g_strdup (name);
  g_array_append_val (writer->entries, entry);
  writer->open = &g_array_index (writer->entries, Entry, writer->entries->len - 1);
  header = local_header (writer->open);
  if (!tess_atomic_file_write (writer->file, header->data, header->len, error))
    return NULL;
  writer->data_offset = tess_atomic_file_tell (writer->file);
  if (deflate && !tess_atomic_file_pack (writer->file, TESS_PACKING_DEFLATE, error))
    return NULL;
  tess_atomic_file_start_sum (writer->file);
  return writer->file;
}

gboolean
tess_zip_writer_end (TessZipWriter *writer, GError **error)
{
  Entry *entry = writer->open;
  g_autoptr (GByteArray) header = NULL;

  g_return_val_if_fail (entry, FALSE);
  entry->crc = tess_atomic_file_stop_sum (writer->file, &entry->size);
  if (entry->method && !tess_atomic_file_unpack (writer->file, NULL, error))
    return FALSE;
  entry->packed = tess_atomic_file_tell (writer->file) - writer->data_offset;
  writer->open = NULL;
  header = local_header (entry);
  return tess_atomic_file_patch (writer->file, entry->offset, header->data, header->len, error);
}

static void
put_directory_entry (GByteArray *out, const Entry *entry)
{
  gboolean large = entry->size >= LIMIT32 || entry->packed >= LIMIT32 || entry->offset >= LIMIT32;

  put (out, 0x02014b50, 4);
  put (out, 3 << 8 | VERSION_ZIP64, 2); /* made on Unix */
  put_common (out, entry, large ? 28 : 0, large);
  put (out, 0, 2);
  put (out, 0, 2);
  put (out, 0, 2);
  put (out, (guint64)0100644 << 16, 4); /* an ordinary file, mode 644 */
  put (out, large ? LIMIT32 : entry->offset, 4);
  g_byte_array_append (out, (const guint8 *)entry->name, (guint)strlen (entry->name));
  if (large) {
    put (out, 0x0001, 2);
    put (out, 24, 2);
    put (out, entry->size, 8);
    put (out, entry->packed, 8);
    put (out, entry->offset, 8);
  }
}

/* Writes the directory and gives the file its name. Free @writer in either case. */
gboolean
tess_zip_writer_commit (TessZipWriter *writer, GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint64 start = tess_atomic_file_tell (writer->file), n = writer->entries->len, length;
  gboolean large;

  g_return_val_if_fail (!writer->open, FALSE);
  for (guint i = 0; i < n; i++)
    put_directory_entry (out, &g_array_index (writer->entries, Entry, i));
  length = out->len;
  large = n >= G_MAXUINT16 || start >= LIMIT32 || length >= LIMIT32;
  if (large) {
    put (out, 0x06064b50, 4);
    put (out, 44, 8);
    put (out, VERSION_ZIP64, 2);
    put (out, VERSION_ZIP64, 2);
    put (out, 0, 4);
    put (out, 0, 4);
    put (out, n, 8);
    put (out, n, 8);
    put (out, length, 8);
    put (out, start, 8);
    put (out, 0x07064b50, 4);
    put (out, 0, 4);
    put (out, start + length, 8);
    put (out, 1, 4);
  }
  put (out, 0x06054b50, 4);
  put (out, 0, 4);
  put (out, large ? G_MAXUINT16 : n, 2);
  put (out, large ? G_MAXUINT16 : n, 2);
  put (out, large ? LIMIT32 : length, 4);
  put (out, large ? LIMIT32 : start, 4);
  put (out, 0, 2);
  return tess_atomic_file_write (writer->file, out->data, out->len, error) &&
         tess_atomic_file_commit (writer->file, error);
}

void
tess_zip_writer_free (TessZipWriter *writer)
{
  if (!writer)
    return;
  tess_atomic_file_free (writer->file);
  g_array_unref (writer->entries);
  g_free (writer);
}
