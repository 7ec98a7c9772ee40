#include "tess-codec-dicom-private.h"

#include <gdcmByteValue.h>

#include <algorithm>
#include <cstring>

TessCodecBytes::TessCodecBytes (const unsigned char *bytes, size_t n)
{
  char *start = const_cast<char *> (reinterpret_cast<const char *> (bytes)); // read only: nothing is put here

  setg (start, start, start + n);
}

TessCodecBytes::pos_type
TessCodecBytes::seekoff (off_type off, std::ios_base::seekdir dir, std::ios_base::openmode which)
{
  off_type base = dir == std::ios_base::beg ? 0 : dir == std::ios_base::cur ? gptr () - eback () : egptr () - eback ();
  off_type to;

  if (!(which & std::ios_base::in) || __builtin_add_overflow (base, off, &to) || to < 0 || to > egptr () - eback ())
    return pos_type (off_type (-1));
  setg (eback (), eback () + to, egptr ());
  return pos_type (to);
}

TessCodecBytes::pos_type
TessCodecBytes::seekpos (pos_type pos, std::ios_base::openmode which)
{
  return seekoff (off_type (pos), std::ios_base::beg, which);
}

static size_t
little32 (const unsigned char *p)
{
  return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

struct Voxels {
  const char *kind = nullptr;
  size_t element = 0, offset = 0, length = 0;
};

// The element of uncompressed voxels that reaches to the end of the file, or nearly: found without reading it. A copy
// of half a megabyte a slice would cost more than all the rest. `longer`: where one claims to reach beyond the end.
static bool
find_plain (const TessCodecFile &file, Voxels *found, Voxels *longer)
{
  static const struct {
    unsigned char tag[4];
    const char *kind;
  } tags[] = {
      {{0xe0, 0x7f, 0x10, 0x00}, "integer"}, {{0xe0, 0x7f, 0x08, 0x00}, "float"}, {{0xe0, 0x7f, 0x09, 0x00}, "double"}};
  const size_t tail = 4096; // elements that may follow: padding, signatures

  *longer = {};
  for (const auto &t : tags) {
    const unsigned char *at = file.bytes, *end = file.bytes + file.n;

    while ((at = (const unsigned char *)memmem (at, (size_t)(end - at), t.tag, 4))) {
      const size_t left = (size_t)(end - at), start = (size_t)(at - file.bytes);

      for (int is_explicit = 1; is_explicit >= 0; is_explicit--) {
        const size_t header = is_explicit ? 12 : 8;

        if (left < header || (is_explicit && (at[4] != 'O' || at[6] || at[7])))
          continue;

        const size_t length = little32 (at + header - 4);
        const Voxels voxels = {t.kind, start, start + header, length};

        if (length > left - header && length != 0xffffffff && !longer->kind)
          *longer = voxels;
        if (length > 0 && length <= left - header && left - header - length <= tail) {
          *found = voxels;
          return true;
        }
      }
      at++;
    }
  }
  return false;
}

// The transfer syntax of a file that GDCM does not read: (0002,0010) near its beginning.
static std::string
named_syntax (const TessCodecFile &file)
{
  static const unsigned char tag[6] = {0x02, 0x00, 0x10, 0x00, 'U', 'I'};
  const unsigned char *at =
      (const unsigned char *)memmem (file.bytes, std::min (file.n, (size_t)4096), tag, sizeof tag);
  std::string uid;

  if (!at)
    return uid;
  for (const unsigned char *p = at + 8;
       p < file.bytes + file.n && p < at + 72 && ((*p >= '0' && *p <= '9') || *p == '.'); p++)
    uid += (char)*p;
  return uid;
}

bool
TessCodecParsed::read (const TessCodecFile &bytes, size_t n)
{
  buffer = std::make_unique<TessCodecBytes> (bytes.bytes, n);
  stream = std::make_unique<std::istream> (buffer.get ());
  reader = std::make_unique<gdcm::Reader> ();
  reader->SetStream (*stream);
  try {
    if (!reader->Read ())
      return false;
  } catch (const std::bad_alloc &) {
    throw;
  } catch (...) {
    return false;
  }
  file = &reader->GetFile ();
  syntax = file->GetHeader ().GetDataSetTransferSyntax ().GetString ()
               ? file->GetHeader ().GetDataSetTransferSyntax ().GetString ()
               : "";
  return true;
}

static bool
is_little_plain (const std::string &syntax)
{
  return syntax == "1.2.840.10008.1.2" || syntax == "1.2.840.10008.1.2.1";
}

bool
TessCodecParsed::parse (const TessCodecFile &bytes)
{
  Voxels voxels, longer;

  is_dicom = bytes.n >= 132 && std::memcmp (bytes.bytes + 128, "DICM", 4) == 0;
  if (bytes.n < 16)
    return false;
  if (find_plain (bytes, &voxels, &longer) && read (bytes, voxels.element) && is_little_plain (syntax) &&
      file->GetDataSet ().FindDataElement (gdcm::Tag (0x0028, 0x0010))) {
    kind = voxels.kind;
    plain = true;
    offset = voxels.offset;
    length = voxels.length;
    return true;
  }
  if (!read (bytes, bytes.n)) {
    syntax = is_dicom ? named_syntax (bytes) : "";
    return false;
  }
  // Without the preamble anything may have been read as elements.
  if (!is_dicom && !file->GetDataSet ().FindDataElement (gdcm::Tag (0x0008, 0x0016)))
    return false;
  is_dicom = true;
  if (file->GetDataSet ().FindDataElement (gdcm::Tag (0x7fe0, 0x0010)))
    kind = "integer";
  else if (file->GetDataSet ().FindDataElement (gdcm::Tag (0x7fe0, 0x0008)))
    kind = "float";
  else if (file->GetDataSet ().FindDataElement (gdcm::Tag (0x7fe0, 0x0009)))
    kind = "double";
  // GDCM fills up what is missing with zeros
  cut = longer.kind && kind == longer.kind && is_little_plain (syntax);
  return true;
}
