#include "tess-codec-dicom-tags.h"

#include <gdcmByteValue.h>

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cstring>

static const gdcm::ByteValue *
bytes_of (const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const gdcm::Tag tag (group, element);

  return ds.FindDataElement (tag) ? ds.GetDataElement (tag).GetByteValue () : nullptr;
}

std::string
tess_dicom_text (const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const gdcm::ByteValue *value = bytes_of (ds, group, element);
  std::string text;
  size_t first, last;

  if (!value || !value->GetPointer () || value->GetLength () > 16384)
    return text;
  text.assign (value->GetPointer (), value->GetLength ());
  text.resize (std::strlen (text.c_str ())); // padded with zeros, or cut by one
  first = text.find_first_not_of (" \t\r\n");
  last = text.find_last_not_of (" \t\r\n");
  return first == std::string::npos ? "" : text.substr (first, last - first + 1);
}

std::vector<double>
tess_dicom_numbers (const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const std::string text = tess_dicom_text (ds, group, element);
  std::vector<double> values;

  for (size_t at = 0; !text.empty () && at <= text.size ();) {
    size_t end = text.find ('\\', at);
    std::string one = text.substr (at, end == std::string::npos ? std::string::npos : end - at);
    char *rest;
    double value = std::strtod (one.c_str (), &rest);

    if (rest == one.c_str () || rest[std::strspn (rest, " ")] != '\0')
      return {};
    values.push_back (value);
    if (end == std::string::npos)
      break;
    at = end + 1;
  }
  return values;
}

std::vector<long long>
tess_dicom_integers (const gdcm::DataSet &ds, uint16_t group, uint16_t element, size_t size)
{
  const gdcm::ByteValue *value = bytes_of (ds, group, element);
  std::vector<long long> values;

  if (!value || !value->GetPointer ())
    return values;
  for (size_t at = 0; at + size <= value->GetLength (); at += size) {
    if (size == 2) {
      uint16_t v;
      std::memcpy (&v, value->GetPointer () + at, 2);
      values.push_back (v);
    } else {
      uint32_t v;
      std::memcpy (&v, value->GetPointer () + at, 4);
      values.push_back (v);
    }
  }
  return values;
}

std::vector<double>
tess_dicom_doubles (const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const gdcm::ByteValue *value = bytes_of (ds, group, element);
  std::vector<double> values;

  if (!value || !value->GetPointer ())
    return values;
  for (size_t at = 0; at + 8 <= value->GetLength (); at += 8) {
    double v;
    std::memcpy (&v, value->GetPointer () + at, 8);
    values.push_back (v);
  }
  return values;
}

bool
tess_dicom_integer (const gdcm::DataSet &ds, uint16_t group, uint16_t element, size_t size, long long *value)
{
  const std::vector<long long> values = tess_dicom_integers (ds, group, element, size);

  if (values.empty ())
    return false;
  *value = values[0];
  return true;
}

bool
tess_dicom_number (const gdcm::DataSet &ds, uint16_t group, uint16_t element, double *value)
{
  const std::vector<double> values = tess_dicom_numbers (ds, group, element);

  if (values.empty ())
    return false;
  *value = values[0];
  return true;
}

gdcm::SmartPointer<gdcm::SequenceOfItems>
tess_dicom_sequence (const gdcm::DataSet &ds, uint16_t group, uint16_t element)
{
  const gdcm::Tag tag (group, element);

  if (!ds.FindDataElement (tag))
    return nullptr;
  return ds.GetDataElement (tag).GetValueAsSQ ();
}

bool
tess_dicom_item (const gdcm::DataSet &ds, uint16_t group, uint16_t element, gdcm::DataSet *item)
{
  gdcm::SmartPointer<gdcm::SequenceOfItems> items = tess_dicom_sequence (ds, group, element);

  if (!items || items->GetNumberOfItems () < 1)
    return false;
  *item = items->GetItem (1).GetNestedDataSet ();
  return true;
}
