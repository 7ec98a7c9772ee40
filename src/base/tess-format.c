#include "tess-format.h"

#include <math.h>
#include <string.h>

/* Decimal units, two significant digits at least: "512 B", "1.5 kB", "3.1 GB", "120 MB". */
char *
tess_format_bytes (guint64 bytes)
{
  static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = (double)bytes;
  guint unit = 0;

  if (bytes < 1000)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " B", bytes);
  value /= 1000.0;
  while (value >= 999.5 && unit + 1 < G_N_ELEMENTS (units)) {
    value /= 1000.0;
    unit++;
  }
  {
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_formatd (number, sizeof number, value < 99.95 ? "%.1f" : "%.0f", value);
    return g_strdup_printf ("%s %s", number, units[unit]);
  }
}

/* Whole seconds, rounded: "0:41", "12:05", "1:02:03"; "-" when not finite or negative. */
char *
tess_format_duration (double seconds)
{
  gint64 s;

  if (!isfinite (seconds) || seconds < 0.0 || seconds > 1e15)
    return g_strdup ("-");
  s = (gint64)(seconds + 0.5);
  if (s >= 3600)
    return g_strdup_printf ("%" G_GINT64_FORMAT ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
  return g_strdup_printf ("%d:%02d", (int)(s / 60), (int)(s % 60));
}

char *
tess_format_dims (const gint64 *dims, guint n)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i ? " x " : "", dims[i]);
  return g_string_free (text, FALSE);
}

char *
tess_format_exact (double value)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  for (int precision = 15; precision <= 17; precision++) {
    char format[8];

    g_snprintf (format, sizeof format, "%%.%dg", precision);
    g_ascii_formatd (digits, sizeof digits, format, value);
    if (g_ascii_strtod (digits, NULL) == value)
      break;
  }
  return g_strdup (digits);
}

/* @significant digits (1 to 17), never fewer than the whole part has below 10^9; beyond that, and below 10^-4, with
 * an exponent. The decimal point is always a point. */
char *
tess_format_number (double value, guint significant)
{
  char buffer[64], format[16];
  double size = fabs (value);

  significant = CLAMP (significant, 1, 17);
  if (isnan (value))
    return g_strdup ("nan");
  if (isinf (value))
    return g_strdup (value > 0 ? "inf" : "-inf");
  if (value == 0.0)
    return g_strdup ("0");
  if (size >= 1e-4 && size < 1e9) {
    int decimals = (int)significant - 1 - (int)floor (log10 (size));

    g_snprintf (format, sizeof format, "%%.%df", CLAMP (decimals, 0, 20));
  } else
    g_snprintf (format, sizeof format, "%%.%ug", significant);
  g_ascii_formatd (buffer, sizeof buffer, format, value);
  if (strchr (buffer, '.') && !strchr (buffer, 'e')) {
    char *end = buffer + strlen (buffer);

    while (end[-1] == '0')
      *--end = '\0';
    if (end[-1] == '.')
      *--end = '\0';
  }
  return g_strdup (strcmp (buffer, "-0") == 0 ? "0" : buffer);
}
