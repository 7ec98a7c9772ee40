// What an HDF5 file says of its datasets, as JSON, and where their bytes lie. Voxels are not read here: libhdf5 has one
// lock for everything, and the program unpacks them in its own threads.

#include "tess-codec-hdf5-private.h"
#include "tess-codec-wire.h"

#include <new>
#include <vector>

namespace
{

const size_t MOST_DATASETS = 1000, MOST_TEXT = 8 << 20;
const hssize_t MOST_VALUES = 16; // of a dataset that says something of others: spacing, affine

struct Link {
  std::string name;
  bool external;
};

struct Walk {
  std::vector<Link> links;
  bool more = false, no_memory = false;
};

// libhdf5 is C: nothing may be thrown through it.
herr_t
on_link (hid_t file, const char *name, const H5L_info_t *info, void *user_data)
{
  Walk *walk = (Walk *)user_data;
  H5O_info_t object;

  if (info->type == H5L_TYPE_HARD) {
    if (H5Oget_info_by_name (file, name, &object, H5P_DEFAULT) >= 0 && object.type != H5O_TYPE_DATASET)
      return 0; // what is damaged is told when it is wanted
  } else if (info->type != H5L_TYPE_EXTERNAL) {
    return 0;
  }
  if (walk->links.size () >= MOST_DATASETS) {
    walk->more = true;
    return 1;
  }
  try {
    walk->links.push_back ({std::string ("/") + name, info->type == H5L_TYPE_EXTERNAL});
  } catch (const std::bad_alloc &) {
    walk->no_memory = true;
    return 1;
  }
  return 0;
}

void
put_sizes (TessCodecJson &json, const char *name, const hsize_t *sizes, int n)
{
  json.open (name, '[');
  for (int i = 0; i < n; i++)
    json.integer (nullptr, (long long)sizes[i]);
  json.close (']');
}

void
put_filters (TessCodecJson &json, hid_t list)
{
  int n = H5Pget_nfilters (list);

  json.open ("filters", '[');
  for (int i = 0; i < n; i++) {
    unsigned flags, values[16] = {};
    size_t n_values = 16;
    char name[64] = "";
    H5Z_filter_t id = H5Pget_filter2 (list, (unsigned)i, &flags, &n_values, values, sizeof name - 1, name, nullptr);

    json.open (nullptr, '{');
    json.integer ("id", id);
    json.text ("name", name);
    json.integer ("value", n_values > 0 ? (long long)values[0] : 0);
    json.close ('}');
  }
  json.close (']');
}

void
put_layout (TessCodecJson &json, hid_t list, int n_axes)
{
  H5D_layout_t layout = H5Pget_layout (list);
  hsize_t chunk[H5S_MAX_RANK] = {};

  if (layout == H5D_CHUNKED && H5Pget_chunk (list, H5S_MAX_RANK, chunk) == n_axes) {
    json.text ("layout", "chunked");
    put_sizes (json, "chunk", chunk, n_axes);
    put_filters (json, list);
  } else {
    json.text ("layout", layout == H5D_COMPACT                                                     ? "compact"
                         : layout == H5D_CONTIGUOUS && H5Pget_external_count (list) > 0 ? "external"
                         : layout == H5D_CONTIGUOUS                                                ? "contiguous"
                         : layout == H5D_VIRTUAL                                                   ? "virtual"
                                                                                                   : "unknown");
  }
}

// What stands where nothing was written: the number's bytes as they would be in the file.
void
put_fill (TessCodecJson &json, hid_t list, hid_t type)
{
  unsigned char bytes[8] = {};
  H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
  size_t size = H5Tget_size (type);

  if (size > sizeof bytes || H5Pfill_value_defined (list, &defined) < 0 || defined != H5D_FILL_VALUE_USER_DEFINED ||
      H5Pget_fill_value (list, type, bytes) < 0)
    return;
  json.open ("fill", '[');
  for (size_t i = 0; i < size; i++)
    json.integer (nullptr, bytes[i]);
  json.close (']');
}

// Numbers of a small dataset, for what it may say of its neighbours.
void
put_values (TessCodecJson &json, hid_t dataset, hid_t space, hid_t list)
{
  hssize_t n = H5Sget_simple_extent_npoints (space);
  double values[MOST_VALUES];

  if (n < 1 || n > MOST_VALUES || H5Pget_external_count (list) != 0 || H5Pget_layout (list) == H5D_VIRTUAL ||
      H5Dread (dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    return;
  json.open ("values", '[');
  for (hssize_t i = 0; i < n; i++)
    json.number (nullptr, values[i]);
  json.close (']');
}

void
put_dataset (TessCodecJson &json, hid_t file, const std::string &name, size_t &budget)
{
  TessHdf5Id dataset (H5Dopen2 (file, name.c_str (), H5P_DEFAULT), H5Dclose);
  TessHdf5Id type (dataset < 0 ? -1 : H5Dget_type (dataset), H5Tclose);
  TessHdf5Id space (dataset < 0 ? -1 : H5Dget_space (dataset), H5Sclose);
  TessHdf5Id list (dataset < 0 ? -1 : H5Dget_create_plist (dataset), H5Pclose);
  hsize_t shape[H5S_MAX_RANK] = {};
  int n_axes = space < 0 ? -1 : H5Sget_simple_extent_dims (space, shape, nullptr);
  H5O_info_t object;

  if (type < 0 || list < 0 || n_axes < 0 || H5Oget_info (dataset, &object) < 0) {
    json.text ("type", "damaged");
    return;
  }
  json.integer ("at", (long long)object.addr);
  if (H5Sget_simple_extent_type (space) == H5S_NULL) // no numbers at all
    shape[n_axes++] = 0;
  tess_hdf5_describe_type (json, type);
  put_sizes (json, "shape", shape, n_axes);
  put_layout (json, list, n_axes);
  if (tess_hdf5_is_number (type)) {
    put_fill (json, list, type);
    put_values (json, dataset, space, list);
  }
  tess_hdf5_describe_attributes (json, dataset, budget);
}

// The same for one whose bytes are in the object's own header.
std::string
put_compact (hid_t dataset, hid_t list, unsigned char *out, size_t n)
{
  TessHdf5Id type (H5Dget_type (dataset), H5Tclose);
  TessCodecJson json;
  hsize_t size = H5Dget_storage_size (dataset);

  if (type < 0 || list < 0 || size > n || H5Dread (dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  json.open (nullptr, '{');
  json.integer ("inside", (long long)size);
  json.close ('}');
  return json.out;
}

std::string
put_count (size_t n)
{
  TessCodecJson json;

  json.open (nullptr, '{');
  json.integer ("n", (long long)n);
  json.close ('}');
  return json.out;
}

// Every place of the grid is asked for its chunk; the driver notes where reading it would go.
bool
find_chunks (TessHdf5Storage &storage, hid_t dataset, hid_t list, TessCodecHdf5Chunk *out, size_t most, size_t &found)
{
  TessHdf5Id space (H5Dget_space (dataset), H5Sclose);
  hsize_t shape[H5S_MAX_RANK], chunk[H5S_MAX_RANK], at[H5S_MAX_RANK] = {};
  int n_axes = space < 0 ? -1 : H5Sget_simple_extent_dims (space, shape, nullptr);
  uint64_t n = 1;
  unsigned char nothing[8];

  if (n_axes < 1 || H5Pget_chunk (list, H5S_MAX_RANK, chunk) != n_axes)
    return false;
  for (int k = 0; k < n_axes; k++) {
    uint64_t along = chunk[k] > 0 ? shape[k] / chunk[k] + (shape[k] % chunk[k] != 0) : 0;

    if (along == 0 || n > most / along)
      return false;
    n *= along;
  }
  for (uint64_t i = 0; i < n; i++) {
    uint32_t mask = 0;

    storage.noted_n = 0;
    storage.note = true;
    if (H5Dread_chunk (dataset, H5P_DEFAULT, at, &mask, nothing) >= 0 && storage.noted_n > 0) {
      if (storage.noted_n > UINT32_MAX)
        return false;
      out[found++] = {i, storage.noted_at, (uint32_t)storage.noted_n, mask};
    }
    storage.note = false;
    for (int k = n_axes - 1; k >= 0; k--) {
      at[k] += chunk[k];
      if (at[k] < shape[k])
        break;
      at[k] = 0;
    }
  }
  return true;
}

} // namespace

std::string
tess_codec_hdf5_scan (int fd, uint64_t n_file)
{
  TessHdf5Storage storage;
  TessCodecJson json;
  Walk walk;
  size_t budget = MOST_TEXT;

  storage.fd = fd;
  storage.n_file = n_file;

  TessHdf5Id file (tess_hdf5_open (storage), H5Fclose);

  if (file < 0)
    return tess_hdf5_open_failure (storage);
  if (H5Lvisit (file, H5_INDEX_NAME, H5_ITER_INC, on_link, &walk) < 0 && walk.links.empty ())
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  if (walk.no_memory)
    return tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
  json.open (nullptr, '{');
  json.flag ("more", walk.more);
  json.open ("datasets", '[');
  for (const Link &link : walk.links) {
    json.open (nullptr, '{');
    json.text ("name", link.name);
    if (link.external)
      json.text ("type", "external link");
    else
      put_dataset (json, file, link.name, budget);
    json.close ('}');
  }
  json.close (']');

  TessHdf5Id root (H5Gopen2 (file, "/", H5P_DEFAULT), H5Gclose);

  if (root >= 0)
    tess_hdf5_describe_attributes (json, root, budget);
  json.close ('}');
  return json.out;
}

std::string
tess_codec_hdf5_chunks (int fd, uint64_t n_file, uint64_t object, unsigned char *out, size_t n)
{
  TessHdf5Storage storage;
  TessCodecHdf5Chunk *table = (TessCodecHdf5Chunk *)(void *)out;
  size_t found = 0;

  storage.fd = fd;
  storage.n_file = n_file;

  TessHdf5Id file (tess_hdf5_open (storage), H5Fclose);

  if (file < 0)
    return tess_hdf5_open_failure (storage);

  TessHdf5Id dataset (H5Oopen_by_addr (file, object), H5Oclose);
  TessHdf5Id list (dataset < 0 ? -1 : H5Dget_create_plist (dataset), H5Pclose);

  switch (list < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout (list)) {
  case H5D_COMPACT:
    return put_compact (dataset, list, out, n);
  case H5D_CONTIGUOUS: {
    haddr_t at = H5Dget_offset (dataset);

    if (n < sizeof *table)
      return tess_codec_failure (TESS_CODEC_MISUSE, "");
    if (at != HADDR_UNDEF)
      table[found++] = {0, at, 0, 0};
    return put_count (found);
  }
  case H5D_CHUNKED:
    return find_chunks (storage, dataset, list, table, n / sizeof *table, found)
               ? put_count (found)
               : tess_codec_failure (TESS_CODEC_DAMAGED, "");
  default:
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  }
}
