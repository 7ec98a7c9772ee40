// What a DICOM file says of its pictures, as JSON. Names, dates of birth and numbers of patients are not among it.

#include "tess-codec-dicom.h"
#include "tess-codec-dicom-private.h"
#include "tess-codec-dicom-rt.h"
#include "tess-codec-dicom-tags.h"
#include "tess-codec-json.h"
#include "tess-codec-wire.h"

#include <gdcmCSAHeader.h>
#include <gdcmElement.h>
#include <gdcmReader.h>

#include <cmath>
#include <cstring>

static void
put_text (TessCodecJson &json, const char *name, const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const std::string text = tess_dicom_text (ds, group, element);

  if (!text.empty ())
    json.text (name, text);
}

static void
put_numbers (TessCodecJson &json, const char *name, const std::vector<double> &values)
{
  json.open (name, '[');
  for (double value : values)
    json.number (nullptr, value);
  json.close (']');
}

// A list of exactly n numbers, or nothing.
static void
put_list (TessCodecJson &json, const char *name, const gdcm::DataSet &ds, uint16_t group, uint16_t element, size_t n)
{
  const std::vector<double> values = tess_dicom_numbers (ds, group, element);

  if (values.size () == n)
    put_numbers (json, name, values);
}

static void
put_number (TessCodecJson &json, const char *name, const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  double value;

  if (tess_dicom_number (ds, group, element, &value) && std::isfinite (value))
    json.number (name, value);
}

static void
put_integer (TessCodecJson &json, const char *name, const gdcm::DataSet &ds, uint16_t group, uint16_t element,
             size_t size)
{
  long long value;

  if (tess_dicom_integer (ds, group, element, size, &value))
    json.integer (name, value);
}

// The place and the values of a picture: at the top of a classic file, in functional groups of an enhanced one.
static void
put_place (TessCodecJson &json, const gdcm::DataSet &ds)
{
  put_list (json, "position", ds, 0x0020, 0x0032, 3);
  put_list (json, "orientation", ds, 0x0020, 0x0037, 6);
}

static void
put_measures (TessCodecJson &json, const gdcm::DataSet &ds)
{
  put_list (json, "spacing", ds, 0x0028, 0x0030, 2);
  put_number (json, "thickness", ds, 0x0018, 0x0050);
  put_number (json, "between", ds, 0x0018, 0x0088);
}

static void
put_rescale (TessCodecJson &json, const gdcm::DataSet &ds)
{
  put_number (json, "slope", ds, 0x0028, 0x1053);
  put_number (json, "intercept", ds, 0x0028, 0x1052);
}

static void
put_groups (TessCodecJson &json, const gdcm::DataSet &groups)
{
  gdcm::DataSet item;

  if (tess_dicom_item (groups, 0x0020, 0x9113, &item))
    put_list (json, "position", item, 0x0020, 0x0032, 3);
  if (tess_dicom_item (groups, 0x0020, 0x9116, &item))
    put_list (json, "orientation", item, 0x0020, 0x0037, 6);
  if (tess_dicom_item (groups, 0x0028, 0x9110, &item))
    put_measures (json, item);
  if (tess_dicom_item (groups, 0x0028, 0x9145, &item))
    put_rescale (json, item);
  if (tess_dicom_item (groups, 0x0020, 0x9111, &item)) {
    const std::vector<long long> index = tess_dicom_integers (item, 0x0020, 0x9157, 4);

    put_integer (json, "temporal", item, 0x0020, 0x9128, 4);
    put_text (json, "stack", item, 0x0020, 0x9056);
    if (!index.empty ()) {
      json.open ("index", '[');
      for (size_t i = 0; i < index.size () && i < 16; i++)
        json.integer (nullptr, index[i]);
      json.close (']');
    }
  }
  if (tess_dicom_item (groups, 0x0062, 0x000a, &item))
    put_integer (json, "segment", item, 0x0062, 0x000b, 2);
}

