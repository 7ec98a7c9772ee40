#include "tess-zip.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#define MAX_RATIO 1032 /* deflate's best: 258 bytes from two bits */

struct _TessZip {
  gatomicrefcount refs;
  char *path;
  zip_t *archive;
  guint64 file_size;
  GPtrArray *names; /* of all members, valid UTF-8 */
};

typedef struct {
  TessZip *zip;
  zip_file_t *file;
} Member;

static TessZip *
fail (TessZip *zip, GError **error, TessError code, const char *format)
{
  g_autofree char *name = g_filename_display_name (zip->path);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return NULL;
}

/**
 * tess_zip_open:
 *
 * Reads the directory of an archive. Its names count as bytes of the file: what is no UTF-8 is replaced.
 *
 * Errors: IO, FORMAT.
 */
TessZip *
tess_zip_open (const char *path, GError **error)
{
  g_autoptr (TessZip) zip = g_new0 (TessZip, 1);
  zip_error_t reason;
  struct stat info;
  int code = 0;

  g_atomic_ref_count_init (&zip->refs);
  zip->path = g_strdup (path);
  if (stat (path, &info) != 0) {
    tess_error_set_errno (error, path, errno, _ ("open"));
    return NULL;
  }
  if (!S_ISREG (info.st_mode)) /* a pipe would make us wait */
    return fail (zip, error, TESS_ERROR_IO, _ ("%s: this is not a regular file; give a file on a disk"));
  zip->file_size = (guint64)info.st_size;
  zip->archive = zip_open (path, ZIP_RDONLY, &code);
  if (!zip->archive) {
    int saved = errno;

    zip_error_init_with_code (&reason, code);
    if (zip_error_system_type (&reason) == ZIP_ET_SYS && code != ZIP_ER_SEEK)
      tess_error_set_errno (error, path, saved, _ ("read"));
    else
      fail (zip, error, TESS_ERROR_FORMAT, _ ("%s: this is no zip archive, or one without its end; copy it again"));
    zip_error_fini (&reason);
    return NULL;
  }
  zip->names = g_ptr_array_new_with_free_func (g_free);
  for (zip_int64_t i = 0, n = MIN (zip_get_num_entries (zip->archive, 0), G_MAXINT); i < n; i++) {
    const char *name = zip_get_name (zip->archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);

    g_ptr_array_add (zip->names, g_utf8_make_valid (name ? name : "", -1));
  }
  return g_steal_pointer (&zip);
}

TessZip *
tess_zip_ref (TessZip *zip)
{
  g_atomic_ref_count_inc (&zip->refs);
  return zip;
}

void
tess_zip_unref (TessZip *zip)
{
  if (!zip || !g_atomic_ref_count_dec (&zip->refs))
    return;
  if (zip->archive)
    zip_discard (zip->archive);
  g_clear_pointer (&zip->names, g_ptr_array_unref);
  g_free (zip->path);
  g_free (zip);
}

guint
tess_zip_n (TessZip *zip)
{
  return zip->names->len;
}

const char *
tess_zip_peek_name (TessZip *zip, guint member)
{
  return g_ptr_array_index (zip->names, member);
}

guint64
tess_zip_size (TessZip *zip, guint member)
{
  zip_stat_t info;

  return zip_stat_index (zip->archive, member, 0, &info) == 0 && info.valid & ZIP_STAT_SIZE ? info.size : 0;
}

/* Where a name stands twice, the last counts, as for Python's zipfile. */
gboolean
tess_zip_find (TessZip *zip, const char *name, guint *member)
{
  for (guint i = zip->names->len; i-- > 0;)
    if (strcmp (g_ptr_array_index (zip->names, i), name) == 0) {
      *member = i;
      return TRUE;
    }
  return FALSE;
}

