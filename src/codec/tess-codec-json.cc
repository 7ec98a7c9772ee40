#include "tess-codec-json.h"

#include <cmath>
#include <cstdio>

void
TessCodecJson::quoted (const std::string &bytes)
{
  out += '"';
  for (unsigned char c : bytes) {
    char escaped[8];

    if (c == '"' || c == '\\' || c < 0x20 || c == 0x7f) {
      std::snprintf (escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else if (c < 0x80) {
      out += (char)c;
    } else {
      out += (char)(0xc0 | c >> 6);
      out += (char)(0x80 | (c & 0x3f));
    }
  }
  out += '"';
}

void
TessCodecJson::key (const char *name)
{
  if (!first)
    out += ',';
  first = false;
  if (name) {
    quoted (name);
    out += ':';
  }
}

void
TessCodecJson::open (const char *name, char bracket)
{
  key (name);
  out += bracket;
  first = true;
}

void
TessCodecJson::close (char bracket)
{
  out += bracket;
  first = false;
}

void
TessCodecJson::text (const char *name, const std::string &bytes)
{
  key (name);
  quoted (bytes);
}

void
TessCodecJson::number (const char *name, double value)
{
  char digits[40];

  key (name);
  std::snprintf (digits, sizeof digits, std::isfinite (value) ? "%.17g" : "null", value);
  out += digits;
}

void
TessCodecJson::integer (const char *name, long long value)
{
  key (name);
  out += std::to_string (value);
}

void
TessCodecJson::flag (const char *name, bool value)
{
  key (name);
  out += value ? "true" : "false";
}

std::string
tess_codec_failure (const char *kind, const std::string &detail)
{
  TessCodecJson json;

  json.open (nullptr, '{');
  json.text ("error", kind);
  json.text ("detail", detail);
  json.close ('}');
  return json.out;
}