static void
put_segments (TessCodecJson &json, const gdcm::DataSet &ds)
{
  gdcm::SmartPointer<gdcm::SequenceOfItems> items = tess_dicom_sequence (ds, 0x0062, 0x0002);

  if (!items)
    return;
  json.open ("segments", '[');
  for (size_t i = 1; i <= items->GetNumberOfItems () && i <= 65535; i++) {
    const gdcm::DataSet &segment = items->GetItem (i).GetNestedDataSet ();
    const std::vector<long long> colour = tess_dicom_integers (segment, 0x0062, 0x000d, 2);

    json.open (nullptr, '{');
    put_integer (json, "number", segment, 0x0062, 0x0004, 2);
    put_text (json, "name", segment, 0x0062, 0x0005);
    if (colour.size () == 3) { // CIELab, each in 16 bits
      json.open ("lab", '[');
      for (long long c : colour)
        json.integer (nullptr, c);
      json.close (']');
    }
    json.close ('}');
  }
  json.close (']');
  put_text (json, "segmentation", ds, 0x0062, 0x0001);
  put_integer (json, "fraction-most", ds, 0x0062, 0x000e, 2);
}

// Siemens packs the slices of a volume into one picture; how many there are stands in a private header.
static void
put_mosaic (TessCodecJson &json, const gdcm::DataSet &ds)
{
  gdcm::CSAHeader csa;
  long long n = 0;

  if (tess_dicom_text (ds, 0x0008, 0x0008).find ("MOSAIC") == std::string::npos)
    return;
  if (ds.FindDataElement (gdcm::CSAHeader::GetCSAImageHeaderInfoTag ()) &&
      csa.LoadFromDataElement (ds.GetDataElement (gdcm::CSAHeader::GetCSAImageHeaderInfoTag ())) &&
      csa.GetFormat () == gdcm::CSAHeader::SV10) {
    if (csa.FindCSAElementByName ("NumberOfImagesInMosaic")) {
      gdcm::Element<gdcm::VR::IS, gdcm::VM::VM1> element = {{}};

      element.Set (csa.GetCSAElementByName ("NumberOfImagesInMosaic").GetValue ());
      n = element.GetValue ();
    }
    if (csa.FindCSAElementByName ("SliceNormalVector")) {
      gdcm::Element<gdcm::VR::DS, gdcm::VM::VM3> element = {{}};

      element.Set (csa.GetCSAElementByName ("SliceNormalVector").GetValue ());
      put_numbers (json, "mosaic-normal", {element.GetValue (0), element.GetValue (1), element.GetValue (2)});
    }
  }
  if (n < 1)
    tess_dicom_integer (ds, 0x0019, 0x100a, 2, &n);
  json.integer ("mosaic", n);
}

static void
put_frames (TessCodecJson &json, const gdcm::DataSet &ds)
{
  gdcm::SmartPointer<gdcm::SequenceOfItems> each = tess_dicom_sequence (ds, 0x5200, 0x9230);
  gdcm::DataSet item;

  if (tess_dicom_item (ds, 0x5200, 0x9229, &item)) {
    json.open ("shared", '{');
    put_groups (json, item);
    json.close ('}');
  }
  if (each) {
    json.open ("each", '[');
    for (size_t i = 1; i <= each->GetNumberOfItems (); i++) {
      json.open (nullptr, '{');
      put_groups (json, each->GetItem (i).GetNestedDataSet ());
      json.close ('}');
    }
    json.close (']');
  }
  // nuclear medicine: the place of the first slice of the stack
  if (tess_dicom_item (ds, 0x0054, 0x0022, &item)) {
    json.open ("detector", '{');
    put_place (json, item);
    json.close ('}');
  }
  // dose grids: where each plane lies along the normal
  const std::vector<double> offsets = tess_dicom_numbers (ds, 0x3004, 0x000c);
  if (!offsets.empty ())
    put_numbers (json, "offsets", offsets);
  put_number (json, "dose-scaling", ds, 0x3004, 0x000e);
}

static void
put_directory (TessCodecJson &json, const gdcm::DataSet &ds)
{
  gdcm::SmartPointer<gdcm::SequenceOfItems> records = tess_dicom_sequence (ds, 0x0004, 0x1220);

  json.open ("files", '[');
  for (size_t i = 1; records && i <= records->GetNumberOfItems (); i++) {
    const std::string file = tess_dicom_text (records->GetItem (i).GetNestedDataSet (), 0x0004, 0x1500);

    if (!file.empty ())
      json.text (nullptr, file);
  }
  json.close (']');
}

