/* A corpus of small files in every axis order, written here byte by byte: planted voxels lie where they were planted,
 * the letters are nibabel's (tests/reference/corpus.py), and no file is refused. */
#include "corpus-geometry.h"
#include "dicom-fixture.h"
#include "nifti-fixture.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;
static JsonObject *reference;
static guint n_files;

/* --- NIfTI -------------------------------------------------------------------------------------------------------- */

typedef enum { SFORM, QFORM, BOTH_EQUAL, BOTH_DIFFER, N_FORMS } Forms;

/* The quaternion of a rotation, its first part not negative: from the products of its parts, which the matrix gives, by
 * the largest of them (Shepperd, J. Guidance and Control 1, 1978). */
static void
quaternion (const double r[3][3], double q[3])
{
  double wx = r[2][1] - r[1][2], wy = r[0][2] - r[2][0], wz = r[1][0] - r[0][1];
  double xy = r[0][1] + r[1][0], xz = r[0][2] + r[2][0], yz = r[1][2] + r[2][1];
  double products[4][4] = {
      /* times 4 */
      {1 + r[0][0] + r[1][1] + r[2][2], wx, wy, wz},
      {wx, 1 + r[0][0] - r[1][1] - r[2][2], xy, xz},
      {wy, xy, 1 - r[0][0] + r[1][1] - r[2][2], yz},
      {wz, xz, yz, 1 - r[0][0] - r[1][1] + r[2][2]},
  };
  int which = 0;

  for (int k = 1; k < 4; k++)
    if (products[k][k] > products[which][which])
      which = k;
  for (int k = 0; k < 3; k++)
    q[k] = products[which][k + 1] / (2 * sqrt (products[which][which])) * (products[which][0] < 0 ? -1 : 1);
}

static void
put_qform (NiftiFixture *f, const CorpusGeometry *g, guint i)
{
  gboolean left = corpus_is_left_handed (g);
  double r[3][3];

  for (int k = 0; k < 3; k++) {
    for (int row = 0; row < 3; row++)
      r[row][k] = g->direction[k][row] * (left && k == 2 ? -1 : 1);
    f->pixdim[k + 1] = g->spacing[k];
    f->qoffset[k] = g->origin[k];
  }
  quaternion (r, f->quatern);
  f->pixdim[0] = left ? -1 : i % 3 ? 1 : 0; /* 0 counts as 1 */
  f->qform_code = 1 + (int)(i % 4);
}

static void
put_sform (NiftiFixture *f, const CorpusGeometry *g, guint i)
{
  for (int r = 0; r < 3; r++) {
    for (int k = 0; k < 3; k++)
      f->srow[4 * r + k] = g->direction[k][r] * g->spacing[k];
    f->srow[4 * r + 3] = g->origin[r];
  }
  f->sform_code = 1 + (int)(i % 4);
}

/* What a qform of single precision says: the definition's method 2 from the numbers as they are stored. Near half a
 * turn the quaternion's first part is lost in their last bits, and places with it. */
static CorpusGeometry
stored_qform (const NiftiFixture *f, const CorpusGeometry *g)
{
  double b = (float)f->quatern[0], c = (float)f->quatern[1], d = (float)f->quatern[2], w = 1 - b * b - c * c - d * d;
  double a = w > 0 ? sqrt (w) : 0, n = a * a + b * b + c * c + d * d, fac = f->pixdim[0] < 0 ? -1 : 1;
  CorpusGeometry q = {
      .number = g->number,
      .tilt = g->tilt,
      .direction = {{(a * a + b * b - c * c - d * d) / n, 2 * (b * c + a * d) / n, 2 * (b * d - a * c) / n},
                    {2 * (b * c - a * d) / n, (a * a + c * c - b * b - d * d) / n, 2 * (c * d + a * b) / n},
                    {fac * 2 * (b * d + a * c) / n, fac * 2 * (c * d - a * b) / n,
                     fac * (a * a + d * d - b * b - c * c) / n}},
  };

  memcpy (q.spacing, g->spacing, sizeof q.spacing);
  memcpy (q.origin, g->origin, sizeof q.origin);
  return q;
}

