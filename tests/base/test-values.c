/* Element types, numbers for people, Philox, progress. */
#include "tess-dtype.h"
#include "tess-error.h"
#include "tess-format.h"
#include "tess-philox.h"
#include "tess-progress.h"

#include <errno.h>
#include <math.h>

static void
test_dtype (void)
{
  static const struct {
    TessDType dtype;
    gsize size;
    const char *name, *safetensors;
  } all[] = {
      {TESS_DTYPE_U8, 1, "uint8", "U8"},     {TESS_DTYPE_I8, 1, "int8", "I8"},
      {TESS_DTYPE_U16, 2, "uint16", "U16"},  {TESS_DTYPE_I16, 2, "int16", "I16"},
      {TESS_DTYPE_U32, 4, "uint32", "U32"},  {TESS_DTYPE_I32, 4, "int32", "I32"},
      {TESS_DTYPE_U64, 8, "uint64", "U64"},  {TESS_DTYPE_I64, 8, "int64", "I64"},
      {TESS_DTYPE_F32, 4, "float32", "F32"}, {TESS_DTYPE_F64, 8, "float64", "F64"},
      {TESS_DTYPE_F16, 2, "float16", "F16"}, {TESS_DTYPE_BF16, 2, "bfloat16", "BF16"},
  };
  TessDType dtype = TESS_DTYPE_U8;

  g_assert_cmpuint (G_N_ELEMENTS (all), ==, TESS_N_DTYPES);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++) {
    g_assert_cmpuint (tess_dtype_size (all[i].dtype), ==, all[i].size);
    g_assert_cmpstr (tess_dtype_name (all[i].dtype), ==, all[i].name);
    g_assert_cmpstr (tess_dtype_safetensors (all[i].dtype), ==, all[i].safetensors);
    g_assert_true (tess_dtype_from_name (all[i].name, &dtype) && dtype == all[i].dtype);
    g_assert_true (tess_dtype_from_name (all[i].safetensors, &dtype) && dtype == all[i].dtype);
    g_assert_cmpint (tess_dtype_is_integer (all[i].dtype), ==, i < 8);
  }
  g_assert_false (tess_dtype_from_name ("float", &dtype));
  g_assert_false (tess_dtype_from_name (NULL, &dtype));
  g_assert_cmpuint (tess_dtype_size ((TessDType)99), ==, 0);
}

static void
test_format (void)
{
  static const struct {
    guint64 bytes;
    const char *text;
  } bytes[] = {{0, "0 B"},        {999, "999 B"}, {1000, "1.0 kB"}, {3100000000ull, "3.1 GB"}, {120400000, "120 MB"},
               {999600, "1.0 MB"}};
  static const struct {
    double seconds;
    const char *text;
  } durations[] = {{0, "0:00"}, {41.2, "0:41"}, {725, "12:05"}, {3723, "1:02:03"}, {59.6, "1:00"}, {-1, "-"}};
  static const struct {
    double value;
    guint significant;
    const char *text;
  } numbers[] = {{0.83150, 4, "0.8315"}, {1.0, 4, "1"},           {0, 3, "0"},
                 {-1024, 6, "-1024"},    {12345.678, 3, "12346"}, {0.000123456, 3, "0.000123"},
                 {1e-7, 3, "1e-07"},     {2.5e12, 3, "2.5e+12"},  {9.9996, 4, "10"},
                 {-0.5, 2, "-0.5"}};
  static const char *const exact[] = {
      "0", "0.1", "0.30000000000000004", "-0.3333333333333333", "12345.678901234567", "2.5", "-7", "1e-07", "1e+300"};
  const gint64 dims[3] = {181, 217, 181};
  g_autofree char *text = tess_format_dims (dims, 3);

  g_assert_cmpstr (text, ==, "181 x 217 x 181");
  for (guint i = 0; i < G_N_ELEMENTS (bytes); i++) {
    g_autofree char *t = tess_format_bytes (bytes[i].bytes);

    g_assert_cmpstr (t, ==, bytes[i].text);
  }
  for (guint i = 0; i < G_N_ELEMENTS (durations); i++) {
    g_autofree char *t = tess_format_duration (durations[i].seconds);

    g_assert_cmpstr (t, ==, durations[i].text);
  }
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autofree char *t = tess_format_number (numbers[i].value, numbers[i].significant);

    g_assert_cmpstr (t, ==, numbers[i].text);
  }
  for (guint i = 0; i < G_N_ELEMENTS (exact); i++) { /* as Python's repr, but for a whole number's ".0" */
    g_autofree char *t = tess_format_exact (g_ascii_strtod (exact[i], NULL));

    g_assert_cmpstr (t, ==, exact[i]);
  }
  {
    g_autofree char *t = tess_format_number (NAN, 3);

    g_assert_cmpstr (t, ==, "nan");
  }
}

