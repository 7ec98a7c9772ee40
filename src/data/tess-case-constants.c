#include "tess-case-private.h"

#include "tess-atomic-file.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* The file: magic, key, then per channel four doubles and two int64, then the number of voxels of every class, then the
 * voxels of class 1, 2, ... as u64, then a SHA-256 over all before. Native byte order (the magic tells): it is a cache
 * of one machine, and whatever does not fit is computed again. */
static const guint64 magic = G_GUINT64_CONSTANT (0x3130434b53534554); /* "TESSKC01" on a little-endian machine */

#define KEY_BYTES 71 /* "sha256:" and 64 digits */
#define SUM_BYTES 32

char *
tess_case_constants_key (const TessCase *c, const TessCaseFiles *files)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *sum = NULL;
  guint n_images = g_strv_length (files->image_paths);

  g_string_append_printf (text, "%u channels %u labels\n", c->n_channels, c->n_labels);
  for (guint i = 0; i < c->n_channels; i++) {
    const gint64 *dim = tess_volume_dim (c->images[i]);

    g_string_append_printf (text,
                            "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " type %d %.17g %.17g\n",
                            dim[0], dim[1], dim[2], (int)tess_volume_dtype (c->images[i]),
                            tess_volume_slope (c->images[i]), tess_volume_intercept (c->images[i]));
  }
  for (guint i = 0; i <= n_images; i++) {
    const char *path = i < n_images ? files->image_paths[i] : files->label_path;
    g_autofree char *name = path ? g_path_get_basename (path) : g_strdup ("none");
    GStatBuf info = {0};

    if (path && g_stat (path, &info) != 0)
      info.st_size = -1;
    g_string_append_printf (text, "%s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld\n", name, (gint64)info.st_size,
                            (gint64)info.st_mtim.tv_sec, (long)info.st_mtim.tv_nsec);
  }
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, (gssize)text->len);
  return g_strconcat ("sha256:", sum, NULL);
}

static char *
constants_path (const TessCase *c, const char *directory)
{
  g_autofree char *name = g_strconcat (c->id, ".constants", NULL);

  return g_build_filename (directory, name, NULL);
}

static void
checksum (const void *data, gsize n, guint8 sum[SUM_BYTES])
{
  g_autoptr (GChecksum) sha = g_checksum_new (G_CHECKSUM_SHA256);
  gsize n_sum = SUM_BYTES;

  g_checksum_update (sha, data, (gssize)n);
  g_checksum_get_digest (sha, sum, &n_sum);
}

gboolean
tess_case_constants_write (const TessCase *c, const char *directory, const char *key, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree char *path = constants_path (c, directory);
  guint8 sum[SUM_BYTES];

  if (!tess_make_directory (directory, error))
    return FALSE;
  g_byte_array_append (bytes, (const guint8 *)&magic, sizeof magic);
  g_byte_array_append (bytes, (const guint8 *)key, KEY_BYTES);
  for (guint i = 0; i < c->n_channels; i++) {
    const TessStatistics *s = &c->statistics[i];
    const double values[4] = {s->min, s->max, s->mean, s->std};
    const gint64 counts[2] = {s->n_finite, s->n_not_finite};

    g_byte_array_append (bytes, (const guint8 *)values, sizeof values);
    g_byte_array_append (bytes, (const guint8 *)counts, sizeof counts);
  }
  if (c->label)
    g_byte_array_append (bytes, (const guint8 *)c->class_count, (guint)(c->n_labels * sizeof (guint32)));
  for (guint l = 1; c->label && l < c->n_labels; l++)
    if (c->class_count[l])
      g_byte_array_append (bytes, (const guint8 *)c->class_voxels[l], (guint)(c->class_count[l] * sizeof (guint64)));
  checksum (bytes->data, bytes->len, sum);
  g_byte_array_append (bytes, sum, SUM_BYTES);
  return tess_file_set_contents (path, bytes->data, bytes->len, error);
}