/* In turn: one file, gzipped, a pair of two files. */
static void
check_nifti (const NiftiFixture *fixture, guint turn, const CorpusGeometry *g, const gint64 dim[3], const char *letters,
             const char *what)
{
  NiftiFixture f = *fixture;
  g_autofree char *path = NULL, *image = g_build_filename (folder, "pair.img", NULL);
  g_autofree double *values = corpus_values (dim);
  g_autoptr (GByteArray) bytes = NULL, voxels = NULL;
  gsize n = (gsize)(dim[0] * dim[1] * dim[2]);

  f.pair = turn % 3 == 2;
  for (int k = 0; k < 3; k++)
    f.dim[k + 1] = dim[k];
  if (turn % 5 == 4) { /* numbers of one byte, scaled: real = 0.5 * stored - 1 */
    f.datatype = 2;
    f.bits = 8;
    f.slope = 0.5;
    f.intercept = -1;
    for (gsize i = 0; i < n; i++)
      values[i] = (values[i] + 1) * 2;
  }
  bytes = nifti_fixture_header (&f);
  if (f.pair) {
    path = g_build_filename (folder, "pair.hdr", NULL);
    voxels = g_byte_array_new ();
    nifti_fixture_append (&f, voxels, values, n);
    nifti_fixture_put (image, voxels, FALSE);
  } else {
    path = g_build_filename (folder, turn % 3 ? "one.nii.gz" : "one.nii", NULL);
    nifti_fixture_append (&f, bytes, values, n);
  }
  nifti_fixture_put (path, bytes, turn % 3 == 1);
  corpus_check (path, g, dim, letters, what);
  n_files++;
}

static void
one_nifti (guint i, Forms forms, int version, gboolean big)
{
  static const char *const names[N_FORMS] = {"sform", "qform", "qform and sform", "a qform and another sform"};
  CorpusGeometry g = corpus_geometry (i), other = corpus_geometry ((i * 29 + 7) % CORPUS_N);
  NiftiFixture f = nifti_fixture (i % 2 ? 4 : 16, i % 2 ? 16 : 32, 1, 1, 1);
  g_autofree char *letters = corpus_letters (reference, &g, FALSE);
  g_autofree char *what = g_strdup_printf ("NIfTI-%d %s-endian, %s", version, big ? "big" : "little", names[forms]);

  if (g.tilt == 2 && (forms == QFORM || forms == BOTH_EQUAL)) /* a qform holds no shear */
    return;
  f.version = version;
  f.big_endian = big;
  f.sform_code = 0;
  memset (f.srow, 0, sizeof f.srow);
  if (forms == BOTH_DIFFER) {
    if (other.tilt == 2)
      other = corpus_geometry ((i + 1) % 48);
    put_qform (&f, &other, i);
  } else if (forms != SFORM) {
    put_qform (&f, &g, i);
  }
  if (forms != QFORM)
    put_sform (&f, &g, i);
  else if (version == 1)
    g = stored_qform (&f, &g);
  check_nifti (&f, i + (guint)forms, &g, corpus_dim, letters, what);
}

