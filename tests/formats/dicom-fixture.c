#include "dicom-fixture.h"

#include <gio/gio.h>
#include <string.h>

/* Explicit VR, little-endian: what this machine has. */
static void
put_head (GByteArray *out, guint32 tag, const char vr[3], guint32 n)
{
  guint16 group = (guint16)(tag >> 16), element = (guint16)(tag & 0xffff), small = (guint16)n, zero = 0;

  g_byte_array_append (out, (guint8 *)&group, 2);
  g_byte_array_append (out, (guint8 *)&element, 2);
  g_byte_array_append (out, (const guint8 *)vr, 2);
  if (strcmp (vr, "OW") == 0 || strcmp (vr, "OB") == 0) {
    g_byte_array_append (out, (guint8 *)&zero, 2);
    g_byte_array_append (out, (guint8 *)&n, 4);
  } else {
    g_byte_array_append (out, (guint8 *)&small, 2);
  }
}

static void
put_text (GByteArray *out, guint32 tag, const char *vr, const char *text)
{
  guint32 n = (guint32)strlen (text);

  put_head (out, tag, vr, n + n % 2);
  g_byte_array_append (out, (const guint8 *)text, n);
  if (n % 2)
    g_byte_array_append (out, (const guint8 *)(strcmp (vr, "UI") == 0 ? "" : " "), 1);
}

static void
put_short (GByteArray *out, guint32 tag, int value)
{
  guint16 v = (guint16)value;

  put_head (out, tag, "US", 2);
  g_byte_array_append (out, (guint8 *)&v, 2);
}

static void
put_numbers (GByteArray *out, guint32 tag, const double *values, guint n)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%s", i ? "\\" : "", g_ascii_formatd (digits, sizeof digits, "%.10g", values[i]));
  put_text (out, tag, "DS", text->str);
}

static void
put_integer (GByteArray *out, guint32 tag, int value)
{
  g_autofree char *text = g_strdup_printf ("%d", value);

  put_text (out, tag, "IS", text);
}

static void
put_data_set (GByteArray *out, const DicomSlice *s)
{
  gboolean scaled = s->slope != 0;
  int allocated = s->allocated ? s->allocated : 16, stored = s->stored ? s->stored : allocated;
  guint n_bytes = (guint)(s->columns * s->rows * allocated / 8);

  if (s->charset)
    put_text (out, 0x00080005, "CS", s->charset);
  put_text (out, 0x00080008, "CS", s->image_type ? s->image_type : "ORIGINAL\\PRIMARY");
  put_text (out, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4");
  put_text (out, 0x00080050, "SH", "SECRET-ACCESS"); /* what must not be found anywhere: tests/cli/test-dicom.c */
  put_text (out, 0x00080060, "CS", s->modality ? s->modality : "MR");
  put_text (out, 0x00080080, "LO", "Secret Clinic");
  put_text (out, 0x00080090, "PN", "Secret^Doctor");
  if (s->description)
    put_text (out, 0x0008103e, "LO", s->description);
  put_text (out, 0x00100010, "PN", "Secret^Person");
  put_text (out, 0x00100020, "LO", "SECRET-ID");
  put_text (out, 0x00100030, "DA", "19010203");
  put_text (out, 0x00101000, "LO", "SECRET-OTHER-ID");
  put_text (out, 0x00104000, "LT", "Secret comment");
  if (s->thickness > 0)
    put_numbers (out, 0x00180050, &s->thickness, 1);
  if (s->between > 0)
    put_numbers (out, 0x00180088, &s->between, 1);
  if (s->mosaic > 0) {
    put_text (out, 0x00190010, "LO", "SIEMENS MR HEADER");
    put_short (out, 0x0019100a, s->mosaic);
  }
  put_text (out, 0x0020000d, "UI", "1.2.3.4");
  put_text (out, 0x0020000e, "UI", s->series ? s->series : "1.2.3.4.5");
  put_integer (out, 0x00200013, s->instance);
  if (s->position)
    put_numbers (out, 0x00200032, s->position, 3);
  if (s->orientation)
    put_numbers (out, 0x00200037, s->orientation, 6);
  if (s->temporal > 0)
    put_integer (out, 0x00200100, s->temporal);
  put_short (out, 0x00280002, 1);
  put_text (out, 0x00280004, "CS", s->photometric ? s->photometric : "MONOCHROME2");
  put_short (out, 0x00280010, s->rows);
  put_short (out, 0x00280011, s->columns);
  if (s->spacing[0] > 0)
    put_numbers (out, 0x00280030, s->spacing, 2);
  put_short (out, 0x00280100, allocated);
  put_short (out, 0x00280101, stored);
  put_short (out, 0x00280102, stored - 1);
  put_short (out, 0x00280103, s->is_signed);
  if (scaled) {
    put_numbers (out, 0x00281052, &s->intercept, 1);
    put_numbers (out, 0x00281053, &s->slope, 1);
  }
  put_head (out, 0x7fe00010, "OW", n_bytes);
  g_byte_array_append (out, (const guint8 *)s->pixels, n_bytes);
}

static void
put_deflated (GByteArray *out, const GByteArray *data_set)
{
  g_autoptr (GZlibCompressor) c = g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_RAW, 6);
  g_autoptr (GInputStream) plain = g_memory_input_stream_new_from_data (data_set->data, data_set->len, NULL);
  g_autoptr (GInputStream) packed = g_converter_input_stream_new (plain, G_CONVERTER (c));
  guint8 piece[4096];
  gssize got;

  while ((got = g_input_stream_read (packed, piece, sizeof piece, NULL, NULL)) > 0)
    g_byte_array_append (out, piece, (guint)got);
  g_assert_cmpint (got, ==, 0);
}

