#pragma once

#include "tess-codec-dicom.h"

#include <gdcmFile.h>
#include <gdcmReader.h>

#include <istream>
#include <memory>
#include <streambuf>

// Bytes in memory as a stream.
class TessCodecBytes : public std::streambuf {
public:
  TessCodecBytes (const unsigned char *bytes, size_t n);

protected:
  pos_type seekoff (off_type off, std::ios_base::seekdir dir, std::ios_base::openmode which) override;
  pos_type seekpos (pos_type pos, std::ios_base::openmode which) override;
};

// A file's elements, and where its voxels are.
struct TessCodecParsed {
  bool parse (const TessCodecFile &file);

  bool is_dicom = false; // starts as DICOM does, whatever comes then
  std::unique_ptr<gdcm::Reader> reader;
  const gdcm::File *file = nullptr;
  std::string syntax;  // the transfer syntax, also where it cannot be read
  std::string kind;    // "" without voxels; "integer", "float", "double"
  bool cut = false;    // voxels are missing at its end
  bool plain = false;  // not compressed, little-endian, in one piece at `offset`
  size_t offset = 0, length = 0;

private:
  bool read (const TessCodecFile &file, size_t n);
  std::unique_ptr<TessCodecBytes> buffer;
  std::unique_ptr<std::istream> stream;
};
