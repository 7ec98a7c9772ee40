/* NRRD files made here, letter by letter: every orientation, damage, what a header may say, what is kept of it. */
#include "../remove-tree.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* Without waiting for the disk. GLib then leaves what was longer before. */
static void
put_contents (const char *path, const void *data, gsize n)
{
  g_remove (path);
  g_assert_true (g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void
put_bytes (const char *name, const char *header, const void *data, gsize n)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *)header, (guint)strlen (header));
  if (n)
    g_byte_array_append (bytes, data, (guint)n);
  put_contents (path, bytes->data, bytes->len);
}

static TessVolume *
load (const char *name)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  if (!volume)
    g_error ("%s", error->message);
  return volume;
}

/* --- orientations ------------------------------------------------------------------------------------------------- */

static void
rotate (double m[3][3], int a, int b, double angle)
{
  double c = cos (angle), s = sin (angle);

  for (int k = 0; k < 3; k++) {
    double x = m[a][k], y = m[b][k];

    m[a][k] = c * x - s * y;
    m[b][k] = s * x + c * y;
  }
}

/* A point of the patient's body, known before any file is: the voxel that is to hold it is computed from the
 * directions of the file, in the file's own space. */
static void
plant (int order, int flips, int geometry, int space)
{
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  static const char *const spaces[3] = {"right-anterior-superior", "left-posterior-superior", "left-anterior-superior"};
  static const double side[3][3] = {{1, 1, 1}, {-1, -1, 1}, {-1, 1, 1}};
  static const double spacing[3] = {0.7, 1.3, 3.1};
  static const int dim[3] = {5, 6, 7}, at[3] = {3, 1, 4};
  const double target[3] = {-17.375, 42.5, 103.25}; /* RAS */
  double m[3][3] = {{0}}, origin[3];
  guint8 voxels[5 * 6 * 7] = {0};
  g_autofree char *name = g_strdup_printf ("orient.nrrd"), *header = NULL;
  g_autoptr (TessVolume) volume = NULL;
  double p[3], world[3];
  char codes[4], letters[] = "RAS", opposite[] = "LPI";

  for (int k = 0; k < 3; k++)
    m[orders[order][k]][k] = (flips >> k & 1) ? -1.0 : 1.0;
  if (geometry == 1) {
    rotate (m, 0, 1, 0.31);
    rotate (m, 1, 2, -0.17);
  } else if (geometry == 2) { /* a tie: two directions alike */
    rotate (m, 0, 1, G_PI / 4.0);
  } else if (geometry == 3) { /* sheared, as by a tilted gantry */
    for (int r = 0; r < 3; r++)
      m[r][2] += 0.3 * m[r][1];
  }
  for (int r = 0; r < 3; r++) {
    origin[r] = target[r];
    for (int k = 0; k < 3; k++) {
      m[r][k] *= spacing[k];
      origin[r] -= m[r][k] * at[k];
    }
  }
  voxels[at[0] + dim[0] * (at[1] + dim[1] * at[2])] = 200;
  header = g_strdup_printf ("NRRD0004\ntype: uchar\ndimension: 3\nspace: %s\nsizes: 5 6 7\nspace directions:",
                            spaces[space]);
  for (int k = 0; k < 3; k++) {
    g_autofree char *old = header;

    header = g_strdup_printf ("%s (%.17g,%.17g,%.17g)", old, side[space][0] * m[0][k], side[space][1] * m[1][k],
                              side[space][2] * m[2][k]);
  }
  {
    g_autofree char *old = header;

    header = g_strdup_printf ("%s\nspace origin: (%.17g,%.17g,%.17g)\nencoding: raw\n\n", old,
                              side[space][0] * origin[0], side[space][1] * origin[1], side[space][2] * origin[2]);
  }
  put_bytes (name, header, voxels, sizeof voxels);
  volume = load (name);
  g_assert_cmpfloat (tess_volume_value (volume, at[0], at[1], at[2], 0), ==, 200.0);
  for (int k = 0; k < 3; k++)
    p[k] = at[k];
  tess_affine_apply (tess_volume_affine (volume), p, world);
  for (int r = 0; r < 3; r++)
    g_assert_cmpfloat_with_epsilon (world[r], target[r], 1e-9);
  tess_affine_orientation (tess_volume_affine (volume), codes);
  for (int k = 0; k < 3 && geometry != 2; k++)
    g_assert_cmpint (codes[k], ==, (flips >> k & 1 ? opposite : letters)[orders[order][k]]);

  /* Through NIfTI (float32) and back, and written as NRRD again; a saved file waits for the disk, so not all are. */
  if (geometry == 1 || geometry == 3) {
    const char *const chain[] = {geometry == 1 ? "orient.nii" : "orient3.nrrd", "orient2.nrrd"};
    g_autoptr (TessVolume) last = tess_volume_ref (volume);

    for (guint i = 0; i < (geometry == 1 ? 2 : 1); i++) {
      g_autofree char *path = in_folder (chain[i]);
      TessVolume *again;

      g_assert_true (tess_volume_save (last, path, NULL, NULL));
      again = load (chain[i]);
      g_assert_true (tess_affine_equal (tess_volume_affine (again), tess_volume_affine (last),
                                        geometry == 1 && i == 0 ? 1e-4 : 0.0));
      g_assert_cmpmem (tess_volume_data (again), tess_volume_n_bytes (again), voxels, sizeof voxels);
      tess_volume_unref (last);
      last = again;
    }
  }
}

