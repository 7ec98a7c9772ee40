#pragma once

// Writes JSON as it goes along: the caller opens and closes, this places commas and escapes.

#include <string>

class TessCodecJson {
public:
  void open (const char *name, char bracket); // '{' or '['; name NULL inside an array
  void close (char bracket);
  void text (const char *name, const std::string &bytes); // each byte is one character (Latin-1); the reader recodes
  void number (const char *name, double value);           // null where it is none
  void integer (const char *name, long long value);
  void flag (const char *name, bool value);
  std::string out;

private:
  void key (const char *name);
  void quoted (const std::string &bytes);
  bool first = true;
};

// {"error": KIND, "detail": "..."}, with the kinds of tess-codec-wire.h.
std::string tess_codec_failure (const char *kind, const std::string &detail);