GBytes *
dicom_bytes (const DicomSlice *slice)
{
  g_autoptr (GByteArray) meta = g_byte_array_new (), data_set = g_byte_array_new ();
  GByteArray *out = g_byte_array_new ();
  guint32 n;

  put_text (meta, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.4");
  put_text (meta, 0x00020003, "UI", "1.2.3.4.5.6");
  put_text (meta, 0x00020010, "UI", slice->deflated ? "1.2.840.10008.1.2.1.99" : "1.2.840.10008.1.2.1");
  g_byte_array_set_size (out, 128);
  memset (out->data, 0, 128);
  g_byte_array_append (out, (const guint8 *)"DICM", 4);
  put_head (out, 0x00020000, "UL", 4);
  n = meta->len;
  g_byte_array_append (out, (guint8 *)&n, 4);
  g_byte_array_append (out, meta->data, meta->len);
  put_data_set (data_set, slice);
  if (slice->deflated)
    put_deflated (out, data_set);
  else
    g_byte_array_append (out, data_set->data, data_set->len);
  return g_byte_array_free_to_bytes (out);
}

void
dicom_write (const char *folder, const char *name, const DicomSlice *slice)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *parent = g_path_get_dirname (path);
  g_autoptr (GBytes) bytes = dicom_bytes (slice);

  g_mkdir_with_parents (parent, 0700);
  g_assert_true (g_file_set_contents (path, g_bytes_get_data (bytes, NULL), (gssize)g_bytes_get_size (bytes), NULL));
}

char *
dicom_temp_dir (void)
{
  char *folder = g_dir_make_tmp ("tess-dicom-XXXXXX", NULL);

  g_assert_nonnull (folder);
  return folder;
}

static void
remove_file (GFile *file)
{
  g_autoptr (GFileEnumerator) inside =
      g_file_enumerate_children (file, "standard::name", G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);
  GFileInfo *info;

  while (inside && (info = g_file_enumerator_next_file (inside, NULL, NULL))) {
    g_autoptr (GFile) child = g_file_get_child (file, g_file_info_get_name (info));

    remove_file (child);
    g_object_unref (info);
  }
  g_file_delete (file, NULL, NULL);
}

void
dicom_remove (const char *folder)
{
  g_autoptr (GFile) file = g_file_new_for_path (folder);

  remove_file (file);
}