static void
test_orientations (void)
{
  int n = 0;

  for (int order = 0; order < 6; order++)
    for (int flips = 0; flips < 8; flips++)
      for (int geometry = 0; geometry < 4; geometry++, n++)
        plant (order, flips, geometry, n % 3);
  g_assert_cmpint (n, ==, 192);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

#define SIX "type: uchar\ndimension: 3\nsizes: 3 2 1\n"
static const guint8 six[6] = {1, 2, 3, 4, 5, 6};

static void
is_six (const char *name)
{
  g_autoptr (TessVolume) volume = load (name);

  g_assert_cmpmem (tess_volume_data (volume), tess_volume_n_bytes (volume), six, 6);
  g_assert_cmpuint (g_strv_length ((char **)tess_volume_warnings (volume)), ==, 0);
}

static void
test_accepted (void)
{
  static const char *const headers[] = {
      "NRRD0001\n" SIX "encoding: raw\n\n",
      "NRRD0005\r\ntype: uchar\r\ndimension: 3\r\nsizes: 3 2 1\r\nencoding: raw\r\n\r\n",
      "NRRD0004\n# comment\nSizes: 3  2 1\nDimension: 3\nTYPE: Unsigned Char\nEncoding: RAW\n\n", /* any order, any case
                                                                                                   */
      "NRRD0004\n" SIX "encoding: raw\nmy key: here:=a value: with := all\\n\\\\ of it\nunknown field: x\n\n",
      "NRRD0004\n" SIX "encoding: raw\nspacings: 1 nan 2\nkinds: space ??? domain\nlabels: \"x: y\" \"\" \"z\"\n\n",
      "NRRD0004\n" SIX "space dimension: 3\nspace directions: ( 1 , 0 , 0 ) (0,2,0)  (0,0,3)\nencoding: raw\n\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (headers); i++) {
    put_bytes ("a.nrrd", headers[i], six, 6);
    if (i != 4)
      is_six ("a.nrrd");
    else {
      g_autoptr (TessVolume) volume = load ("a.nrrd"); /* an axis without a spacing among others counts channels */

      g_assert_cmpint (tess_volume_n_channels (volume), ==, 2);
    }
  }
  put_bytes ("a.nrrd", "NRRD0004\n" SIX "encoding: txt\n\n1, 2\t3\r\n4 5 6", NULL, 0);
  is_six ("a.nrrd");
  put_bytes ("a.nrrd", "NRRD0004\n" SIX "encoding: hex\n\n010203 04\n0506\n", NULL, 0);
  is_six ("a.nrrd");
  put_bytes ("a.nrrd", "NRRD0004\n" SIX "encoding: raw\nline skip: 2\nbyte skip: 3\n\n\nxy\nabc", six, 6);
  is_six ("a.nrrd");
  put_bytes ("a.nrrd", "NRRD0004\n" SIX "encoding: raw\nbyteskip: -1\n\nanything", six, 6);
  is_six ("a.nrrd");
  put_bytes ("a.nrrd", "NRRD0004\ntype: double\ndimension: 1\nsizes: 4\nencoding: ascii\n\nnan inf -1e-3 4", NULL, 0);
  {
    g_autoptr (TessVolume) volume = load ("a.nrrd");

    g_assert_true (isnan (tess_volume_value (volume, 0, 0, 0, 0)) && isinf (tess_volume_value (volume, 1, 0, 0, 0)));
    g_assert_cmpfloat (tess_volume_value (volume, 2, 0, 0, 0), ==, -1e-3);
  }
}

static void
test_warnings (void)
{
  g_autoptr (TessVolume) endian = NULL, space = NULL, more = NULL, units = NULL;

  put_bytes ("w.nrrd", "NRRD0004\ntype: short\ndimension: 1\nsizes: 3\nencoding: raw\n\n", six, 6);
  endian = load ("w.nrrd");
  g_assert_cmpfloat (tess_volume_value (endian, 0, 0, 0, 0), ==, 513.0);
  put_bytes ("w.nrrd", "NRRD0004\n" SIX "space: 3D-right-handed\nencoding: raw\n\n", six, 6);
  space = load ("w.nrrd");
  put_bytes ("w.nrrd", "NRRD0004\n" SIX "encoding: raw\n\n123456789", six, 6);
  more = load ("w.nrrd");
  put_bytes ("w.nrrd", "NRRD0004\n" SIX "space: RAS\nspace units: \"um\" \"um\" \"um\"\nencoding: raw\n\n", six, 6);
  units = load ("w.nrrd");
  for (int i = 0; i < 4; i++)
    g_assert_cmpuint (g_strv_length ((char **)tess_volume_warnings (i == 0   ? endian
                                                                    : i == 1 ? space
                                                                    : i == 2 ? more
                                                                             : units)),
                      ==, 1);
}

/* --- the data file ------------------------------------------------------------------------------------------------ */

static void
refuse (const char *name, TessError code)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_volume_load (path, NULL, &error));
  if (!g_error_matches (error, TESS_ERROR, (int)code))
    g_error ("%s", error ? error->message : "no error");
  g_assert_true (g_str_has_prefix (error->message, folder));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

