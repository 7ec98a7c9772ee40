#include "tess-nifti-header.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>

#define MAX_EXTENSIONS ((gsize)64 << 20)
#define MAX_TEXT ((gint64)1 << 20)

G_STATIC_ASSERT (sizeof (nifti_1_header) == TESS_NIFTI1_SIZE);
G_STATIC_ASSERT (sizeof (nifti_2_header) == TESS_NIFTI2_SIZE);

static gboolean fail (GError **error, TessError code, const char *path, const char *format, ...) G_GNUC_PRINTF (4, 5);

static gboolean
fail (GError **error, TessError code, const char *path, const char *format, ...)
{
  g_autofree char *name = g_filename_display_name (path), *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TESS_ERROR, code, "%s: %s", name, text);
  return FALSE;
}

static void
warn (GPtrArray *warnings, const char *sentence)
{
  if (warnings)
    g_ptr_array_add (warnings, g_strdup (sentence));
}

static void
widen (const nifti_1_header *a, nifti_2_header *b)
{
  memset (b, 0, sizeof *b);
  b->sizeof_hdr = TESS_NIFTI2_SIZE;
  memcpy (b->magic, a->magic, 4);
  b->datatype = a->datatype;
  b->bitpix = a->bitpix;
  for (int i = 0; i < 8; i++) {
    b->dim[i] = a->dim[i];
    b->pixdim[i] = a->pixdim[i];
  }
  b->intent_p1 = a->intent_p1;
  b->intent_p2 = a->intent_p2;
  b->intent_p3 = a->intent_p3;
  b->vox_offset = isfinite (a->vox_offset) && fabsf (a->vox_offset) < 0x1p62f ? (gint64)a->vox_offset : -1;
  b->scl_slope = a->scl_slope;
  b->scl_inter = a->scl_inter;
  b->cal_max = a->cal_max;
  b->cal_min = a->cal_min;
  b->slice_duration = a->slice_duration;
  b->toffset = a->toffset;
  b->slice_start = a->slice_start;
  b->slice_end = a->slice_end;
  memcpy (b->descrip, a->descrip, sizeof b->descrip);
  memcpy (b->aux_file, a->aux_file, sizeof b->aux_file);
  b->qform_code = a->qform_code;
  b->sform_code = a->sform_code;
  b->quatern_b = a->quatern_b;
  b->quatern_c = a->quatern_c;
  b->quatern_d = a->quatern_d;
  b->qoffset_x = a->qoffset_x;
  b->qoffset_y = a->qoffset_y;
  b->qoffset_z = a->qoffset_z;
  for (int i = 0; i < 4; i++) {
    b->srow_x[i] = a->srow_x[i];
    b->srow_y[i] = a->srow_y[i];
    b->srow_z[i] = a->srow_z[i];
  }
  b->slice_code = (guint8)a->slice_code;
  b->xyzt_units = (guint8)a->xyzt_units;
  b->intent_code = a->intent_code;
  memcpy (b->intent_name, a->intent_name, sizeof b->intent_name);
  b->dim_info = a->dim_info;
}

static short
to_short (gint64 value)
{
  return (short)CLAMP (value, G_MINSHORT, G_MAXSHORT);
}

/* Only for headers whose dims fit. */
static void
narrow (const nifti_2_header *a, nifti_1_header *b)
{
  memset (b, 0, sizeof *b);
  b->sizeof_hdr = TESS_NIFTI1_SIZE;
  b->regular = 'r'; /* some readers of the Analyze time still look at it */
  b->dim_info = a->dim_info;
  for (int i = 0; i < 8; i++) {
    b->dim[i] = to_short (a->dim[i]);
    b->pixdim[i] = (float)a->pixdim[i];
  }
  b->intent_p1 = (float)a->intent_p1;
  b->intent_p2 = (float)a->intent_p2;
  b->intent_p3 = (float)a->intent_p3;
  b->intent_code = to_short (a->intent_code);
  b->datatype = a->datatype;
  b->bitpix = a->bitpix;
  b->slice_start = to_short (a->slice_start);
  b->slice_end = to_short (a->slice_end);
  b->vox_offset = (float)a->vox_offset;
  b->scl_slope = (float)a->scl_slope;
  b->scl_inter = (float)a->scl_inter;
  b->slice_code = (char)a->slice_code;
  b->xyzt_units = (char)a->xyzt_units;
  b->cal_max = (float)a->cal_max;
  b->cal_min = (float)a->cal_min;
  b->slice_duration = (float)a->slice_duration;
  b->toffset = (float)a->toffset;
  memcpy (b->descrip, a->descrip, sizeof b->descrip);
  memcpy (b->aux_file, a->aux_file, sizeof b->aux_file);
  b->qform_code = to_short (a->qform_code);
  b->sform_code = to_short (a->sform_code);
  b->quatern_b = (float)a->quatern_b;
  b->quatern_c = (float)a->quatern_c;
  b->quatern_d = (float)a->quatern_d;
  b->qoffset_x = (float)a->qoffset_x;
  b->qoffset_y = (float)a->qoffset_y;
  b->qoffset_z = (float)a->qoffset_z;
  for (int i = 0; i < 4; i++) {
    b->srow_x[i] = (float)a->srow_x[i];
    b->srow_y[i] = (float)a->srow_y[i];
    b->srow_z[i] = (float)a->srow_z[i];
  }
  memcpy (b->intent_name, a->intent_name, sizeof b->intent_name);
}

