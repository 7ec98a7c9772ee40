#pragma once

#include <cstddef>
#include <string>

struct TessCodecFile {
  const unsigned char *bytes;
  size_t n;
};

// Both answer with a JSON object as text; GDCM may throw and abort on what it is given.
std::string tess_codec_dicom_scan (const TessCodecFile &file);
std::string tess_codec_dicom_decode (const TessCodecFile &file, unsigned char *out, size_t n);
