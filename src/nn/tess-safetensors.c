#include "tess-safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tess-atomic-file.h"
#include "tess-safetensors-header.h"

/* Format: https://github.com/huggingface/safetensors, "Format" in its README. Everything is little-endian, as are all
 * machines this program is built for. */
G_STATIC_ASSERT (G_BYTE_ORDER == G_LITTLE_ENDIAN);

struct _TessSafetensors {
  char *path;
  GMappedFile *map;
  TessSafetensorsHeader *header;
};

void
tess_safetensors_free (TessSafetensors *file)
{
  if (file == NULL)
    return;
  tess_safetensors_header_free (file->header);
  g_clear_pointer (&file->map, g_mapped_file_unref);
  g_free (file->path);
  g_free (file);
}

static GMappedFile *
map_file (const char *path, GError **error)
{
  struct stat st;
  GMappedFile *map;
  int saved_errno;
  /* Without O_NONBLOCK a named pipe would keep us waiting for its writer. */
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

  if (fd < 0) {
    tess_error_set_errno (error, path, errno, _ ("open"));
    return NULL;
  }
  if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode)) {
    close (fd);
    tess_error_set_errno (error, path, EISDIR, _ ("open"));
    return NULL;
  }
  errno = 0;
  map = g_mapped_file_new_from_fd (fd, FALSE, NULL);
  saved_errno = errno;
  close (fd);
  if (map == NULL)
    tess_error_set_errno (error, path, saved_errno != 0 ? saved_errno : EIO, _ ("read"));
  return map;
}

/**
 * tess_safetensors_open:
 *
 * Maps a file and checks its whole header: length, grammar, names, types, shapes, and that the tensors lie one after
 * the other from the first byte of data to the last. Tensor bytes are read from disk when they are first touched.
 *
 * Returns: (transfer full): NULL with FORMAT (not such a file, or damaged), UNSUPPORTED (an element type this program
 * does not have) or IO.
 */
TessSafetensors *
tess_safetensors_open (const char *path, GError **error)
{
  g_autoptr (TessSafetensors) file = g_new0 (TessSafetensors, 1);
  const guint8 *bytes;

  file->path = g_strdup (path);
  file->map = map_file (path, error);
  if (file->map == NULL)
    return NULL;
  bytes = (const guint8 *)g_mapped_file_get_contents (file->map);
  file->header = tess_safetensors_header_read (path, bytes, g_mapped_file_get_length (file->map), error);
  if (file->header == NULL)
    return NULL;
  return g_steal_pointer (&file);
}

guint
tess_safetensors_n (TessSafetensors *file)
{
  return file->header->tensors->len;
}

const TessSafetensor *
tess_safetensors_nth (TessSafetensors *file, guint i)
{
  g_return_val_if_fail (i < file->header->tensors->len, NULL);

  return &g_array_index (file->header->tensors, TessSafetensor, i);
}

const TessSafetensor *
tess_safetensors_find (TessSafetensors *file, const char *name)
{
  gpointer index;

  if (!g_hash_table_lookup_extended (file->header->by_name, name, NULL, &index))
    return NULL;
  return tess_safetensors_nth (file, GPOINTER_TO_UINT (index));
}

const char *
tess_safetensors_metadata (TessSafetensors *file, const char *key)
{
  return g_hash_table_lookup (file->header->metadata, key);
}

const char *
tess_safetensors_path (TessSafetensors *file)
{
  return file->path;
}

typedef struct {
  const void *data;
  gsize bytes;
} Payload;

struct _TessSafetensorsWriter {
  GString *metadata; /* members of the JSON object, with commas */
  GString *tensors;
  GArray *payloads; /* Payload */
  GHashTable *names, *keys;
  gsize end; /* of the tensor bytes so far */
};

/**
 * tess_safetensors_writer_new:
 *
 * Returns: (transfer full): tensors are written in the order in which they are added.
 */
TessSafetensorsWriter *
tess_safetensors_writer_new (void)
{
  TessSafetensorsWriter *writer = g_new0 (TessSafetensorsWriter, 1);

  writer->metadata = g_string_new (NULL);
  writer->tensors = g_string_new (NULL);
  writer->payloads = g_array_new (FALSE, FALSE, sizeof (Payload));
  writer->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  writer->keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return writer;
}