static gboolean
not_nifti (GError **error, const char *path, const char *why)
{
  return fail (error, TESS_ERROR_FORMAT, path,
               _ ("not a NIfTI file (%s); give a NIfTI file: .nii, .nii.gz or an .hdr with its .img"), why);
}

/* Reads the fixed part and brings it to native byte order. libnifti's own reader is not used for it: it believes the
 * fields of a damaged header before anybody can check them, and it prints. */
static gboolean
read_fixed (TessNiftiHeader *header, TessStream *stream, GPtrArray *warnings, GError **error)
{
  const char *path = tess_stream_peek_path (stream);
  union {
    guint8 bytes[TESS_NIFTI2_SIZE];
    gint32 size;
    nifti_1_header one;
    nifti_2_header two;
  } raw;
  gssize got = tess_stream_read (stream, raw.bytes, TESS_NIFTI1_SIZE, error);
  gboolean analyze = FALSE;
  gint32 size;
  const char *magic;

  if (got < 0)
    return FALSE;
  if (got == 0)
    return not_nifti (error, path, _ ("it is empty"));
  if (got < 4)
    return not_nifti (error, path, _ ("it is shorter than a header"));
  size = raw.size;
  header->swapped = size != TESS_NIFTI1_SIZE && size != TESS_NIFTI2_SIZE;
  if (header->swapped)
    size = (gint32)GUINT32_SWAP_LE_BE ((guint32)size);
  if (size != TESS_NIFTI1_SIZE && size != TESS_NIFTI2_SIZE)
    return not_nifti (error, path, _ ("it does not start with a NIfTI header"));
  if (got < TESS_NIFTI1_SIZE)
    return not_nifti (error, path, _ ("it ends inside its header"));
  if (size == TESS_NIFTI2_SIZE) {
    got = tess_stream_read (stream, raw.bytes + TESS_NIFTI1_SIZE, TESS_NIFTI2_SIZE - TESS_NIFTI1_SIZE, error);
    if (got < 0)
      return FALSE;
    if (got < TESS_NIFTI2_SIZE - TESS_NIFTI1_SIZE)
      return not_nifti (error, path, _ ("it ends inside its header"));
  }

  header->version = size == TESS_NIFTI1_SIZE ? 1 : 2;
  magic = header->version == 1 ? raw.one.magic : raw.two.magic;
  if (memcmp (magic, header->version == 1 ? "n+1" : "n+2", 4) == 0)
    header->single = TRUE;
  else if (memcmp (magic, header->version == 1 ? "ni1" : "ni2", 4) == 0)
    header->single = FALSE;
  else if (header->version == 1 && tess_nifti_is_pair (path))
    analyze = TRUE;
  else
    return not_nifti (error, path,
                      header->version == 1 ? _ ("an Analyze 7.5 header without NIfTI's mark")
                                           : _ ("NIfTI-2's mark is missing"));
  if (header->version == 2 && memcmp (magic + 4, "\r\n\032\n", 4) != 0 && memcmp (magic + 4, "\0\0\0", 4) != 0)
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("damaged by a transfer that changed its line ends; copy it again in binary mode"));
  if (analyze) {
    tess_nifti_read_analyze (header, raw.bytes, path, warnings);
  } else if (header->version == 1) {
    if (header->swapped)
      nifti_swap_as_nifti1 (&raw.one);
    widen (&raw.one, &header->h);
  } else {
    if (header->swapped)
      nifti_swap_as_nifti2 (&raw.two);
    header->h = raw.two;
  }
  return TRUE;
}

/* Checks the chain of extensions in data[n] (each: size, code, contents; size a multiple of 16 that includes the first
 * eight bytes), turns sizes and codes to native order and returns the length of the good part. */
