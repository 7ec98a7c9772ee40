#pragma once

// Private to the part of the helper that has libhdf5.

#include "tess-codec-json.h"
#include "tess-codec-hdf5.h"

#include <hdf5.h>

// What libhdf5 takes for a file. Reading: an open descriptor. Writing: memory for all but the voxels.
struct TessHdf5Storage {
  int fd = -1;
  uint64_t n_file = 0;
  bool note = false; // raw data are not read: where they lie is noted
  uint64_t noted_at = 0, noted_n = 0;

  unsigned char *memory = nullptr; // writing: the file's head, and behind that its end, from data_end on
  size_t n_memory = 0;
  bool chunks = false;             // raw data are chunks now, not large attributes
  uint64_t head = 0, n_head = 0;    // bytes for the superblock; given away
  uint64_t next_data = 0, data_end = 0, end = 0;
};

// Closes what it holds, by the function that fits its kind.
class TessHdf5Id
{
public:
  TessHdf5Id (hid_t which, herr_t (*how) (hid_t)) : id (which), release (how) {}
  TessHdf5Id (const TessHdf5Id &) = delete;
  TessHdf5Id &operator= (const TessHdf5Id &) = delete;
  ~TessHdf5Id ()
  {
    close ();
  }
  herr_t close ()
  {
    herr_t result = id >= 0 ? release (id) : 0;

    id = -1;
    return result;
  }
  operator hid_t () const
  {
    return id;
  }

private:
  hid_t id;
  herr_t (*release) (hid_t);
};

// One file at a time. The id of the open or new file, negative when it cannot be.
hid_t tess_hdf5_open (TessHdf5Storage &storage);
hid_t tess_hdf5_create (TessHdf5Storage &storage);
std::string tess_hdf5_open_failure (const TessHdf5Storage &storage); // of the last tess_hdf5_open()
bool tess_hdf5_read (const TessHdf5Storage &storage, uint64_t at, void *out, size_t n);

// The element type: "type", and for numbers "size", "signed" and "big".
void tess_hdf5_describe_type (TessCodecJson &json, hid_t type);
bool tess_hdf5_is_number (hid_t type);
// "attributes": of an object; small numeric ones as lists, one text as text. budget: bytes of text still allowed.
void tess_hdf5_describe_attributes (TessCodecJson &json, hid_t object, size_t &budget);