static gboolean
take (const char **at, const char *end, void *to, gsize n)
{
  if ((gsize)(end - *at) < n)
    return FALSE;
  memcpy (to, *at, n);
  *at += n;
  return TRUE;
}

static gboolean
read_statistics (const TessCase *c, const char **at, const char *end, TessStatistics *statistics)
{
  for (guint i = 0; i < c->n_channels; i++) {
    double v[4];
    gint64 n[2];

    if (!take (at, end, v, sizeof v) || !take (at, end, n, sizeof n) || n[0] < 0 || n[1] < 0 ||
        n[0] > tess_volume_n_voxels (c->images[i]) || n[1] != tess_volume_n_voxels (c->images[i]) - n[0] ||
        (n[0] > 0 && !(isfinite (v[2]) && isfinite (v[3]) && v[0] <= v[1] && v[3] >= 0.0)))
      return FALSE;
    statistics[i] = (TessStatistics){v[0], v[1], v[2], v[3], n[0], n[1]};
  }
  return TRUE;
}

/* Every voxel named must lie in the map, ascend and carry its class, so that a wrong file cannot mislead training. */
static gboolean
read_class (const TessCase *c, guint class, guint32 count, const char **at, const char *end, guint64 **voxels)
{
  const guint8 *labels = tess_volume_data (c->label);
  guint64 n_voxels = (guint64)tess_volume_n_voxels (c->label);
  guint64 *list;

  if (count == 0)
    return TRUE;
  if (count > TESS_CASE_MAX_CLASS_VOXELS || (gsize)(end - *at) < count * sizeof *list)
    return FALSE;
  list = *voxels = g_new (guint64, count);
  take (at, end, list, count * sizeof *list);
  for (guint32 i = 0; i < count; i++)
    if (list[i] >= n_voxels || (i > 0 && list[i] <= list[i - 1]) || labels[list[i]] != class)
      return FALSE;
  return TRUE;
}

gboolean
tess_case_constants_read (TessCase *c, const char *directory, const char *key)
{
  g_autofree char *path = constants_path (c, directory);
  g_autofree char *contents = NULL;
  g_autofree guint32 *count = g_new0 (guint32, c->n_labels);
  TessStatistics statistics[TESS_MAX_CHANNELS];
  guint64 **voxels, found_magic;
  guint8 sum[SUM_BYTES];
  GStatBuf info;
  gsize n, most = sizeof magic + KEY_BYTES + c->n_channels * 48u + SUM_BYTES +
                  c->n_labels * (sizeof (guint32) + TESS_CASE_MAX_CLASS_VOXELS * sizeof (guint64));
  const char *at, *end;
  gboolean ok;

  if (g_stat (path, &info) != 0 || (guint64)info.st_size > most || !g_file_get_contents (path, &contents, &n, NULL) ||
      n < sizeof magic + KEY_BYTES + SUM_BYTES)
    return FALSE;
  at = contents;
  end = contents + n - SUM_BYTES;
  checksum (contents, n - SUM_BYTES, sum);
  memcpy (&found_magic, at, sizeof magic);
  if (found_magic != magic || memcmp (at + sizeof magic, key, KEY_BYTES) != 0 || memcmp (end, sum, SUM_BYTES) != 0)
    return FALSE;
  at += sizeof magic + KEY_BYTES;

  voxels = g_new0 (guint64 *, c->n_labels);
  ok = read_statistics (c, &at, end, statistics);
  if (ok && c->label)
    ok = take (&at, end, count, c->n_labels * sizeof *count) && count[0] == 0;
  for (guint l = 1; ok && c->label && l < c->n_labels; l++)
    ok = read_class (c, l, count[l], &at, end, &voxels[l]);
  ok = ok && at == end;
  if (ok) {
    memcpy (c->statistics, statistics, c->n_channels * sizeof *statistics);
    c->class_count = g_steal_pointer (&count);
    c->class_voxels = voxels;
    return TRUE;
  }
  for (guint l = 0; l < c->n_labels; l++)
    g_free (voxels[l]);
  g_free (voxels);
  return FALSE;
}