static void
detached (const char *file)
{
  g_autofree char *header = g_strconcat ("NRRD0004\n" SIX "encoding: raw\ndata file: ", file, NULL);

  put_bytes ("d.nhdr", header, NULL, 0);
}

static void
test_data_file (void)
{
  g_autofree char *sub = in_folder ("sub"), *outside = NULL, *absolute = NULL, *secret = NULL;

  g_assert_cmpint (g_mkdir (sub, 0700), ==, 0);
  put_bytes ("d.raw", "", six, 6);
  put_bytes ("sub/e.raw", "", six, 6);
  put_bytes ("sub/in.nhdr", "NRRD0004\n" SIX "encoding: raw\ndata file: ../d.raw\n", NULL, 0);
  detached ("d.raw");
  is_six ("d.nhdr");
  detached ("d.raw\n");
  is_six ("d.nhdr");
  detached ("./sub/e.raw\n");
  is_six ("d.nhdr");
  absolute = in_folder ("d.raw");
  detached (absolute);
  is_six ("d.nhdr");
  detached ("/home/somebody/scans/d.raw"); /* made on another machine, copied here with its data */
  is_six ("d.nhdr");
  detached ("C:\\scans\\d.raw");
  is_six ("d.nhdr");
  refuse ("sub/in.nhdr", TESS_ERROR_IO); /* there, but outside of the header's folder */
  detached ("/etc/hostname");
  refuse ("d.nhdr", TESS_ERROR_IO);
  {
    g_autofree char *path = in_folder ("d.nhdr");
    g_autoptr (GError) error = NULL;

    g_assert_null (tess_volume_load (path, NULL, &error));
    g_assert_nonnull (strstr (error->message, "outside"));
  }
  detached ("sub/../../x.raw");
  refuse ("d.nhdr", TESS_ERROR_IO);
  detached ("missing.raw");
  refuse ("d.nhdr", TESS_ERROR_IO);
  detached ("slice%03d.raw 1 2 1");
  refuse ("d.nhdr", TESS_ERROR_UNSUPPORTED);
  detached ("LIST\nd.raw: x\n");
  refuse ("d.nhdr", TESS_ERROR_UNSUPPORTED);
  detached ("LIST 2\n");
  refuse ("d.nhdr", TESS_ERROR_UNSUPPORTED);
  detached ("sub");
  refuse ("d.nhdr", TESS_ERROR_IO);
  detached ("");
  refuse ("d.nhdr", TESS_ERROR_FORMAT);
  put_bytes ("d.raw", "before", six, 6); /* too many, and nothing says which */
  detached ("d.raw\n");
  refuse ("d.nhdr", TESS_ERROR_FORMAT);
  detached ("d.raw\nbyte skip: 6\n");
  is_six ("d.nhdr");
  detached ("d.raw\nbyte skip: -1\n");
  is_six ("d.nhdr");
  detached ("d.raw\nbyte skip: 7\n");
  refuse ("d.nhdr", TESS_ERROR_FORMAT);
  secret = in_folder ("sub/e.raw");
  outside = in_folder ("sub/in.nhdr");
  g_remove (secret);
  g_remove (outside);
  g_rmdir (sub);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static void
test_refused (void)
{
  static const struct {
    const char *header;
    TessError code;
  } bad[] = {
      {"", TESS_ERROR_FORMAT},
      {"NRRD", TESS_ERROR_FORMAT},
      {"NRRD0004", TESS_ERROR_FORMAT},
      {"NRRD0004\n", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\n", TESS_ERROR_FORMAT},    /* no empty line */
      {"NRRD0004\n" SIX "encoding: raw\n\n1", TESS_ERROR_FORMAT}, /* too short */
      {"NRRD0004\n" SIX "encoding: gzip\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: bzip2\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: hex\n\n0102030405zz", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: hex\n\n01020304050", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: text\n\n1 2 3 4 5", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: text\n\n1 2 3 4 5 256", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: text\n\n1 2 3 4 5 -1", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: text\n\n1 2 3 4 5 six", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: text\nbyte skip: -1\n\n1 2 3 4 5 6", TESS_ERROR_UNSUPPORTED},
      {"NRRD0004\ntype: uint64\ndimension: 1\nsizes: 1\nencoding: text\n\n18446744073709551616", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: uint64\ndimension: 1\nsizes: 1\nencoding: text\n\n-1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: int64\ndimension: 1\nsizes: 1\nencoding: text\n\n9223372036854775808", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: zrl\n\n123456", TESS_ERROR_UNSUPPORTED},
      {"NRRD0004\n" SIX "\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nrubbish\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nsizes: 3 2 1\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspacings: 1 2\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspacings: 1 2 0\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nkinds: domain domain domain domain\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspace: sideways\n\n123456", TESS_ERROR_UNSUPPORTED},
      {"NRRD0004\n" SIX "encoding: raw\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspace: LPS\nspace directions: (1,0,0) (0,1,0)\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspace: LPS\nspace directions: (1,0,0) (1,0,0) (0,0,1)\n\n123456",
       TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nspace: LPS\nspace origin: (1,0)\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nbyte skip: -2\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nbyte skip: 9223372036854775807\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\n" SIX "encoding: raw\nline skip: 9223372036854775807\n\n123456", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: block\ndimension: 1\nsizes: 3\nblock size: 2\nencoding: raw\n\n123456", TESS_ERROR_UNSUPPORTED},
      {"NRRD0004\ntype: uchar\ndimension: 17\nsizes: 1\nencoding: raw\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: uchar\ndimension: 0\nsizes:\nencoding: raw\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 0 4\nencoding: raw\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: uchar\ndimension: 2\nsizes: -1 -4\nencoding: raw\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4294967296 4294967296 4294967296\nencoding: raw\n\n1",
       TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: double\ndimension: 3\nsizes: 100000 100000 100\nencoding: raw\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: double\ndimension: 3\nsizes: 100000 100000 100\nencoding: gzip\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: double\ndimension: 3\nsizes: 100000 100000 100\nencoding: bzip2\n\nBZh9", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: double\ndimension: 3\nsizes: 100000 100000 100\nencoding: ascii\n\n1", TESS_ERROR_FORMAT},
      {"NRRD0004\ntype: double\ndimension: 3\nsizes: 100000 100000 100\nencoding: hex\n\n11", TESS_ERROR_FORMAT},
  };
  struct rlimit old, small = {(rlim_t)1 << 30, (rlim_t)1 << 30};

  getrlimit (RLIMIT_AS, &old);
  small.rlim_max = old.rlim_max;
  if (!g_getenv ("ASAN_OPTIONS"))
    setrlimit (RLIMIT_AS, &small); /* none of them makes us take what it promises */
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    put_bytes ("bad.nrrd", bad[i].header, NULL, 0);
    refuse ("bad.nrrd", bad[i].code);
  }
  setrlimit (RLIMIT_AS, &old);
}

/* Cut anywhere, it is refused; a byte changed anywhere, it is read or refused. */
static void
test_truncated (void)
{
  static const char *const encodings[] = {"raw", "gzip"};

  for (guint e = 0; e < G_N_ELEMENTS (encodings); e++) {
    g_autofree char *header = NULL, *path = in_folder ("t.nrrd"), *text = NULL;
    const gint64 dim[3] = {4, 3, 2};
    const TessAffine affine = tess_affine_scale (1, 2, 3);
    g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_I16, dim, 2, &affine, NULL);
    g_autoptr (GBytes) source = NULL;
    gsize n;

    header = g_strdup_printf ("NRRD0004\ntype: short\ndimension: 1\nsizes: 1\nencoding: %s\n\n", encodings[e]);
    source = g_bytes_new (header, strlen (header)); /* so that the writer takes this encoding */
    tess_volume_set_source_header (volume, "nrrd", source);
    for (int i = 0; i < 48; i++)
      ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)(i * 331);
    g_assert_true (tess_volume_save (volume, path, NULL, NULL));
    g_assert_true (g_file_get_contents (path, &text, &n, NULL));
    g_assert_nonnull (strstr (text, encodings[e]));
    for (gsize cut = 0; cut < n; cut++) {
      put_contents (path, text, cut);
      refuse ("t.nrrd", TESS_ERROR_FORMAT);
    }
    for (gsize i = 0; i < n; i++) {
      g_autoptr (TessVolume) changed = NULL;
      g_autoptr (GError) error = NULL;

      text[i] ^= 0x15;
      put_contents (path, text, n);
      changed = tess_volume_load (path, NULL, &error);
      g_assert_true (changed || (error && strchr (error->message, ';') && g_utf8_validate (error->message, -1, NULL)));
      text[i] ^= 0x15;
    }
  }
}

