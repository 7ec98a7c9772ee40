// Structure sets: closed contours of regions, as numbers. Source: DICOM PS3.3 C.8.8.5 and C.8.8.6.

#include "tess-codec-dicom-rt.h"
#include "tess-codec-dicom-tags.h"
#include "tess-codec-dicom.h"
#include "tess-codec-wire.h"

#include <gdcmByteValue.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#define MAX_REGIONS 65535

typedef gdcm::SmartPointer<gdcm::SequenceOfItems> Sequence;

bool
tess_codec_dicom_has_contours (const gdcm::DataSet &ds)
{
  return ds.FindDataElement (gdcm::Tag (0x3006, 0x0020)) || ds.FindDataElement (gdcm::Tag (0x3006, 0x0039));
}

// Contour data: numbers between backslashes, three a point; far longer than other texts. False where it is not that.
// Without `points` they are counted only.
static bool
read_points (const gdcm::DataSet &contour, std::vector<double> *points, size_t *n_points)
{
  const gdcm::Tag tag (0x3006, 0x0050);
  const gdcm::ByteValue *value = contour.FindDataElement (tag) ? contour.GetDataElement (tag).GetByteValue () : nullptr;
  std::string text;
  size_t n = 0;

  if (!value || !value->GetPointer ())
    return false;
  text.assign (value->GetPointer (), value->GetLength ());
  for (const char *p = text.c_str ();;) {
    char *rest;
    const double number = std::strtod (p, &rest);

    if (rest == p || !std::isfinite (number))
      return false;
    if (points)
      points->push_back (number);
    n++;
    rest += std::strspn (rest, " \t\r\n");
    if (*rest == '\0')
      break;
    if (*rest != '\\')
      return false;
    p = rest + 1;
  }
  *n_points = n / 3;
  return n % 3 == 0 && n > 0;
}

struct Region {
  long long number = 0;
  std::string name;
  std::vector<double> colour;
  std::vector<Sequence> contours;
};

// In the order of the list of names; contours without a name there come last.
static std::vector<Region>
find_regions (const gdcm::DataSet &ds)
{
  Sequence names = tess_dicom_sequence (ds, 0x3006, 0x0020), drawn = tess_dicom_sequence (ds, 0x3006, 0x0039);
  std::map<long long, size_t> by_number;
  std::vector<Region> regions;

  for (size_t i = 1; names && i <= names->GetNumberOfItems () && regions.size () < MAX_REGIONS; i++) {
    const gdcm::DataSet &item = names->GetItem (i).GetNestedDataSet ();
    double number;
    Region region;

    if (!tess_dicom_number (item, 0x3006, 0x0022, &number) || std::fabs (number) > 2147483647)
      continue;
    region.number = (long long)number;
    region.name = tess_dicom_text (item, 0x3006, 0x0026);
    if (by_number.emplace (region.number, regions.size ()).second)
      regions.push_back (region);
  }
  for (size_t i = 1; drawn && i <= drawn->GetNumberOfItems (); i++) {
    const gdcm::DataSet &item = drawn->GetItem (i).GetNestedDataSet ();
    Sequence contours = tess_dicom_sequence (item, 0x3006, 0x0040);
    double number;

    if (!tess_dicom_number (item, 0x3006, 0x0084, &number) || std::fabs (number) > 2147483647)
      continue;
    if (by_number.find ((long long)number) == by_number.end ()) {
      if (regions.size () >= MAX_REGIONS)
        continue;
      by_number[(long long)number] = regions.size ();
      regions.emplace_back ();
      regions.back ().number = (long long)number;
    }

    Region &region = regions[by_number[(long long)number]];

    region.colour = tess_dicom_numbers (item, 0x3006, 0x002a);
    if (contours)
      region.contours.push_back (contours);
  }
  return regions;
}

