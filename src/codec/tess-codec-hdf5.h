#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// Each answers with a JSON object as text. What stands in the file is read by pread() from fd; libhdf5 opens nothing.
std::string tess_codec_hdf5_scan (int fd, uint64_t n_file);
// Where the pieces of the dataset at address `object` lie, as a table of TessCodecHdf5Chunk.
std::string tess_codec_hdf5_chunks (int fd, uint64_t n_file, uint64_t object, unsigned char *out, size_t n);
// What stands around the voxels of a file that the program writes, by its plan (TessCodecHdf5Plan).
std::string tess_codec_hdf5_frame (const unsigned char *plan, size_t n_plan, unsigned char *out, size_t n);