static gsize
check_extensions (guint8 *data, gsize n, gboolean swapped)
{
  gsize at = 0;

  while (n - at >= 16) {
    guint32 size, code;

    memcpy (&size, data + at, 4);
    memcpy (&code, data + at + 4, 4);
    if (swapped) {
      size = GUINT32_SWAP_LE_BE (size);
      code = GUINT32_SWAP_LE_BE (code);
    }
    if (size < 16 || size % 16 || size > n - at)
      break;
    memcpy (data + at, &size, 4);
    memcpy (data + at + 4, &code, 4);
    at += size;
  }
  return at;
}

/* After the fixed part: the four bytes that tell whether extensions follow, and those. In a single file they end at
 * vox_offset, in a pair's header at the end of the file. Leaves the stream behind what it read. */
static gboolean
read_extensions (TessNiftiHeader *header, TessStream *stream, gsize room, GPtrArray *warnings, GError **error)
{
  GByteArray *data;
  gsize good;

  if (room == 0)
    return TRUE;
  data = header->extensions = g_byte_array_new ();
  while (data->len < room) {
    guint8 piece[16384];
    gssize got = tess_stream_read (stream, piece, MIN (sizeof piece, room - data->len), error);

    if (got < 0)
      return FALSE;
    if (got == 0)
      break;
    g_byte_array_append (data, piece, (guint)got);
  }
  good = check_extensions (data->data, data->len, header->swapped);
  if (good < data->len && data->len - good >= 16 && header->single)
    warn (warnings, _ ("A header extension is damaged; it will not be kept when the volume is written."));
  g_byte_array_set_size (data, (guint)good);
  if (good == 0)
    g_clear_pointer (&header->extensions, g_byte_array_unref);
  return TRUE;
}

/* MRIcroGL's atlases have the names of the labels there, as plain text and without an extension's head. */
static gboolean
read_text (TessNiftiHeader *header, TessStream *stream, gsize n, GError **error)
{
  if (n == 0)
    return TRUE;
  header->text = g_malloc (n + 1);
  header->text[n] = '\0';
  return tess_stream_read_exact (stream, (guint8 *)header->text, n, error);
}

/**
 * tess_nifti_header_read:
 *
 * Reads and checks header and extensions. In a single file @stream stands on the first voxel afterwards.
 * Free with tess_nifti_header_clear(), after a failure too.
 */
gboolean
tess_nifti_header_read (TessNiftiHeader *header, TessStream *stream, GPtrArray *warnings, TessProgress *progress,
                        GError **error)
{
  const char *path = tess_stream_peek_path (stream);
  guint8 flag[4] = {0};
  gint64 fixed;
  gssize got;

  memset (header, 0, sizeof *header);
  if (!read_fixed (header, stream, warnings, error))
    return FALSE;
  fixed = (header->version == 1 ? TESS_NIFTI1_SIZE : TESS_NIFTI2_SIZE) + 4;
  if (header->h.vox_offset < 0)
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header gives no possible place for the voxels; the file is damaged, copy it again"));
  if (header->analyze) /* it has no extensions */
    return TRUE;
  got = tess_stream_read (stream, flag, 4, error);
  if (got < 0)
    return FALSE;
  if (!header->single) {
    if (got == 4 && flag[0])
      return read_extensions (header, stream, MAX_EXTENSIONS, warnings, error);
    return TRUE;
  }
  if (header->h.vox_offset == 0) /* left out by some writers */
    header->h.vox_offset = fixed;
  if (header->h.vox_offset < fixed || (guint64)header->h.vox_offset > tess_stream_max_size (stream))
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header places the voxels at byte %" PRId64
                    ", which cannot be; the file is damaged or incomplete, copy it again"),
                 (gint64)header->h.vox_offset);
  if (got < 4)
    return fail (error, TESS_ERROR_FORMAT, path, _ ("the file ends too early; it is incomplete, copy it again"));
  if (flag[0] && (guint64)(header->h.vox_offset - fixed) <= MAX_EXTENSIONS) {
    gsize room = (gsize)(header->h.vox_offset - fixed);

    return read_extensions (header, stream, room, warnings, error);
  }
  if (flag[0] == 0 && header->h.intent_code == TESS_NIFTI_INTENT_LABEL && header->h.vox_offset - fixed <= MAX_TEXT)
    return read_text (header, stream, (gsize)(header->h.vox_offset - fixed), error);
  return tess_stream_skip (stream, (guint64)(header->h.vox_offset - fixed), progress, error);
}

void
tess_nifti_header_clear (TessNiftiHeader *header)
{
  g_clear_pointer (&header->extensions, g_byte_array_unref);
  g_clear_pointer (&header->text, g_free);
}