/* --- what is kept ------------------------------------------------------------------------------------------------- */

static char *
converted (const char *in, const char *out)
{
  g_autofree char *path = in_folder (out);
  g_autoptr (TessVolume) volume = load (in);
  g_autoptr (GError) error = NULL;
  char *text;

  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text; /* the voxels follow an empty line */
}

static void
test_header_kept (void)
{
  static const char fields[] = "type: uchar\n"
                               "dimension: 4\n"
                               "space: right-anterior-superior\n"
                               "sizes: 2 3 1 1\n"
                               "space directions: none (1.50,0,0) (0,1.5,0) (0,0,1e0)\n"
                               "kinds: 2-vector space space space\n"
                               "labels: \"v:=w\" \"x\" \"y\" \"z\"\n"
                               "encoding: raw\n"
                               "space origin: (0.10,-2,3)\n"
                               "measurement frame: (1,0,0) (0,1,0) (0,0,1)\n"
                               "content: my scan := it\n"
                               "DWMRI_b-value:=1000\n"
                               "modality:=DWMRI\n";
  g_autofree char *header = g_strconcat ("NRRD0005\n", fields, "\n", NULL), *text = NULL, *nhdr = NULL;
  g_autofree char *expected = g_strconcat (fields, "\n", NULL);

  put_bytes ("k.nrrd", header, six, 6);
  text = converted ("k.nrrd", "l.nrrd");
  g_assert_true (g_str_has_prefix (text, "NRRD0005\n#"));
  g_assert_nonnull (strstr (text, expected)); /* letter by letter */
  g_assert_cmpmem (strstr (text, "\n\n") + 2, 6, six, 6);
  {
    g_autofree char *other = in_folder ("m.nrrd"), *moved_text = NULL;
    g_autoptr (TessVolume) volume = load ("k.nrrd"), moved = NULL, again = NULL;
    const gint64 *dim = tess_volume_dim (volume);
    TessAffine affine = *tess_volume_affine (volume);

    affine.m[0][3] += 5.0; /* elsewhere: what does not say where it is stays */
    moved = tess_volume_new (TESS_DTYPE_U8, dim, 2, &affine, NULL);
    tess_volume_set_source_header (moved, "nrrd", tess_volume_peek_source_header (volume, "nrrd"));
    g_assert_true (tess_volume_save (moved, other, NULL, NULL));
    again = load ("m.nrrd");
    g_assert_true (tess_affine_equal (tess_volume_affine (again), &affine, 0.0));
    g_assert_true (g_file_get_contents (other, &moved_text, NULL, NULL));
    g_assert_nonnull (strstr (moved_text, "\nspace: right-anterior-superior\n"));
    g_assert_nonnull (strstr (moved_text, "\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\n"));
    g_assert_nonnull (strstr (moved_text, "\ncontent: my scan := it\n"));
    g_assert_nonnull (strstr (moved_text, "\nmodality:=DWMRI\n"));
    g_assert_null (strstr (moved_text, "labels"));
  }
  nhdr = converted ("l.nrrd", "l.nhdr");
  g_assert_nonnull (strstr (nhdr, "\ndata file: l.raw\n"));
  g_assert_nonnull (strstr (nhdr, "\nDWMRI_b-value:=1000\n"));
}