void
tess_safetensors_writer_free (TessSafetensorsWriter *writer)
{
  if (writer == NULL)
    return;
  g_string_free (writer->metadata, TRUE);
  g_string_free (writer->tensors, TRUE);
  g_array_unref (writer->payloads);
  g_hash_table_unref (writer->names);
  g_hash_table_unref (writer->keys);
  g_free (writer);
}

static void
append_string (GString *json, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  g_string_append_c (json, '"');
  for (const char *p = valid; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_printf (json, "\\%c", *p);
    else if ((guchar)*p < 0x20)
      g_string_append_printf (json, "\\u%04x", (guchar)*p);
    else
      g_string_append_c (json, *p);
  }
  g_string_append_c (json, '"');
}

/* Each key once. */
void
tess_safetensors_writer_metadata (TessSafetensorsWriter *writer, const char *key, const char *value)
{
  g_return_if_fail (g_hash_table_add (writer->keys, g_strdup (key)));

  if (writer->metadata->len > 0)
    g_string_append_c (writer->metadata, ',');
  append_string (writer->metadata, key);
  g_string_append_c (writer->metadata, ':');
  append_string (writer->metadata, value);
}

/**
 * tess_safetensors_writer_add:
 * @name: each name once, and not "__metadata__"
 * @dim: slowest axis first
 * @data: borrowed until tess_safetensors_writer_save() has returned
 */
void
tess_safetensors_writer_add (TessSafetensorsWriter *writer, const char *name, TessDType dtype, guint n_dims,
                             const gint64 *dim, const void *data)
{
  Payload payload = {data, tess_dtype_size (dtype)};
  GString *json = writer->tensors;

  g_return_if_fail (payload.bytes > 0 && strcmp (name, "__metadata__") != 0);
  for (guint i = 0; i < n_dims; i++)
    g_return_if_fail (dim[i] >= 0 && g_size_checked_mul (&payload.bytes, payload.bytes, (gsize)dim[i]));
  g_return_if_fail (g_hash_table_add (writer->names, g_strdup (name)));

  if (json->len > 0)
    g_string_append_c (json, ',');
  append_string (json, name);
  g_string_append_printf (json, ":{\"dtype\":\"%s\",\"shape\":[", tess_dtype_safetensors (dtype));
  for (guint i = 0; i < n_dims; i++)
    g_string_append_printf (json, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", dim[i]);
  g_string_append_printf (json, "],\"data_offsets\":[%" G_GSIZE_FORMAT ",%" G_GSIZE_FORMAT "]}", writer->end,
                          writer->end + payload.bytes);
  writer->end += payload.bytes;
  g_array_append_val (writer->payloads, payload);
}

/**
 * tess_safetensors_writer_save:
 *
 * Writes the file under a temporary name and renames it: a reader sees the old file or the new one. The header is
 * padded with spaces so that the tensor bytes begin at a multiple of 8.
 *
 * Returns: FALSE with IO; the old file is then untouched.
 */
gboolean
tess_safetensors_writer_save (TessSafetensorsWriter *writer, const char *path, GError **error)
{
  g_autoptr (GString) header = g_string_new ("{");
  g_autoptr (TessAtomicFile) file = NULL;
  guint64 length;

  if (writer->metadata->len > 0)
    g_string_append_printf (header, "\"__metadata__\":{%s}%s", writer->metadata->str,
                            writer->tensors->len > 0 ? "," : "");
  g_string_append_len (header, writer->tensors->str, (gssize)writer->tensors->len);
  g_string_append_c (header, '}');
  while (header->len % 8 != 0)
    g_string_append_c (header, ' ');
  length = header->len;
  if (length > TESS_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: names and notes of the tensors take more than 100 MB; store fewer"), path);
    return FALSE;
  }

  file = tess_atomic_file_new (path, FALSE, error);
  if (file == NULL || !tess_atomic_file_write (file, &length, sizeof length, error) ||
      !tess_atomic_file_write (file, header->str, header->len, error))
    return FALSE;
  for (guint i = 0; i < writer->payloads->len; i++) {
    const Payload *payload = &g_array_index (writer->payloads, Payload, i);

    if (payload->bytes > 0 && !tess_atomic_file_write (file, payload->data, payload->bytes, error))
      return FALSE;
  }
  return tess_atomic_file_commit (file, error);
}
