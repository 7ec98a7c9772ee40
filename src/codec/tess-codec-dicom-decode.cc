// The voxels of a file, unpacked: frames one after another, samples of a voxel side by side.

#include "tess-codec-dicom-private.h"
#include "tess-codec-dicom-rt.h"
#include "tess-codec-dicom-tags.h"
#include "tess-codec-json.h"
#include "tess-codec-wire.h"

#include <gdcmByteValue.h>
#include <gdcmPixmapReader.h>
#include <gdcmPixmap.h>

#include <cstring>
#include <vector>

static std::string
done (size_t n)
{
  TessCodecJson json;

  json.open (nullptr, '{');
  json.integer ("n", (long long)n);
  json.close ('}');
  return json.out;
}

// DICOM PS3.3 C.7.6.3.1.2: full-range YCbCr as of JPEG.
static void
ybr_to_rgb (unsigned char *bytes, size_t n_voxels)
{
  for (size_t i = 0; i < n_voxels; i++, bytes += 3) {
    const double y = bytes[0], b = bytes[1] - 128.0, r = bytes[2] - 128.0;
    const double rgb[3] = {y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b};

    for (int k = 0; k < 3; k++)
      bytes[k] = rgb[k] <= 0 ? 0 : rgb[k] >= 255 ? 255 : (unsigned char)(rgb[k] + 0.5);
  }
}

template <typename T>
static void
interleave (const T *in, T *out, size_t n_frames, size_t plane)
{
  for (size_t f = 0; f < n_frames; f++)
    for (size_t c = 0; c < 3; c++)
      for (size_t i = 0; i < plane; i++)
        out[(f * plane + i) * 3 + c] = in[(f * 3 + c) * plane + i];
}

struct Palette {
  long long first = 0;
  size_t n = 0;
  long long bits = 0;
  std::vector<unsigned> colours[3];

  bool read (const gdcm::DataSet &ds);
  unsigned look_up (int c, long long index) const;
};

bool
Palette::read (const gdcm::DataSet &ds)
{
  long long is_signed = 0;

  tess_dicom_integer (ds, 0x0028, 0x0103, 2, &is_signed);
  for (uint16_t c = 0; c < 3; c++) {
    const std::vector<long long> d = tess_dicom_integers (ds, 0x0028, (uint16_t)(0x1101 + c), 2);
    const gdcm::Tag tag (0x0028, (uint16_t)(0x1201 + c));
    const gdcm::ByteValue *data = ds.FindDataElement (tag) ? ds.GetDataElement (tag).GetByteValue () : nullptr;

    if (d.size () != 3 || !data || !data->GetPointer ())
      return false;
    n = d[0] ? (size_t)d[0] : 65536;
    first = is_signed ? (int16_t)d[1] : d[1];
    bits = d[2];
    if ((bits != 8 && bits != 16) || data->GetLength () < n * (bits == 16 ? 2 : 1))
      return false;
    for (size_t i = 0; i < n; i++) {
      const unsigned char *p = (const unsigned char *)data->GetPointer ();
      // 8-bit entries stand in bytes, or each in a word of its own
      if (bits == 16 || data->GetLength () >= 2 * n)
        colours[c].push_back (p[2 * i] | (unsigned)p[2 * i + 1] << 8);
      else
        colours[c].push_back (p[i]);
    }
  }
  return true;
}

unsigned
Palette::look_up (int c, long long index) const
{
  index -= first;
  return colours[c][index < 0 ? 0 : index >= (long long)n ? n - 1 : (size_t)index];
}

// GDCM breaks off at palettes that do not begin at 0. It gets indices to unpack, and the colours are looked up here.
class PictureReader : public gdcm::PixmapReader {
public:
  bool is_palette = false, has_colours = false;
  Palette palette;

protected:
  bool ReadImage (gdcm::MediaStorage const &storage) override
  {
    static const char grey[] = "MONOCHROME2 ";
    gdcm::DataSet &ds = GetFile ().GetDataSet ();
    gdcm::DataElement photometric (gdcm::Tag (0x0028, 0x0004), 0, gdcm::VR::CS);

    is_palette = tess_dicom_text (ds, 0x0028, 0x0004) == "PALETTE COLOR";
    if (is_palette) {
      has_colours = palette.read (ds);
      photometric.SetByteValue (grey, gdcm::VL (sizeof grey - 1));
      ds.Replace (photometric);
    }
    return gdcm::PixmapReader::ReadImage (storage);
  }
};