static gssize
fetch_member (gpointer source, guint8 *out, gsize n, GError **error)
{
  Member *member = source;
  zip_int64_t got = zip_fread (member->file, out, n);

  if (got < 0) {
    fail (member->zip, error, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"));
    return -1;
  }
  return (gssize)got;
}

static void
free_member (gpointer source)
{
  Member *member = source;

  if (member->file)
    zip_fclose (member->file);
  tess_zip_unref (member->zip);
  g_free (member);
}

/* What the directory says of a member is believed only as far as its packed length allows. */
static gboolean
check_member (TessZip *zip, guint index, const zip_stat_t *info, GError **error)
{
  const char *member = tess_zip_peek_name (zip, index);
  g_autofree char *name = g_filename_display_name (zip->path);
  const zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_CRC;

  if (info->valid & ZIP_STAT_ENCRYPTION_METHOD && info->encryption_method != ZIP_EM_NONE) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: its member %s is encrypted; unpack the archive and pack it again without a password"), name,
                 member);
    return FALSE;
  }
  if ((info->valid & need) == need && info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: its member %s is packed by method %d, which is neither stored nor deflated; pack it again"),
                 name, member, info->comp_method);
    return FALSE;
  }
  if ((info->valid & need) != need || info->comp_size > zip->file_size ||
      (info->comp_method == ZIP_CM_STORE ? info->size != info->comp_size : info->size / MAX_RATIO > info->comp_size)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its directory gives a size for %s that this cannot have; it is damaged, copy it again"), name,
                 member);
    return FALSE;
  }
  return TRUE;
}

/**
 * tess_zip_open_member:
 *
 * Members that are stored or deflated, not encrypted. The packed bytes come through libzip and are inflated by ISA-L.
 *
 * Errors: IO, FORMAT, UNSUPPORTED.
 */
TessStream *
tess_zip_open_member (TessZip *zip, guint index, GError **error)
{
  Member *member;
  TessStream *stream;
  zip_stat_t info;

  g_return_val_if_fail (index < zip->names->len, NULL);
  zip_stat_init (&info);
  if (zip_stat_index (zip->archive, index, 0, &info) != 0)
    info.valid = 0;
  if (!check_member (zip, index, &info, error))
    return NULL;
  member = g_new0 (Member, 1);
  member->zip = tess_zip_ref (zip);
  member->file = zip_fopen_index (zip->archive, index, ZIP_FL_COMPRESSED);
  if (!member->file) {
    free_member (member);
    fail (zip, error, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"));
    return NULL;
  }
  stream =
      tess_stream_new_source (zip->path, fetch_member, member, free_member, info.comp_size,
                              info.comp_method == ZIP_CM_DEFLATE ? TESS_PACKING_DEFLATE : TESS_PACKING_NONE, error);
  if (stream)
    tess_stream_expect (stream, info.size, info.crc);
  return stream;
}

/**
 * tess_zip_load_member:
 * @most: bytes the caller is ready to take
 *
 * A member as a whole. Memory grows with what has really been unpacked, not with what the directory promises.
 */
GBytes *
tess_zip_load_member (TessZip *zip, guint index, gsize most, GError **error)
{
  g_autoptr (TessStream) stream = NULL;
  g_autofree guint8 *data = NULL;
  gsize n = 0, room = 0;
  gssize got;

  g_return_val_if_fail (index < zip->names->len, NULL);
  if (tess_zip_size (zip, index) > most) {
    g_autofree char *name = g_filename_display_name (zip->path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: its member %s is larger than expected here; check that it is the right file"), name,
                 tess_zip_peek_name (zip, index));
    return NULL;
  }
  stream = tess_zip_open_member (zip, index, error);
  if (!stream)
    return NULL;
  do {
    if (n == room) {
      room = MAX (2 * room, 65536);
      data = g_realloc (data, room);
    }
    got = tess_stream_read (stream, data + n, room - n, error);
    if (got < 0)
      return NULL;
    n += (gsize)got;
  } while (got > 0);
  return g_bytes_new_take (g_steal_pointer (&data), n);
}