/* No form at all: voxel sizes, x to the left and the middle of the grid at the origin, as nibabel has it. */
static void
bare_nifti (guint i, int version, gboolean big)
{
  static const double sizes[3] = {0.75, 1.5, 3.25};
  const gint64 dim[3] = {5 + i % 3, 6 + i % 4, 4 + i % 5};
  NiftiFixture f = nifti_fixture (4, 16, 1, 1, 1);
  CorpusGeometry g = {.number = i, .direction = {{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};

  f.version = version;
  f.big_endian = big;
  f.sform_code = 0;
  for (int k = 0; k < 3; k++) {
    g.spacing[k] = f.pixdim[k + 1] = sizes[(i + (guint)k) % 3];
    g.origin[k] = (k == 0 ? 0.5 : -0.5) * (double)(dim[k] - 1) * g.spacing[k];
  }
  check_nifti (&f, i, &g, dim, "LAS", "NIfTI without a form");
}

static void
test_nifti (void)
{
  n_files = 0;
  for (int version = 1; version <= 2; version++)
    for (int big = 0; big < 2; big++) {
      for (guint i = 0; i < CORPUS_N; i++)
        for (Forms forms = 0; forms < N_FORMS; forms++)
          one_nifti (i, forms, version, big);
      for (guint i = 0; i < 48; i++)
        bare_nifti (i, version, big);
    }
  g_test_message ("%u files", n_files);
  g_assert_cmpuint (n_files, ==, 4 * (4 * CORPUS_N - 2 * 48 + 48));
}

/* --- MetaImage and NRRD ------------------------------------------------------------------------------------------- */

static void
add (GString *text, const char *before, double value)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (text, "%s%s", before, g_ascii_dtostr (digits, sizeof digits, value));
}

static GByteArray *
shorts (gboolean big)
{
  g_autofree double *values = corpus_values (corpus_dim);
  GByteArray *bytes = g_byte_array_new ();

  for (gint64 i = 0; i < corpus_dim[0] * corpus_dim[1] * corpus_dim[2]; i++) {
    guint16 v = (guint16)(gint16)values[i];
    guint8 pair[2] = {(guint8)(big ? v >> 8 : v & 255), (guint8)(big ? v & 255 : v >> 8)};

    g_byte_array_append (bytes, pair, 2);
  }
  return bytes;
}

static void
put_text_and_voxels (const char *path, const GString *text, const GByteArray *voxels)
{
  g_autoptr (GByteArray) all = g_byte_array_new ();

  g_byte_array_append (all, (const guint8 *)text->str, (guint)text->len);
  if (voxels)
    g_byte_array_append (all, voxels->data, voxels->len);
  nifti_fixture_put (path, all, FALSE);
}

static const char *const matrix[3] = {"TransformMatrix", "Rotation", "Orientation"};

/* The path of a new file. Left-posterior-superior; TransformMatrix holds the directions one after the other. */
static char *
put_metaimage (const CorpusGeometry *g, guint style)
{
  static const char *const offset[3] = {"Offset", "Position", "Origin"};
  static const double to_lps[3] = {-1, -1, 1};
  gboolean big = (g->number + style) % 2, beside = style == 2;
  char *path = g_build_filename (folder, beside ? "c.mhd" : "c.mha", NULL);
  g_autofree char *raw = g_build_filename (folder, "c.raw", NULL);
  g_autoptr (GByteArray) voxels = shorts (big);
  g_autoptr (GString) text = g_string_new ("ObjectType = Image\nNDims = 3\nBinaryData = True\n");

  g_string_append_printf (text, "BinaryDataByteOrderMSB = %s\n%s =", big ? "True" : "False", matrix[style]);
  for (int k = 0; k < 3; k++)
    for (int r = 0; r < 3; r++)
      add (text, " ", to_lps[r] * g->direction[k][r]);
  g_string_append_printf (text, "\n%s =", offset[style]);
  for (int r = 0; r < 3; r++)
    add (text, " ", to_lps[r] * g->origin[r]);
  g_string_append (text, "\nCenterOfRotation = 0 0 0\nElementSpacing =");
  for (int k = 0; k < 3; k++)
    add (text, " ", g->spacing[k]);
  g_string_append_printf (text, "\nDimSize = 5 6 7\nElementType = MET_SHORT\nElementDataFile = %s\n",
                          beside ? "c.raw" : "LOCAL");
  put_text_and_voxels (path, text, beside ? NULL : voxels);
  if (beside)
    nifti_fixture_put (raw, voxels, FALSE);
  return path;
}

static void
one_metaimage (guint i, guint style)
{
  CorpusGeometry g = corpus_geometry (i);
  g_autofree char *letters = corpus_letters (reference, &g, FALSE), *path = put_metaimage (&g, style);

  corpus_check (path, &g, corpus_dim, letters, matrix[style]);
  n_files++;
}

static void
test_metaimage (void)
{
  n_files = 0;
  for (guint style = 0; style < 3; style++)
    for (guint i = 0; i < CORPUS_N; i++)
      one_metaimage (i, style);
  g_assert_cmpuint (n_files, ==, 3 * CORPUS_N);
}

static void
save_as (const char *from, const char *to)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_load (from, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (tess_volume_save (volume, to, NULL, &error));
  g_assert_no_error (error);
}

/* What is written in another format, and from that again, is still where it was. */
static void
test_written (void)
{
  static const char *const outs[] = {"w.mha", "w.nii.gz", "w.mgz", "w.nrrd", "w.hdr"};
  g_autofree char *back = g_build_filename (folder, "back.mha", NULL);

  for (guint i = 0; i < CORPUS_N; i++) {
    CorpusGeometry g = corpus_geometry (i);
    const char *name = outs[i % G_N_ELEMENTS (outs)];
    g_autofree char *letters = corpus_letters (reference, &g, FALSE), *path = put_metaimage (&g, 0);
    g_autofree char *out = g_build_filename (folder, name, NULL);

    save_as (path, out);
    corpus_check (out, &g, corpus_dim, letters, name);
    save_as (out, back);
    corpus_check (back, &g, corpus_dim, letters, "back.mha");
  }
}

static const struct {
  const char *name;
  double from_ras[3];
  gboolean time; /* a fourth axis of one */
} spaces[] = {
    {"right-anterior-superior", {1, 1, 1}, FALSE},
    {"RAS", {1, 1, 1}, FALSE},
    {"left-anterior-superior", {-1, 1, 1}, FALSE},
    {"LAS", {-1, 1, 1}, FALSE},
    {"left-posterior-superior", {-1, -1, 1}, FALSE},
    {"LPS", {-1, -1, 1}, FALSE},
    {"scanner-xyz", {-1, -1, 1}, FALSE}, /* a patient on the back, head first: as left-posterior-superior */
    {"right-anterior-superior-time", {1, 1, 1}, TRUE},
    {"LPST", {-1, -1, 1}, TRUE},
};

static void
one_nrrd (guint i, guint space)
{
  CorpusGeometry g = corpus_geometry (i);
  const double *sign = spaces[space].from_ras;
  gboolean time = spaces[space].time, big = (i + space) % 2, detached = i % 4 == 3;
  g_autofree char *letters = corpus_letters (reference, &g, FALSE);
  g_autofree char *path = g_build_filename (folder, detached ? "c.nhdr" : "c.nrrd", NULL);
  g_autofree char *raw = g_build_filename (folder, "c.raw", NULL);
  g_autoptr (GByteArray) voxels = shorts (big);
  g_autoptr (GString) text = g_string_new ("NRRD0005\n# a comment\ntype: int16\n");

  g_string_append_printf (text, "dimension: %d\nspace: %s\nsizes: 5 6 7%s\nspace directions:", time ? 4 : 3,
                          spaces[space].name, time ? " 1" : "");
  for (int k = 0; k < 3; k++) {
    for (int r = 0; r < 3; r++)
      add (text, r == 0 ? " (" : ",", sign[r] * g.direction[k][r] * g.spacing[k]);
    g_string_append (text, time ? ",0)" : ")");
  }
  g_string_append (text, time ? " (0,0,0,1)\nspace origin:" : "\nspace origin:");
  for (int r = 0; r < 3; r++)
    add (text, r == 0 ? " (" : ",", sign[r] * g.origin[r]);
  g_string_append_printf (text, "%s\nendian: %s\nencoding: raw\n%s\n", time ? ",0)" : ")", big ? "big" : "little",
                          detached ? "data file: c.raw\n" : "");
  put_text_and_voxels (path, text, detached ? NULL : voxels);
  if (detached)
    nifti_fixture_put (raw, voxels, FALSE);
  corpus_check (path, &g, corpus_dim, letters, spaces[space].name);
  n_files++;
}

static void
test_nrrd (void)
{
  n_files = 0;
  for (guint space = 0; space < G_N_ELEMENTS (spaces); space++)
    for (guint i = 0; i < CORPUS_N; i++)
      one_nrrd (i, space);
  g_assert_cmpuint (n_files, ==, G_N_ELEMENTS (spaces) * CORPUS_N);
}

/* --- DICOM -------------------------------------------------------------------------------------------------------- */

/* A series of single slices under names in another order than theirs. A plane's rows and columns are at right angles,
 * so the shear of such a scan is that of a tilted gantry: each slice is shifted within its plane. Slices count along
 * the normal of rows and columns, whatever their numbers are, so that a left-handed order comes back turned round. */
static void
one_series (guint i)
{
  static const guint16 shuffle[5] = {3, 0, 4, 1, 2};
  const gint64 dim[3] = {corpus_dim[0], corpus_dim[1], 4 + i % 2};
  const gsize n_plane = (gsize)(dim[0] * dim[1]);
  CorpusGeometry g = corpus_geometry (i);
  g_autofree char *letters = NULL, *series = g_strdup_printf ("1.2.3.%u", i + 1);
  g_autofree char *place = g_build_filename (folder, "series", NULL),
                  *what = g_strdup_printf ("DICOM, tilt %u", g.tilt);
  g_autofree double *values = corpus_values (dim);
  g_autofree guint16 *pixels = g_new (guint16, n_plane);
  double orientation[6], position[3];

  if (g.tilt == 2) { /* the orthogonal directions with the third one bent */
    CorpusGeometry straight = corpus_geometry (48 + i % 48);

    for (int r = 0; r < 3; r++)
      straight.direction[2][r] += 0.1 * straight.direction[0][r] - 0.2 * straight.direction[1][r];
    g = straight;
    g.tilt = CORPUS_TILTED;
    g.number = i;
  }
  letters = corpus_letters (reference, &g, corpus_is_left_handed (&g));
  for (int r = 0; r < 3; r++) {
    orientation[r] = (r < 2 ? -1 : 1) * g.direction[0][r];
    orientation[3 + r] = (r < 2 ? -1 : 1) * g.direction[1][r];
  }
  for (int z = 0; z < dim[2]; z++) {
    g_autofree char *name = g_strdup_printf ("%03u", (guint)shuffle[z] * 7 + 1);

    corpus_world (&g, (double[3]){0, 0, z}, position);
    position[0] = -position[0];
    position[1] = -position[1];
    for (gsize k = 0; k < n_plane; k++)
      pixels[k] = (guint16)(gint16)(values[(gsize)z * n_plane + k] * 2 + 3);
    dicom_write (place, name,
                 &(DicomSlice){.series = series,
                               .modality = i % 2 ? "CT" : "MR",
                               .columns = (int)dim[0],
                               .rows = (int)dim[1],
                               .instance = (int)(shuffle[4 - z] + 1),
                               .is_signed = 1,
                               .position = position,
                               .orientation = orientation,
                               .spacing = {g.spacing[1], g.spacing[0]},
                               .thickness = 5,
                               .slope = 0.5,
                               .intercept = -1.5,
                               .pixels = pixels});
    n_files++;
  }
  corpus_check (place, &g, dim, letters, what);
  dicom_remove (place);
}

static void
test_dicom (void)
{
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_test_skip ("built without GDCM");
    return;
  }
  n_files = 0;
  for (guint i = 0; i < CORPUS_N; i++)
    one_series (i);
  g_test_message ("%u files", n_files);
  g_assert_cmpuint (n_files, ==, CORPUS_N * 9 / 2);
}

int
main (int argc, char **argv)
{
  g_autofree char *path = g_build_filename (g_getenv ("G_TEST_SRCDIR"), "reference", "corpus.json", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  node = tess_json_load (path, &error);
  g_assert_no_error (error);
  reference = json_node_get_object (node);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/corpus/nifti", test_nifti);
  g_test_add_func ("/formats/corpus/metaimage", test_metaimage);
  g_test_add_func ("/formats/corpus/written", test_written);
  g_test_add_func ("/formats/corpus/nrrd", test_nrrd);
  g_test_add_func ("/formats/corpus/dicom", test_dicom);
  result = g_test_run ();
  remove_tree (folder);
  return result;
}