// Where the voxels of an uncompressed picture stand in the file, so that the program can read them by itself.
static void
put_pixels (TessCodecJson &json, const TessCodecParsed &parsed)
{
  json.text ("syntax", parsed.syntax);
  json.flag ("plain", parsed.plain);
  if (parsed.plain) {
    json.integer ("offset", (long long)parsed.offset);
    json.integer ("length", (long long)parsed.length);
  }
  json.text ("kind", parsed.kind);
}

// A transfer syntax that GDCM has no name for: high-throughput JPEG 2000, video of later years.
static bool
is_unread_syntax (const std::string &syntax)
{
  return !syntax.empty () && gdcm::TransferSyntax::GetTSType (syntax.c_str ()) == gdcm::TransferSyntax::TS_END;
}

std::string
tess_codec_dicom_scan (const TessCodecFile &file)
{
  TessCodecParsed parsed;
  TessCodecJson json;

  if (!parsed.parse (file))
    return tess_codec_failure (!parsed.is_dicom                   ? TESS_CODEC_OTHER_KIND
                               : is_unread_syntax (parsed.syntax) ? TESS_CODEC_UNSUPPORTED
                                                                  : TESS_CODEC_DAMAGED,
                               parsed.syntax);
  if (parsed.cut)
    return tess_codec_failure (TESS_CODEC_CUT, "");

  const gdcm::DataSet &ds = parsed.file->GetDataSet ();

  json.open (nullptr, '{');
  if (ds.FindDataElement (gdcm::Tag (0x0004, 0x1220))) {
    put_directory (json, ds);
    json.close ('}');
    return json.out;
  }
  if (parsed.kind.empty () && !tess_codec_dicom_has_contours (ds))
    return tess_codec_failure (TESS_CODEC_NO_PIXELS, tess_dicom_text (ds, 0x0008, 0x0060));
  put_text (json, "charset", ds, 0x0008, 0x0005);
  put_text (json, "class", ds, 0x0008, 0x0016);
  put_text (json, "instance-uid", ds, 0x0008, 0x0018);
  put_text (json, "modality", ds, 0x0008, 0x0060);
  put_text (json, "image-type", ds, 0x0008, 0x0008);
  put_text (json, "description", ds, 0x0008, 0x103e);
  put_text (json, "study", ds, 0x0020, 0x000d);
  put_text (json, "series", ds, 0x0020, 0x000e);
  put_text (json, "frame-of-reference", ds, 0x0020, 0x0052);
  put_number (json, "series-number", ds, 0x0020, 0x0011);
  if (parsed.kind.empty ()) {
    json.text ("syntax", parsed.syntax);
    tess_codec_dicom_put_contours (json, ds);
    json.close ('}');
    return json.out;
  }
  put_number (json, "acquisition", ds, 0x0020, 0x0012);
  put_number (json, "instance", ds, 0x0020, 0x0013);
  put_number (json, "temporal", ds, 0x0020, 0x0100);
  put_number (json, "trigger", ds, 0x0018, 0x1060);
  put_number (json, "echo", ds, 0x0018, 0x0081);
  put_text (json, "time", ds, 0x0008, 0x0032);
  put_place (json, ds);
  put_measures (json, ds);
  if (tess_dicom_numbers (ds, 0x0028, 0x0030).size () != 2)
    put_list (json, "imager-spacing", ds, 0x0018, 0x1164, 2);
  put_rescale (json, ds);
  put_integer (json, "rows", ds, 0x0028, 0x0010, 2);
  put_integer (json, "columns", ds, 0x0028, 0x0011, 2);
  put_number (json, "frames", ds, 0x0028, 0x0008);
  put_integer (json, "samples", ds, 0x0028, 0x0002, 2);
  put_integer (json, "planar", ds, 0x0028, 0x0006, 2);
  put_text (json, "photometric", ds, 0x0028, 0x0004);
  put_integer (json, "allocated", ds, 0x0028, 0x0100, 2);
  put_integer (json, "stored", ds, 0x0028, 0x0101, 2);
  put_integer (json, "high", ds, 0x0028, 0x0102, 2);
  put_integer (json, "signed", ds, 0x0028, 0x0103, 2);
  const std::vector<long long> palette = tess_dicom_integers (ds, 0x0028, 0x1101, 2);
  if (palette.size () == 3)
    json.integer ("palette-bits", palette[2]);
  put_pixels (json, parsed);
  put_mosaic (json, ds);
  put_frames (json, ds);
  put_segments (json, ds);
  json.close ('}');
  return json.out;
}
