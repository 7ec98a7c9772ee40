/* Text of a DICOM file in its own character set (PS3.3 C.12.1.1.2). */
#include "tess-dicom-private.h"

#include <string.h>

static const struct {
  const char *term, *set;
} sets[] = {
    {"ISO_IR 192", "UTF-8"},
    {"ISO_IR 100", "ISO-8859-1"},
    {"ISO_IR 101", "ISO-8859-2"},
    {"ISO_IR 109", "ISO-8859-3"},
    {"ISO_IR 110", "ISO-8859-4"},
    {"ISO_IR 144", "ISO-8859-5"},
    {"ISO_IR 127", "ISO-8859-6"},
    {"ISO_IR 126", "ISO-8859-7"},
    {"ISO_IR 138", "ISO-8859-8"},
    {"ISO_IR 148", "ISO-8859-9"},
    {"ISO_IR 166", "TIS-620"},
    {"ISO_IR 13", "SHIFT_JIS"},
    {"GB18030", "GB18030"},
    {"GBK", "GBK"},
    {"ISO 2022 IR 149", "EUC-KR"},
    {"ISO 2022 IR 58", "GB2312"},
    {"ISO 2022 IR 87", "ISO-2022-JP"},
};

/* Escape sequences that name a set the whole text is taken for: ESC, $ ( ) and the like, a final letter. */
static void
drop_escapes (GString *bytes)
{
  gsize out = 0;

  for (gsize i = 0; i < bytes->len; i++) {
    if (bytes->str[i] == '\x1b') {
      while (i + 1 < bytes->len && strchr ("$()*+-./", bytes->str[i + 1]) && bytes->str[i + 1])
        i++;
      i += i + 1 < bytes->len;
    } else {
      bytes->str[out++] = bytes->str[i];
    }
  }
  g_string_truncate (bytes, out);
}

/**
 * tess_dicom_recode:
 * @latin: the text's bytes, each as the character of that number (UTF-8)
 * @charset: of the file (may be NULL); the last of several that is known counts
 *
 * What it reads, as UTF-8; as Latin-1 when it is not in the set it claims.
 */
char *
tess_dicom_recode (const char *latin, const char *charset)
{
  g_autoptr (GString) bytes = g_string_new (NULL);
  const char *set = NULL;
  char *text;

  for (const char *c = latin; *c; c = g_utf8_next_char (c)) {
    gunichar u = g_utf8_get_char (c);

    g_string_append_c (bytes, (char)(u < 256 ? u : '?'));
  }
  for (gsize i = 0; charset && i < G_N_ELEMENTS (sets); i++)
    if (strstr (charset, sets[i].term))
      set = sets[i].set;
  if (!set)
    return g_strdup (latin);
  if (strcmp (set, "ISO-2022-JP") != 0)
    drop_escapes (bytes);
  text = g_convert (bytes->str, (gssize)bytes->len, "UTF-8", set, NULL, NULL, NULL);
  return text ? text : g_strdup (latin);
}
