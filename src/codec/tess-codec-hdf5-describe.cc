// Element types and attributes.

#include "tess-codec-hdf5-private.h"

#include <cstring>
#include <vector>

namespace
{

const size_t MOST_ATTRIBUTES = 64, MOST_NAME = 256;
const hssize_t MOST_VALUES = 16;

struct Float {
  size_t size, sign, exponent_at, exponent, mantissa_at, mantissa, bias;
};

// IEEE 754 in two, four and eight bytes.
const Float floats[] = {
    {2, 15, 10, 5, 0, 10, 15}, {4, 31, 23, 8, 0, 23, 127}, {8, 63, 52, 11, 0, 52, 1023},
};

bool
is_float (hid_t type)
{
  Float f = {H5Tget_size (type), 0, 0, 0, 0, 0, H5Tget_ebias (type)};

  if (H5Tget_fields (type, &f.sign, &f.exponent_at, &f.exponent, &f.mantissa_at, &f.mantissa) < 0 ||
      H5Tget_norm (type) != H5T_NORM_IMPLIED || H5Tget_offset (type) != 0)
    return false;
  for (const Float &known : floats)
    if (std::memcmp (&known, &f, sizeof f) == 0)
      return true;
  return false;
}

bool
is_whole (hid_t type)
{
  size_t size = H5Tget_size (type);

  return (size == 1 || size == 2 || size == 4 || size == 8) && H5Tget_precision (type) == 8 * size &&
         H5Tget_offset (type) == 0;
}

// The integers that an enumeration names are its numbers; others are themselves.
hid_t
number_of (hid_t type)
{
  return H5Tget_class (type) == H5T_ENUM ? H5Tget_super (type) : H5Tcopy (type);
}

// h5py's truth values: one byte, FALSE or TRUE.
bool
is_bool (hid_t type)
{
  const char *const names[] = {"FALSE", "TRUE"};

  if (H5Tget_class (type) != H5T_ENUM || H5Tget_size (type) != 1 || H5Tget_nmembers (type) != 2)
    return false;
  for (unsigned i = 0; i < 2; i++) {
    char *name = H5Tget_member_name (type, i);
    bool same = name && std::strcmp (name, names[i]) == 0;

    H5free_memory (name);
    if (!same)
      return false;
  }
  return true;
}

const char *
class_name (H5T_class_t what)
{
  switch (what) {
  case H5T_INTEGER:
  case H5T_ENUM:
  case H5T_BITFIELD:
    return "integer of unusual size";
  case H5T_FLOAT:
    return "floating point of unusual form";
  case H5T_STRING:
    return "string";
  case H5T_COMPOUND:
    return "compound";
  case H5T_REFERENCE:
    return "reference";
  case H5T_OPAQUE:
    return "opaque";
  case H5T_VLEN:
    return "lists of varying length";
  case H5T_ARRAY:
    return "array";
  case H5T_TIME:
    return "time";
  default:
    return "unknown";
  }
}

// libhdf5 gives text of varying length in its own memory.
bool
read_text (hid_t attribute, hid_t type, size_t budget, std::string &text)
{
  if (H5Tis_variable_str (type) > 0) {
    TessHdf5Id memory (H5Tcopy (type), H5Tclose);
    char *found = nullptr;

    if (H5Aread (attribute, memory, &found) < 0 || !found)
      return false;
    text.assign (found, strnlen (found, budget + 1));
    H5free_memory (found);
  } else {
    size_t size = H5Tget_size (type);

    if (size > budget)
      return false;
    text.resize (size);
    if (size == 0 || H5Aread (attribute, type, &text[0]) < 0)
      return false;
    text.resize (strnlen (text.c_str (), size));
    if (H5Tget_strpad (type) == H5T_STR_SPACEPAD)
      text.resize (text.find_last_not_of (' ') + 1);
  }
  return text.size () <= budget;
}

void
put_attribute (TessCodecJson &json, hid_t attribute, size_t &budget)
{
  TessHdf5Id type (H5Aget_type (attribute), H5Tclose), space (H5Aget_space (attribute), H5Sclose);
  hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints (space);
  char name[MOST_NAME] = "";
  double values[MOST_VALUES];
  std::string text;

  if (type < 0 || n < 1 || H5Aget_name (attribute, sizeof name, name) < 0)
    return;
  if (H5Tget_class (type) == H5T_STRING) {
    if (n != 1 || !read_text (attribute, type, budget, text))
      return;
    budget -= text.size ();
    json.text (name, text);
  } else if (n <= MOST_VALUES && tess_hdf5_is_number (type) && H5Aread (attribute, H5T_NATIVE_DOUBLE, values) >= 0) {
    json.open (name, '[');
    for (hssize_t i = 0; i < n; i++)
      json.number (nullptr, values[i]);
    json.close (']');
  }
}

} // namespace

bool
tess_hdf5_is_number (hid_t type)
{
  TessHdf5Id number (number_of (type), H5Tclose);
  H5T_class_t what = number < 0 ? H5T_NO_CLASS : H5Tget_class (number);

  return what == H5T_FLOAT ? is_float (number) : (what == H5T_INTEGER || what == H5T_BITFIELD) && is_whole (number);
}

void
tess_hdf5_describe_type (TessCodecJson &json, hid_t type)
{
  TessHdf5Id number (number_of (type), H5Tclose);
  bool real = number >= 0 && H5Tget_class (number) == H5T_FLOAT;

  if (!tess_hdf5_is_number (type)) {
    json.text ("type", class_name (H5Tget_class (type)));
    return;
  }
  json.text ("type", real ? "float" : "integer");
  json.integer ("size", (long long)H5Tget_size (number));
  json.flag ("signed", real || (H5Tget_class (number) == H5T_INTEGER && H5Tget_sign (number) == H5T_SGN_2 && !is_bool (type)));
  json.flag ("big", H5Tget_order (number) == H5T_ORDER_BE);
}

void
tess_hdf5_describe_attributes (TessCodecJson &json, hid_t object, size_t &budget)
{
  H5O_info_t info;
  hsize_t n = H5Oget_info (object, &info) < 0 ? 0 : info.num_attrs;

  json.open ("attributes", '{');
  for (hsize_t i = 0; i < n && i < MOST_ATTRIBUTES; i++) {
    TessHdf5Id attribute (
        H5Aopen_by_idx (object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);

    if (attribute >= 0)
      put_attribute (json, attribute, budget);
  }
  json.close ('}');
}