/* The form in which a volume carries the header it came with: version, NIfTI-2 fields, extensions. */
GBytes *
tess_nifti_header_to_bytes (const TessNiftiHeader *header)
{
  GByteArray *bytes = g_byte_array_new ();
  gint32 version = header->version;

  g_byte_array_append (bytes, (const guint8 *)&version, sizeof version);
  g_byte_array_append (bytes, (const guint8 *)&header->h, sizeof header->h);
  if (header->extensions)
    g_byte_array_append (bytes, header->extensions->data, header->extensions->len);
  return g_byte_array_free_to_bytes (bytes);
}

gboolean
tess_nifti_header_from_bytes (TessNiftiHeader *header, GBytes *bytes)
{
  gsize n, fixed = sizeof (gint32) + sizeof (nifti_2_header);
  const guint8 *data = g_bytes_get_data (bytes, &n);
  gint32 version;

  memset (header, 0, sizeof *header);
  if (n < fixed)
    return FALSE;
  memcpy (&version, data, sizeof version);
  memcpy (&header->h, data + sizeof version, sizeof header->h);
  header->version = version;
  if (n > fixed) {
    header->extensions = g_byte_array_new ();
    g_byte_array_append (header->extensions, data + fixed, (guint)(n - fixed));
  }
  return TRUE;
}

GByteArray *
tess_nifti_header_serialise (const TessNiftiHeader *header)
{
  GByteArray *out = g_byte_array_new ();
  guint8 flag[4] = {header->extensions ? 1 : 0, 0, 0, 0};

  if (header->version == 1) {
    nifti_1_header one;

    narrow (&header->h, &one);
    memcpy (one.magic, header->single ? "n+1" : "ni1", 4);
    g_byte_array_append (out, (const guint8 *)&one, sizeof one);
  } else {
    nifti_2_header two = header->h;

    two.sizeof_hdr = TESS_NIFTI2_SIZE;
    memcpy (two.magic, header->single ? "n+2\0\r\n\032\n" : "ni2\0\r\n\032\n", 8);
    g_byte_array_append (out, (const guint8 *)&two, sizeof two);
  }
  g_byte_array_append (out, flag, 4);
  if (header->extensions)
    g_byte_array_append (out, header->extensions->data, header->extensions->len);
  return out;
}

/* Numbers that stand side by side in a voxel: the colours of a coloured one, the two parts of a complex one. */
static gint64
numbers_a_voxel (int datatype)
{
  switch (datatype) {
  case DT_RGB24:
    return 3;
  case DT_RGBA32:
    return 4;
  case DT_COMPLEX64:
  case DT_COMPLEX128:
    return 2;
  default:
    return 1;
  }
}

/**
 * tess_nifti_header_dims:
 * @n_channels: axes 4 and 5, the fourth fastest, times the numbers of a voxel (slowest)
 *
 * Errors: FORMAT (impossible), UNSUPPORTED (axes 6 and 7 are used).
 */
gboolean
tess_nifti_header_dims (const TessNiftiHeader *header, const char *path, gint64 dim[3], gint64 *n_channels,
                        GError **error)
{
  gint64 n_dims = header->h.dim[0];

  if (n_dims < 1 || n_dims > 7)
    return fail (
        error, TESS_ERROR_FORMAT, path,
        _ ("its header claims %" PRId64 " dimensions, 1 to 7 are possible; the file is damaged, copy it again"),
        n_dims);
  dim[0] = dim[1] = dim[2] = 1;
  *n_channels = numbers_a_voxel (header->h.datatype);
  for (gint64 i = 1; i <= n_dims; i++) {
    gint64 size = header->h.dim[i];

    if (size < 1)
      return fail (
          error, TESS_ERROR_FORMAT, path,
          _ ("its header claims a size of %" PRId64 " along dimension %" PRId64 "; the file is damaged, copy it again"),
          size, i);
    if (i > 5 && size > 1)
      return fail (error, TESS_ERROR_UNSUPPORTED, path,
                   _ ("has %" PRId64 " axes in use, more than space, time and components; split it along axis %" PRId64
                      " first"),
                   n_dims, i);
    if (i <= 3)
      dim[i - 1] = size;
    else if (__builtin_mul_overflow (*n_channels, size, n_channels))
      return fail (error, TESS_ERROR_FORMAT, path,
                   _ ("its header claims impossibly many channels; the file is damaged, copy it again"));
  }
  return TRUE;
}