static bool
is_closed (const gdcm::DataSet &contour)
{
  const std::string type = tess_dicom_text (contour, 0x3006, 0x0042);

  return type == "CLOSED_PLANAR" || type == "CLOSEDPLANAR_XOR";
}

static void
put_region (TessCodecJson &json, const Region &region)
{
  long long n_other = 0, n_bad = 0;

  json.open (nullptr, '{');
  json.integer ("number", region.number);
  json.text ("name", region.name);
  if (region.colour.size () == 3) {
    json.open ("colour", '[');
    for (double c : region.colour)
      json.integer (nullptr, c >= 0 && c <= 255 ? (long long)c : 0);
    json.close (']');
  }
  json.open ("closed", '[');
  for (const Sequence &contours : region.contours)
    for (size_t k = 1; k <= contours->GetNumberOfItems (); k++) {
      const gdcm::DataSet &contour = contours->GetItem (k).GetNestedDataSet ();
      size_t n_points;

      if (!is_closed (contour))
        n_other++;
      else if (!read_points (contour, nullptr, &n_points))
        n_bad++;
      else
        json.integer (nullptr, (long long)n_points);
    }
  json.close (']');
  json.integer ("other", n_other);
  json.integer ("bad", n_bad);
  json.close ('}');
}

// What the contours were drawn on.
static void
put_references (TessCodecJson &json, const gdcm::DataSet &ds)
{
  Sequence frames = tess_dicom_sequence (ds, 0x3006, 0x0010);

  json.open ("references", '[');
  for (size_t i = 1; frames && i <= frames->GetNumberOfItems () && i <= 100; i++) {
    const gdcm::DataSet &frame = frames->GetItem (i).GetNestedDataSet ();
    const std::string uid = tess_dicom_text (frame, 0x0020, 0x0052);
    Sequence studies = tess_dicom_sequence (frame, 0x3006, 0x0012);

    json.open (nullptr, '{');
    json.text ("frame-of-reference", uid);
    json.open ("series", '[');
    for (size_t k = 1; studies && k <= studies->GetNumberOfItems () && k <= 100; k++) {
      Sequence series = tess_dicom_sequence (studies->GetItem (k).GetNestedDataSet (), 0x3006, 0x0014);

      for (size_t m = 1; series && m <= series->GetNumberOfItems () && m <= 100; m++)
        json.text (nullptr, tess_dicom_text (series->GetItem (m).GetNestedDataSet (), 0x0020, 0x000e));
    }
    json.close (']');
    json.close ('}');
  }
  json.close (']');
}

void
tess_codec_dicom_put_contours (TessCodecJson &json, const gdcm::DataSet &ds)
{
  json.open ("structures", '{');
  json.text ("label", tess_dicom_text (ds, 0x3006, 0x0002));
  put_references (json, ds);
  json.open ("regions", '[');
  for (const Region &region : find_regions (ds))
    put_region (json, region);
  json.close (']');
  json.close ('}');
}

std::string
tess_codec_dicom_contour_points (const gdcm::DataSet &ds, unsigned char *out, size_t n)
{
  size_t done = 0;
  TessCodecJson json;

  for (const Region &region : find_regions (ds))
    for (const Sequence &contours : region.contours)
      for (size_t k = 1; k <= contours->GetNumberOfItems (); k++) {
        const gdcm::DataSet &contour = contours->GetItem (k).GetNestedDataSet ();
        std::vector<double> points;
        size_t n_points;

        if (!is_closed (contour) || !read_points (contour, &points, &n_points))
          continue;
        if (points.size () * sizeof (double) > n - done)
          return tess_codec_failure (TESS_CODEC_DAMAGED, "size");
        std::memcpy (out + done, points.data (), points.size () * sizeof (double));
        done += points.size () * sizeof (double);
      }
  if (done != n)
    return tess_codec_failure (TESS_CODEC_DAMAGED, "size");
  json.open (nullptr, '{');
  json.integer ("n", (long long)done);
  json.close ('}');
  return json.out;
}