static const char segmentation[] = "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\n"
                                   "sizes: 2 3 1 1\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\n"
                                   "kinds: list domain domain domain\nencoding: raw\nspace origin: (0,0,0)\n"
                                   "Segment0_Color:=1 0 0\nSegment0_ID:=A\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
                                   "Segment0_Name:=first\nSegment0_Tags:=keep me|\nSegment0_Extent:=0 1 0 0 0 0\n"
                                   "Segment1_Color:=0 1 0\nSegment1_ID:=B\nSegment1_LabelValue:=1\nSegment1_Layer:=1\n"
                                   "Segment1_Name:=over \\\\ it\nSegment1_Tags:=me too|\n"
                                   "Segment2_ID:=C\nSegment2_LabelValue:=4\nSegment2_Layer:=0\n"
                                   "Segmentation_MasterRepresentation:=Binary labelmap\nother:=pair\n\n";

static void
test_layers (void)
{
  static const guint8 voxels[6] = {1, 0, 4, 1, 0, 1}; /* two layers side by side */
  g_autofree char *path = in_folder ("s.seg.nrrd"), *first = g_strconcat (path, "::layer0", NULL),
                  *second = g_strconcat (path, "::layer1", NULL), *third = g_strconcat (path, "::layer2", NULL);
  g_autofree char *out = in_folder ("o.seg.nrrd"), *text = NULL;
  g_autoptr (TessVolume) a = NULL, b = NULL, again = NULL;
  g_autoptr (GPtrArray) entries = NULL;
  g_autoptr (GError) error = NULL, many = NULL;
  const TessVolumeEntry *entry;
  TessLabelTable *table;

  put_bytes ("s.seg.nrrd", segmentation, voxels, 6);
  g_assert_null (tess_volume_load (path, NULL, &many));
  g_assert_error (many, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_null (tess_volume_load (third, NULL, NULL));
  entries = tess_volume_entries (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (entries->len, ==, 2);
  entry = g_ptr_array_index (entries, 0);
  g_assert_cmpstr (entry->description, ==, "first, C");
  g_assert_true (entry->n_channels == 1 && entry->dim[0] == 3 && entry->dtype == TESS_DTYPE_U8);
  a = tess_volume_load (first, NULL, &error);
  g_assert_no_error (error);
  b = tess_volume_load (second, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), ((guint8[]){1, 4, 0}), 3);
  g_assert_cmpmem (tess_volume_data (b), tess_volume_n_bytes (b), ((guint8[]){0, 1, 1}), 3);
  g_assert_cmpstr (tess_label_table_find (tess_volume_peek_labels (b), 1)->name, ==, "over \\ it");
  g_assert_null (tess_label_table_find (tess_volume_peek_labels (b), 4));

  /* One layer written: its segments keep what was said of them, the other layer's are gone. */
  g_assert_true (tess_volume_save (b, out, NULL, &error));
  g_assert_true (g_file_get_contents (out, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "\nSegment0_Tags:=me too|\n"));
  g_assert_nonnull (strstr (text, "\nSegment0_Name:=over \\\\ it\n"));
  g_assert_nonnull (strstr (text, "\nother:=pair\n"));
  g_assert_null (strstr (text, "keep me"));
  g_assert_null (strstr (text, "Segment1_"));
  again = tess_volume_load (out, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (tess_volume_data (again), tess_volume_n_bytes (again), ((guint8[]){0, 1, 1}), 3);
  table = tess_volume_peek_labels (again);
  g_assert_cmpstr (tess_label_table_find (table, 1)->name, ==, "over \\ it");
  g_assert_cmpmem (tess_label_table_find (table, 1)->rgba, 4, ((guint8[]){0, 255, 0, 255}), 4);
}

/* Until Slicer 4.10 a segment had no value and no layer: its number was its layer. */
static void
test_old_layers (void)
{
  static const guint8 voxels[6] = {1, 0, 0, 1, 0, 0};
  g_autofree char *path = in_folder ("old.seg.nrrd::layer1");
  g_autoptr (TessVolume) volume = NULL;

  put_bytes ("old.seg.nrrd",
             "NRRD0004\ntype: uchar\ndimension: 4\nspace: LPS\nsizes: 2 3 1 1\nkinds: list domain domain domain\n"
             "space directions: none (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\nspace origin: (0,0,0)\n"
             "Segment0_Name:=a\nSegment1_Name:=b\nSegment1_Color:=0 0 1\n\n",
             voxels, 6);
  volume = tess_volume_load (path, NULL, NULL);
  g_assert_cmpmem (tess_volume_data (volume), 3, ((guint8[]){0, 1, 0}), 3);
  g_assert_cmpstr (tess_label_table_find (tess_volume_peek_labels (volume), 1)->name, ==, "b");
}

/* A new segmentation names every value that occurs, in whole numbers. */
static void
test_new_segmentation (void)
{
  const gint64 dim[3] = {3, 1, 1};
  const TessAffine affine = tess_affine_scale (1, 2, 3);
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL), again = NULL;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  g_autofree char *path = in_folder ("n.seg.nrrd");
  g_autoptr (GError) error = NULL;

  ((float *)tess_volume_data_mut (volume))[0] = 300.0f;
  ((float *)tess_volume_data_mut (volume))[1] = 2.0f;
  tess_label_table_add (table, 2, "two", (guint8[]){1, 2, 3, 255});
  tess_volume_set_labels (volume, table);
  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  again = load ("n.seg.nrrd");
  g_assert_cmpint (tess_volume_dtype (again), ==, TESS_DTYPE_U16);
  g_assert_cmpint (tess_volume_intent (again), ==, TESS_INTENT_LABEL);
  g_assert_cmpstr (tess_label_table_find (tess_volume_peek_labels (again), 2)->name, ==, "two");
  g_assert_cmpmem (tess_label_table_find (tess_volume_peek_labels (again), 2)->rgba, 4, ((guint8[]){1, 2, 3, 255}), 4);
  g_assert_cmpstr (tess_label_table_find (tess_volume_peek_labels (again), 300)->name, ==, "Segment_300");
  g_assert_null (tess_label_table_find (tess_volume_peek_labels (again), 1));
  ((float *)tess_volume_data_mut (volume))[1] = 2.5f;
  g_assert_false (tess_volume_save (volume, path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

/* The format has no slope: real values are written. */
static void
test_scaled (void)
{
  const gint64 dim[3] = {4, 1, 1};
  const TessAffine affine = tess_affine_scale (1, 2, 3);

  for (int i = 0; i < 2; i++) {
    g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL), again = NULL;
    g_autofree char *path = in_folder ("scaled.nrrd");
    double slope = i ? 0.5 : 3.0;

    for (int k = 0; k < 4; k++)
      ((guint8 *)tess_volume_data_mut (volume))[k] = (guint8)(k * 85);
    tess_volume_set_scaling (volume, slope, -100.0);
    g_assert_true (tess_volume_save (volume, path, NULL, NULL));
    again = load ("scaled.nrrd");
    g_assert_cmpint (tess_volume_dtype (again), ==, i ? TESS_DTYPE_F32 : TESS_DTYPE_I16);
    for (int k = 0; k < 4; k++)
      g_assert_cmpfloat (tess_volume_value (again, k, 0, 0, 0), ==, slope * k * 85 - 100.0);
  }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-nrrd-XXXXXX", NULL);
  g_test_add_func ("/formats/nrrd/orientations", test_orientations);
  g_test_add_func ("/formats/nrrd/accepted", test_accepted);
  g_test_add_func ("/formats/nrrd/warnings", test_warnings);
  g_test_add_func ("/formats/nrrd/data-file", test_data_file);
  g_test_add_func ("/formats/nrrd/refused", test_refused);
  g_test_add_func ("/formats/nrrd/truncated", test_truncated);
  g_test_add_func ("/formats/nrrd/header-kept", test_header_kept);
  g_test_add_func ("/formats/nrrd/layers", test_layers);
  g_test_add_func ("/formats/nrrd/old-layers", test_old_layers);
  g_test_add_func ("/formats/nrrd/new-segmentation", test_new_segmentation);
  g_test_add_func ("/formats/nrrd/scaled", test_scaled);
  status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}