static const struct {
  int datatype;
  TessDType dtype; /* of one number */
} datatypes[] = {
    {DT_UINT8, TESS_DTYPE_U8},      {DT_INT8, TESS_DTYPE_I8},        {DT_UINT16, TESS_DTYPE_U16},
    {DT_INT16, TESS_DTYPE_I16},     {DT_UINT32, TESS_DTYPE_U32},     {DT_INT32, TESS_DTYPE_I32},
    {DT_UINT64, TESS_DTYPE_U64},    {DT_INT64, TESS_DTYPE_I64},      {DT_FLOAT32, TESS_DTYPE_F32},
    {DT_FLOAT64, TESS_DTYPE_F64},   {DT_RGB24, TESS_DTYPE_U8},       {DT_RGBA32, TESS_DTYPE_U8},
    {DT_COMPLEX64, TESS_DTYPE_F32}, {DT_COMPLEX128, TESS_DTYPE_F64},
};

int
tess_nifti_datatype (TessDType dtype)
{
  for (guint i = 0; i < G_N_ELEMENTS (datatypes); i++)
    if (datatypes[i].dtype == dtype) /* plain types come first */
      return datatypes[i].datatype;
  return 0;
}

/* One real number a voxel. */
gboolean
tess_nifti_is_plain (int datatype)
{
  return numbers_a_voxel (datatype) == 1;
}

/**
 * tess_nifti_header_type:
 *
 * How the voxels stand in the file. float128 becomes float64.
 *
 * Errors: UNSUPPORTED, FORMAT.
 */
gboolean
tess_nifti_header_type (const TessNiftiHeader *header, const char *path, TessNiftiType *type, GError **error)
{
  type->n_interleaved = numbers_a_voxel (header->h.datatype);
  for (guint i = 0; i < G_N_ELEMENTS (datatypes); i++)
    if (datatypes[i].datatype == header->h.datatype) {
      type->dtype = datatypes[i].dtype;
      type->stored_size = tess_dtype_size (type->dtype);
      return TRUE;
    }
  switch (header->h.datatype) {
  case DT_FLOAT128:
    type->dtype = TESS_DTYPE_F64;
    type->stored_size = 16;
    return TRUE;
  case DT_COMPLEX256:
    return fail (error, TESS_ERROR_UNSUPPORTED, path,
                 _ ("holds complex numbers of 32 bytes each; convert them to complex128 first"));
  case DT_BINARY:
    return fail (error, TESS_ERROR_UNSUPPORTED, path, _ ("holds single bits; convert it to bytes (uint8) first"));
  default:
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header names an unknown type of voxels (%d); the file is damaged, copy it again"),
                 header->h.datatype);
  }
}

/* What the channels of a volume are, where they are not simply the fourth axis. */
void
tess_nifti_header_explain_channels (const TessNiftiHeader *header, GPtrArray *warnings)
{
  const nifti_2_header *h = &header->h;
  gint64 components = numbers_a_voxel (h->datatype), volumes = h->dim[0] > 3 ? h->dim[4] : 1;
  gint64 fifth = h->dim[0] > 4 ? h->dim[5] : 1;

  if (h->datatype == DT_RGB24)
    warn (warnings, _ ("The file holds colours; its channels are red, green and blue."));
  else if (h->datatype == DT_RGBA32)
    warn (warnings, _ ("The file holds colours; its channels are red, green, blue and opacity."));
  else if (components == 2)
    warn (warnings, _ ("The file holds complex numbers; its channels are the real and the imaginary part."));
  if (components > 1)
    volumes *= fifth;
  else
    components = fifth;
  if (volumes > 1 && components > 1 && warnings)
    g_ptr_array_add (warnings,
                     g_strdup_printf (_ ("Its %" PRId64 " volumes of %" PRId64 " components each are read as %" PRId64
                                         " channels: the first component of all volumes, then the next."),
                                      volumes, components, volumes * components));
}

/* The standard: scaling is for both parts of complex numbers, and not for colours. */
void
tess_nifti_header_scaling (const TessNiftiHeader *header, double *slope, double *intercept, GPtrArray *warnings)
{
  *slope = 1.0;
  *intercept = 0.0;
  if (header->h.datatype == DT_RGB24 || header->h.datatype == DT_RGBA32)
    return;
  if (!isfinite (header->h.scl_slope) || header->h.scl_slope == 0.0)
    return; /* the standard's way to say: no scaling */
  if (!isfinite (header->h.scl_inter)) {
    warn (warnings, _ ("The offset of the values (scl_inter) is not a number; 0 is used."));
    *slope = header->h.scl_slope;
    return;
  }
  *slope = header->h.scl_slope;
  *intercept = header->h.scl_inter;
}