/* The known answers published with Random123 (kat_vectors, philox4x32 10). */
static void
test_philox (void)
{
  static const struct {
    uint32_t counter[4];
    uint64_t key;
    uint32_t expected[4];
  } known[] = {
      {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, ~(uint64_t)0, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       0x299f31d0a4093822ull,
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  double sum = 0.0;
  guint counts[7] = {0};

  for (guint i = 0; i < G_N_ELEMENTS (known); i++) {
    const uint32_t *c = known[i].counter;
    TessPhilox4 r = tess_philox (known[i].key, c[3], c[2], c[1], c[0]);

    for (int k = 0; k < 4; k++)
      g_assert_cmphex (r.v[k], ==, known[i].expected[k]);
  }
  for (uint32_t i = 0; i < 7000; i++) {
    TessPhilox4 r = tess_philox (5, 1, 2, 3, i);
    float unit = tess_philox_unit (r.v[0]);
    double range = tess_philox_range (r.v[1], -3, 5);

    g_assert_true (unit >= 0.0f && unit < 1.0f && range >= -3 && range < 5);
    sum += unit;
    counts[tess_philox_below (r.v[2], 7)]++;
  }
  g_assert_cmpfloat (fabs (sum / 7000 - 0.5), <, 0.02);
  for (int i = 0; i < 7; i++)
    g_assert_true (counts[i] > 850 && counts[i] < 1150);
  g_assert_true (tess_philox_unit (~0u) < 1.0f && tess_philox_below (~0u, 7) == 6);
}

static void
notify_cb (TessProgress *progress, double fraction, gpointer user_data)
{
  *(double *)user_data = fraction;
}

static void
test_progress (void)
{
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;
  double seen = -1;

  tess_progress_set_notify (progress, notify_cb, &seen);
  tess_progress_set (progress, 0.25);
  g_assert_cmpfloat (seen, ==, 0.25);
  g_assert_cmpfloat (tess_progress_get (progress), ==, 0.25);
  tess_progress_set (progress, 7);
  g_assert_cmpfloat (seen, ==, 1.0);
  tess_progress_set (progress, NAN);
  g_assert_cmpfloat (seen, ==, 0.0);
  tess_progress_set_notify (progress, NULL, NULL);
  tess_progress_set (progress, 0.5);
  g_assert_cmpfloat (seen, ==, 0.0);
  g_assert_true (tess_progress_check (progress, &error));
  tess_progress_unref (tess_progress_ref (progress));
  tess_progress_cancel (progress);
  g_assert_true (tess_progress_is_cancelled (progress));
  g_assert_false (tess_progress_check (progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);

  /* NULL is fine everywhere. */
  tess_progress_set (NULL, 1);
  tess_progress_cancel (NULL);
  tess_progress_set_notify (NULL, NULL, NULL);
  g_assert_true (tess_progress_check (NULL, NULL) && !tess_progress_is_cancelled (NULL) && !tess_progress_ref (NULL));
  tess_progress_unref (NULL);
}

static void
test_errno (void)
{
  g_autoptr (GError) error = NULL;

  tess_error_set_errno (&error, "a\nb", ENOSPC, "write");
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, "a?b: cannot write: "));
  g_assert_nonnull (strstr (error->message, "free some space"));
  g_assert_cmpint (errno, ==, ENOSPC);
  g_clear_error (&error);
  tess_error_set_errno (&error, "x", ENOMEM, "read");
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  tess_error_set_errno (NULL, "x", EIO, "read");
}

/* Of what many say the first is told, and the others are let go. */
static void
test_first_error (void)
{
  GError *errors[4] = {NULL};
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_error_first (errors, G_N_ELEMENTS (errors), &error));
  g_assert_no_error (error);
  for (int again = 0; again < 2; again++) {
    errors[1] = g_error_new_literal (TESS_ERROR, TESS_ERROR_FORMAT, "one");
    errors[3] = g_error_new_literal (TESS_ERROR, TESS_ERROR_IO, "three");
    g_assert_false (tess_error_first (errors, G_N_ELEMENTS (errors), again ? &error : NULL));
  }
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_cmpstr (error->message, ==, "one");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/dtype", test_dtype);
  g_test_add_func ("/base/format", test_format);
  g_test_add_func ("/base/philox", test_philox);
  g_test_add_func ("/base/progress", test_progress);
  g_test_add_func ("/base/errno", test_errno);
  g_test_add_func ("/base/values/first-error", test_first_error);
  return g_test_run ();
}