static std::string
decode_palette (const Palette &palette, const std::vector<char> &indices, const gdcm::PixelFormat &format,
                unsigned char *out, size_t n)
{
  size_t size = format.GetPixelSize (), voxels = size ? indices.size () / size : 0;

  if (size > 2 || n != voxels * 3 * (palette.bits == 16 ? 2 : 1))
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  for (size_t i = 0; i < voxels; i++) {
    const unsigned char *p = (const unsigned char *)indices.data () + i * size;
    long long index =
        size == 1 ? (format.GetPixelRepresentation () ? (int8_t)p[0] : p[0]) : (long long)(p[0] | (unsigned)p[1] << 8);

    if (size == 2 && format.GetPixelRepresentation ())
      index = (int16_t)index;
    for (int c = 0; c < 3; c++) {
      unsigned colour = palette.look_up (c, index);

      if (palette.bits == 16) {
        uint16_t value = (uint16_t)colour;
        std::memcpy (out + (i * 3 + (size_t)c) * 2, &value, 2);
      } else {
        out[i * 3 + (size_t)c] = (unsigned char)colour;
      }
    }
  }
  return done (n);
}

// Float voxels, which GDCM's pixmaps do not know: never compressed.
static std::string
copy_floats (const gdcm::DataSet &ds, const std::string &kind, unsigned char *out, size_t n)
{
  const gdcm::Tag tag (0x7fe0, kind == "float" ? 0x0008 : 0x0009);
  const gdcm::ByteValue *bytes = ds.GetDataElement (tag).GetByteValue ();

  if (!bytes || bytes->GetLength () < n)
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  std::memcpy (out, bytes->GetPointer (), n);
  return done (n);
}

// GDCM clears the bits that are not stored of 16-bit voxels and breaks off at others; the program clears them anyway.
static void
take_all_bits (gdcm::Pixmap &pixmap)
{
  gdcm::PixelFormat format = pixmap.GetPixelFormat ();
  const gdcm::TransferSyntax &syntax = pixmap.GetTransferSyntax ();

  if ((format.GetBitsAllocated () != 8 && format.GetBitsAllocated () != 32) ||
      (syntax.IsEncapsulated () && syntax != gdcm::TransferSyntax::RLELossless))
    return;
  format.SetBitsStored (format.GetBitsAllocated ());
  format.SetHighBit ((uint16_t)(format.GetBitsAllocated () - 1));
  pixmap.SetPixelFormat (format);
}

std::string
tess_codec_dicom_decode (const TessCodecFile &file, unsigned char *out, size_t n)
{
  TessCodecBytes buffer (file.bytes, file.n);
  std::istream stream (&buffer);
  PictureReader reader;

  reader.SetStream (stream);
  if (!reader.Read ()) {
    TessCodecParsed parsed;

    if (parsed.parse (file) && (parsed.kind == "float" || parsed.kind == "double"))
      return copy_floats (parsed.file->GetDataSet (), parsed.kind, out, n);
    if (parsed.file && parsed.kind.empty ())
      return tess_codec_dicom_contour_points (parsed.file->GetDataSet (), out, n);
    return tess_codec_failure (parsed.is_dicom ? TESS_CODEC_UNSUPPORTED : TESS_CODEC_DAMAGED, parsed.syntax);
  }

  take_all_bits (reader.GetPixmap ());

  const gdcm::Pixmap &pixmap = reader.GetPixmap ();
  const gdcm::PixelFormat format = pixmap.GetPixelFormat ();
  gdcm::PhotometricInterpretation photometric = pixmap.GetPhotometricInterpretation ();
  const size_t length = pixmap.GetBufferLength ();
  const size_t plane = (size_t)pixmap.GetDimension (0) * pixmap.GetDimension (1);
  const size_t frames = pixmap.GetNumberOfDimensions () > 2 ? pixmap.GetDimension (2) : 1;
  const bool palette = reader.is_palette;

  if (length == 0 || length > ((size_t)1 << 40))
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  if (!palette && length != n)
    return tess_codec_failure (TESS_CODEC_DAMAGED, "size");

  std::vector<char> stored (palette || format.GetSamplesPerPixel () == 3 ? length : 0);

  if (!pixmap.GetBuffer (stored.empty () ? (char *)out : stored.data ()))
    return tess_codec_failure (TESS_CODEC_UNSUPPORTED, pixmap.GetTransferSyntax ().GetString ()
                                                           ? pixmap.GetTransferSyntax ().GetString ()
                                                           : "");
  if (palette)
    return reader.has_colours ? decode_palette (reader.palette, stored, format, out, n)
                              : tess_codec_failure (TESS_CODEC_UNSUPPORTED, "palette");
  if (!stored.empty ()) {
    const size_t size = format.GetPixelSize () / 3;

    if (size * 3 * plane * frames != n || (size != 1 && size != 2))
      return tess_codec_failure (TESS_CODEC_UNSUPPORTED, "colours");
    if (pixmap.GetPlanarConfiguration () == 0)
      std::memcpy (out, stored.data (), n);
    else if (size == 1)
      interleave ((const unsigned char *)stored.data (), out, frames, plane);
    else
      interleave ((const uint16_t *)stored.data (), (uint16_t *)out, frames, plane);
    // JPEG 2000's own transforms (YBR_RCT, YBR_ICT) are undone by its decoder.
    if (size == 1 && (photometric == gdcm::PhotometricInterpretation::YBR_FULL ||
                      photometric == gdcm::PhotometricInterpretation::YBR_FULL_422))
      ybr_to_rgb (out, plane * frames);
  }
  return done (n);
}
