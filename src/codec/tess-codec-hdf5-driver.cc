// libhdf5's way to bytes ("virtual file driver"): an open descriptor, or memory. It asks the system for nothing else.

#include "tess-codec-hdf5-private.h"
#include "tess-codec-wire.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 2)
#include <H5FDdevelop.h>
#endif

namespace
{

const char *const NAME = "tessera";
const haddr_t MOST = (haddr_t)1 << 62;

struct Driver {
  H5FD_t base; // libhdf5's, first
  TessHdf5Storage *storage;
  haddr_t eoa;
};

TessHdf5Storage *current; // the only file there is

H5FD_t *
driver_open (const char *name, unsigned, hid_t, haddr_t)
{
  Driver *driver;

  if (!current || std::strcmp (name, NAME) != 0) // a link to another file
    return nullptr;
  driver = (Driver *)std::calloc (1, sizeof *driver);
  if (driver)
    driver->storage = current;
  return driver ? &driver->base : nullptr;
}

herr_t
driver_close (H5FD_t *file)
{
  std::free (file);
  return 0;
}

herr_t
driver_query (const H5FD_t *, unsigned long *flags)
{
  *flags = 0;
  return 0;
}

// Writing: the superblock at the front, voxels where the program has put them, everything else behind them.
haddr_t
driver_alloc (H5FD_t *file, H5FD_mem_t type, hid_t, hsize_t size)
{
  Driver *driver = (Driver *)file;
  TessHdf5Storage *s = driver->storage;
  bool voxels = s->chunks && type == H5FD_MEM_DRAW;
  uint64_t *next = voxels ? &s->next_data : type == H5FD_MEM_SUPER ? &s->n_head : &s->end;
  uint64_t limit = voxels                   ? s->data_end
                   : type == H5FD_MEM_SUPER ? s->head
                                            : s->data_end + (s->n_memory - s->head);
  haddr_t at = *next;

  if (!s->memory || size > limit - at)
    return HADDR_UNDEF;
  *next += size;
  driver->eoa = std::max (s->end, s->data_end);
  return at;
}

haddr_t
driver_get_eoa (const H5FD_t *file, H5FD_mem_t)
{
  return ((const Driver *)file)->eoa;
}

herr_t
driver_set_eoa (H5FD_t *file, H5FD_mem_t, haddr_t at)
{
  Driver *driver = (Driver *)file;
  TessHdf5Storage *s = driver->storage;

  if (s->memory) {
    if (at < s->data_end || at > s->data_end + (s->n_memory - s->head))
      return at == 0 ? 0 : -1;
    s->end = at;
  }
  driver->eoa = at;
  return 0;
}

haddr_t
driver_get_eof (const H5FD_t *file, H5FD_mem_t)
{
  const TessHdf5Storage *s = ((const Driver *)file)->storage;

  return s->memory ? ((const Driver *)file)->eoa : s->n_file;
}

// Where in memory bytes of a new file stand; null for voxels.
unsigned char *
place (TessHdf5Storage *s, haddr_t at, size_t n)
{
  if (at <= s->head && n <= s->head - at)
    return s->memory + at;
  if (at >= s->data_end && at - s->data_end <= s->n_memory - s->head &&
      n <= s->n_memory - s->head - (at - s->data_end))
    return s->memory + s->head + (at - s->data_end);
  return nullptr;
}

herr_t
driver_read (H5FD_t *file, H5FD_mem_t type, hid_t, haddr_t at, size_t n, void *out)
{
  TessHdf5Storage *s = ((Driver *)file)->storage;

  if (s->memory) {
    const unsigned char *from = place (s, at, n);

    if (!from)
      return -1;
    std::memcpy (out, from, n);
    return 0;
  }
  if (s->note && type == H5FD_MEM_DRAW) {
    s->noted_at = at;
    s->noted_n = n;
    return 0;
  }
  return tess_hdf5_read (*s, at, out, n) ? 0 : -1;
}

herr_t
driver_write (H5FD_t *file, H5FD_mem_t type, hid_t, haddr_t at, size_t n, const void *bytes)
{
  TessHdf5Storage *s = ((Driver *)file)->storage;
  unsigned char *to = s->memory ? place (s, at, n) : nullptr;

  if (s->memory && s->chunks && type == H5FD_MEM_DRAW) // the program has written it
    return 0;
  if (!to)
    return -1;
  std::memcpy (to, bytes, n);
  return 0;
}

hid_t
driver_id ()
{
  static H5FD_class_t cls;
  static const H5FD_mem_t map[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
  static hid_t id = -1;

  if (id >= 0)
    return id;
#ifdef H5FD_CLASS_VERSION
  cls.version = H5FD_CLASS_VERSION;
  cls.value = (H5FD_class_value_t)513;
#endif
  cls.name = NAME;
  cls.maxaddr = MOST;
  cls.fc_degree = H5F_CLOSE_STRONG;
  cls.open = driver_open;
  cls.close = driver_close;
  cls.query = driver_query;
  cls.get_eoa = driver_get_eoa;
  cls.set_eoa = driver_set_eoa;
  cls.get_eof = driver_get_eof;
  cls.read = driver_read;
  cls.write = driver_write;
  cls.alloc = driver_alloc;
  std::copy (map, map + H5FD_MEM_NTYPES, cls.fl_map);
  id = H5FDregister (&cls);
  return id;
}

hid_t
access_list ()
{
  hid_t list;

  H5Eset_auto2 (H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state (0); // no filters from elsewhere
  list = H5Pcreate (H5P_FILE_ACCESS);
  if (list >= 0 && (H5Pset_driver (list, driver_id (), nullptr) < 0 || H5Pset_fclose_degree (list, H5F_CLOSE_STRONG) < 0 ||
                    H5Pset_libver_bounds (list, H5F_LIBVER_V18, H5F_LIBVER_LATEST) < 0)) {
    H5Pclose (list);
    return -1;
  }
  return list;
}

herr_t
is_truncated (unsigned, const H5E_error2_t *error, void *found)
{
  if (error->min_num == H5E_TRUNCATED)
    *(bool *)found = true;
  return 0;
}

bool cut; // the last file that did not open

} // namespace

hid_t
tess_hdf5_open (TessHdf5Storage &storage)
{
  TessHdf5Id list (access_list (), H5Pclose);
  hid_t file;

  current = &storage;
  cut = false;
  file = list < 0 ? -1 : H5Fopen (NAME, H5F_ACC_RDONLY, list);
  if (file < 0)
    H5Ewalk2 (H5E_DEFAULT, H5E_WALK_UPWARD, is_truncated, &cut);
  return file;
}

hid_t
tess_hdf5_create (TessHdf5Storage &storage)
{
  TessHdf5Id list (access_list (), H5Pclose);

  current = &storage;
  return list < 0 ? -1 : H5Fcreate (NAME, H5F_ACC_TRUNC, H5P_DEFAULT, list);
}

// The signature stands at the front or behind a block of another program: 0, 512, 1024, 2048 ... bytes.
std::string
tess_hdf5_open_failure (const TessHdf5Storage &storage)
{
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char bytes[8];

  for (uint64_t at = 0; at + sizeof bytes <= storage.n_file; at = at ? 2 * at : 512)
    if (tess_hdf5_read (storage, at, bytes, sizeof bytes) && std::memcmp (bytes, signature, sizeof bytes) == 0)
      return tess_codec_failure (cut ? TESS_CODEC_CUT : TESS_CODEC_DAMAGED, "");
  return tess_codec_failure (TESS_CODEC_OTHER_KIND, "");
}

bool
tess_hdf5_read (const TessHdf5Storage &storage, uint64_t at, void *out, size_t n)
{
  if (at > storage.n_file || n > storage.n_file - at)
    return false;
  for (size_t done = 0; done < n;) {
    ssize_t got = pread (storage.fd, (char *)out + done, n - done, (off_t)(at + done));

    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    done += (size_t)got;
  }
  return true;
}
