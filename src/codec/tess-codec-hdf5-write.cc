// The HDF5 file around voxels. The program packs chunks and writes them, one after the other; libhdf5 is told where
// they lie and how large they are, and makes the rest: superblock, group, dataset, attributes, index of chunks.

#include "tess-codec-hdf5-private.h"
#include "tess-codec-wire.h"

#include <cstring>

namespace
{

struct Plan {
  TessCodecHdf5Plan head;
  const unsigned char *sizes; // uint32_t each
  std::string labels;
};

bool
read_plan (Plan &plan, const unsigned char *bytes, size_t n)
{
  if (n < sizeof plan.head)
    return false;
  std::memcpy (&plan.head, bytes, sizeof plan.head);
  n -= sizeof plan.head;
  if (plan.head.n_axes < 1 || plan.head.n_axes > 4 || plan.head.n_chunks > n / 4 ||
      n - plan.head.n_chunks * 4 != plan.head.n_labels)
    return false;
  plan.sizes = bytes + sizeof plan.head;
  plan.labels.assign ((const char *)plan.sizes + plan.head.n_chunks * 4, plan.head.n_labels);
  return true;
}

uint32_t
size_of (const Plan &plan, uint64_t i)
{
  uint32_t size;

  std::memcpy (&size, plan.sizes + 4 * i, sizeof size);
  return size;
}

bool
add_numbers (hid_t object, const char *name, const double *values, const hsize_t *shape, int n_axes)
{
  TessHdf5Id space (n_axes ? H5Screate_simple (n_axes, shape, nullptr) : H5Screate (H5S_SCALAR), H5Sclose);
  TessHdf5Id attribute (
      H5Acreate2 (object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);

  return attribute >= 0 && H5Awrite (attribute, H5T_NATIVE_DOUBLE, values) >= 0;
}

bool
add_text (hid_t object, const char *name, const std::string &text)
{
  TessHdf5Id type (H5Tcopy (H5T_C_S1), H5Tclose), space (H5Screate (H5S_SCALAR), H5Sclose);

  if (H5Tset_size (type, text.size ()) < 0 || H5Tset_cset (type, H5T_CSET_UTF8) < 0 ||
      H5Tset_strpad (type, H5T_STR_NULLPAD) < 0)
    return false;

  TessHdf5Id attribute (H5Acreate2 (object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);

  return attribute >= 0 && H5Awrite (attribute, type, text.data ()) >= 0;
}

hid_t
element_type (const TessCodecHdf5Plan &plan)
{
  hid_t type = H5Tcopy (plan.element_size == 8   ? (plan.is_float ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64)
                        : plan.element_size == 4 ? (plan.is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32)
                        : plan.element_size == 2 ? (plan.is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT16)
                                                 : H5T_NATIVE_INT8);

  if (plan.is_float && plan.element_size == 2) { // IEEE 754 in two bytes; libhdf5 1 has no name for it
    H5Tset_fields (type, 15, 10, 5, 0, 10);
    H5Tset_size (type, 2);
    H5Tset_ebias (type, 15);
  } else if (!plan.is_float && !plan.is_signed) {
    H5Tset_sign (type, H5T_SGN_NONE);
  }
  return type;
}

bool
add_chunks (hid_t dataset, const Plan &plan, TessHdf5Storage &storage)
{
  hsize_t at[4] = {};

  storage.chunks = true;
  for (uint64_t i = 0; i < plan.head.n_chunks; i++) {
    if (H5Dwrite_chunk (dataset, H5P_DEFAULT, 0, at, size_of (plan, i), plan.sizes) < 0) // the driver drops the bytes
      return false;
    for (int k = (int)plan.head.n_axes - 1; k >= 0; k--) {
      at[k] += plan.head.chunk[k];
      if (at[k] < plan.head.shape[k])
        break;
      at[k] = 0;
    }
  }
  storage.chunks = false;
  return true;
}

bool
add_dataset (hid_t file, const Plan &plan, TessHdf5Storage &storage)
{
  const TessCodecHdf5Plan &head = plan.head;
  const hsize_t matrix[2] = {4, 4}, three = 3;
  const double first = 0;
  hsize_t shape[4], chunk[4];

  for (int k = 0; k < 4; k++) {
    shape[k] = head.shape[k];
    chunk[k] = head.chunk[k];
  }

  TessHdf5Id type (element_type (head), H5Tclose), space (H5Screate_simple ((int)head.n_axes, shape, nullptr), H5Sclose);
  TessHdf5Id list (H5Pcreate (H5P_DATASET_CREATE), H5Pclose);

  if (H5Pset_chunk (list, (int)head.n_axes, chunk) < 0 || H5Pset_shuffle (list) < 0 ||
      H5Pset_deflate (list, head.level) < 0 || H5Pset_attr_phase_change (list, 8, 6) < 0)
    return false;

  TessHdf5Id dataset (
      H5Dcreate2 (file, head.is_label ? "labels" : "image", type, space, H5P_DEFAULT, list, H5P_DEFAULT), H5Dclose);

  return dataset >= 0 && add_numbers (dataset, "affine", head.affine, matrix, 2) &&
         add_numbers (dataset, "spacing", head.spacing, &three, 1) &&
         add_numbers (dataset, "slope", &head.slope, nullptr, 0) &&
         add_numbers (dataset, "intercept", &head.intercept, nullptr, 0) &&
         (head.n_axes < 4 || add_numbers (dataset, "channel_axis", &first, nullptr, 0)) &&
         (plan.labels.empty () || add_text (dataset, "labels", plan.labels)) && add_chunks (dataset, plan, storage);
}

} // namespace

std::string
tess_codec_hdf5_frame (const unsigned char *bytes, size_t n_bytes, unsigned char *out, size_t n)
{
  TessHdf5Storage storage;
  TessCodecJson json;
  Plan plan;
  bool done;

  if (!read_plan (plan, bytes, n_bytes) || n < TESS_CODEC_HDF5_HEAD)
    return tess_codec_failure (TESS_CODEC_MISUSE, "");
  std::memset (out, 0, n);
  storage.memory = out;
  storage.n_memory = n;
  storage.head = storage.next_data = storage.data_end = TESS_CODEC_HDF5_HEAD;
  for (uint64_t i = 0; i < plan.head.n_chunks; i++)
    storage.data_end += size_of (plan, i);
  storage.end = storage.data_end;

  TessHdf5Id file (tess_hdf5_create (storage), H5Fclose);

  done = file >= 0 && add_dataset (file, plan, storage);
  if (file.close () < 0 || !done)
    return tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
  json.open (nullptr, '{');
  json.integer ("n", (long long)(TESS_CODEC_HDF5_HEAD + (storage.end - storage.data_end)));
  json.close ('}');
  return json.out;
}
