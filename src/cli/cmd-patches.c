#include "tess-cli.h"
#include "tess-format.h"
#include "tess-format-registry.h"
#include "tess-reconstruct.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define MAX_PATCH 4096

typedef struct {
  char *size, *stride, *reconstruct;
  gboolean gaussian, add_index, labels;
} Options;

/* What was done, for the report. */
typedef struct {
  const char *in;
  TessVolume *volume;
  TessPatchGrid *grid;
  gint64 stride[3];
  gboolean vote;
  TessVolume *result; /* NULL: nothing was put back */
  gboolean identical; /* when the type was kept */
} Report;

/* One patch of the channel as what goes into the reconstruction: the volume's own voxels, or with the index added
 * their real values in float64 (labels: whole numbers). */
static void
fetch_patch (const TessVolume *source, gint64 channel, const TessPatchGrid *grid, guint64 i, gboolean add_index,
             void *patch)
{
  TessBox box = tess_patch_grid_box (grid, i);
  gint64 n = tess_box_n_voxels (&box);

  tess_patch_cut (source, channel, &box, patch);
  if (!add_index)
    return;
  switch (tess_volume_dtype (source)) {
  case TESS_DTYPE_F64:
    for (gint64 k = 0; k < n; k++)
      ((double *)patch)[k] += (double)i;
    break;
  case TESS_DTYPE_I32:
    for (gint64 k = 0; k < n; k++)
      ((gint32 *)patch)[k] += (gint32)i;
    break;
  default: /* int64, see work_copy */
    for (gint64 k = 0; k < n; k++)
      ((gint64 *)patch)[k] += (gint64)i;
    break;
  }
}

/* A volume of the result's type: float64 for images, int32 or (where label + index does not fit) int64 for labels. */
static TessVolume *
work_copy (TessVolume *volume, gboolean labels, guint64 n_patches, GError **error)
{
  gsize n = (gsize)tess_volume_n_voxels (volume) * (gsize)tess_volume_n_channels (volume), first = 0;
  TessDType dtype = TESS_DTYPE_F64;
  g_autoptr (TessVolume) copy = NULL;
  double block[4096], lo = 0.0, hi = 0.0;

  for (gsize at = 0; labels && at < n; at += G_N_ELEMENTS (block)) {
    gsize m = MIN (n - at, G_N_ELEMENTS (block));

    tess_volume_values_f64 (volume, at, m, block);
    for (gsize k = 0; k < m; k++) {
      lo = MIN (lo, block[k]);
      hi = MAX (hi, block[k]);
    }
  }
  if (labels)
    dtype = lo < G_MININT32 || hi + (double)n_patches > G_MAXINT32 ? TESS_DTYPE_I64 : TESS_DTYPE_I32;
  copy = tess_volume_new (dtype, tess_volume_dim (volume), tess_volume_n_channels (volume), tess_volume_affine (volume),
                          error);
  if (!copy)
    return NULL;
  for (; first < n; first += G_N_ELEMENTS (block)) {
    gsize m = MIN (n - first, G_N_ELEMENTS (block));

    tess_volume_values_f64 (volume, first, m, block);
    for (gsize k = 0; k < m; k++) {
      double v = labels ? CLAMP (rint (isnan (block[k]) ? 0.0 : block[k]), -0x1p62, 0x1p62) : block[k];
      void *data = tess_volume_data_mut (copy);

      if (dtype == TESS_DTYPE_F64)
        ((double *)data)[first + k] = v;
      else if (dtype == TESS_DTYPE_I32)
        ((gint32 *)data)[first + k] = (gint32)v;
      else
        ((gint64 *)data)[first + k] = (gint64)v;
    }
  }
  return g_steal_pointer (&copy);
}

static gboolean
put_back_channel (const TessVolume *source, gint64 channel, const TessPatchGrid *grid, const float *weights,
                  gboolean vote, gboolean add_index, void *patch, TessProgress *progress, TessVolume *result,
                  GError **error)
{
  TessDType dtype = tess_volume_dtype (source);
  g_autoptr (TessReconstruction) r = tess_reconstruction_new (dtype, grid, weights, vote, error);
  guint64 n = tess_patch_grid_n (grid);
  gsize bytes = (gsize)tess_volume_n_voxels (source) * tess_dtype_size (dtype);

  if (!r)
    return FALSE;
  for (guint64 i = 0; i < n; i++) {
    double done = ((double)channel + (double)i / (double)n) / (double)tess_volume_n_channels (source);

    fetch_patch (source, channel, grid, i, add_index, patch);
    tess_reconstruction_add (r, i, patch);
    tess_progress_set (progress, done);
    if (!tess_progress_check (progress, error))
      return FALSE;
  }
  return tess_reconstruction_finish (r, (guint8 *)tess_volume_data_mut (result) + (gsize)channel * bytes, error);
}

/* Cuts every patch of every channel and puts it back. */
static TessVolume *
put_back (TessVolume *volume, const TessPatchGrid *grid, const Options *options, gboolean vote, TessProgress *progress,
          GError **error)
{
  g_autoptr (TessVolume) source =
      options->add_index ? work_copy (volume, vote, tess_patch_grid_n (grid), error) : tess_volume_ref (volume);
  g_autoptr (TessVolume) result = NULL;
  g_autofree float *weights = NULL;
  g_autofree void *patch = NULL;
  gsize n = (gsize)(grid->size[0] * grid->size[1] * grid->size[2]); /* at most 2^36 */

  if (!source)
    return NULL;
  patch = g_try_malloc_n (n, tess_dtype_size (tess_volume_dtype (source)));
  weights = options->gaussian ? tess_patch_weights_gaussian (grid->size) : NULL;
  if (!patch || (options->gaussian && !weights)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("--size %s: no memory for a patch; take a smaller one"),
                 options->size);
    return NULL;
  }
  result = tess_volume_new (tess_volume_dtype (source), tess_volume_dim (source), tess_volume_n_channels (source),
                            tess_volume_affine (source), error);
  if (!result)
    return NULL;
  tess_volume_set_scaling (result, tess_volume_slope (source), tess_volume_intercept (source));
  tess_volume_set_intent (result, vote ? TESS_INTENT_LABEL : tess_volume_intent (volume));
  if (tess_volume_peek_labels (volume))
    tess_volume_set_labels (result, tess_volume_peek_labels (volume));
  for (gint64 c = 0; c < tess_volume_n_channels (source); c++)
    if (!put_back_channel (source, c, grid, weights, vote, options->add_index, patch, progress, result, error))
      return NULL;
  return g_steal_pointer (&result);
}

static void
padding (const TessPatchGrid *grid, guint axis, gint64 *before, gint64 *after)
{
  gint64 missing = MAX (grid->size[axis] - grid->dim[axis], 0);

  *before = missing > 0 ? -grid->start[axis][0] : 0;
  *after = missing - *before;
}

static JsonArray *
ints_json (const gint64 *values, guint n)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < n; i++)
    json_array_add_int_element (array, values[i]);
  return array;
}

static JsonNode *
report_json (const Report *r, const Options *options)
{
  JsonObject *o = json_object_new ();
  JsonNode *root = json_node_new (JSON_NODE_OBJECT);
  JsonArray *pads = json_array_new (), *starts = json_array_new ();
  gint64 count[3], overlap[3];

  for (guint a = 0; a < 3; a++) {
    gint64 pad[2];

    padding (r->grid, a, &pad[0], &pad[1]);
    json_array_add_array_element (pads, ints_json (pad, 2));
    json_array_add_array_element (starts, ints_json (r->grid->start[a], r->grid->n[a]));
    count[a] = r->grid->n[a];
    overlap[a] = r->grid->size[a] - r->stride[a];
  }
  json_object_set_string_member (o, "axis_order", "x,y,z");
  json_object_set_array_member (o, "dims", ints_json (r->grid->dim, 3));
  json_object_set_int_member (o, "channels", tess_volume_n_channels (r->volume));
  json_object_set_array_member (o, "size", ints_json (r->grid->size, 3));
  json_object_set_array_member (o, "stride", ints_json (r->stride, 3));
  json_object_set_array_member (o, "count", ints_json (count, 3));
  json_object_set_int_member (o, "patches", (gint64)tess_patch_grid_n (r->grid));
  json_object_set_double_member (o, "coverage", tess_patch_grid_coverage (r->grid));
  json_object_set_array_member (o, "overlap", ints_json (overlap, 3));
  json_object_set_array_member (o, "padding", pads);
  json_object_set_array_member (o, "starts", starts);
  json_object_set_string_member (o, "weights", options->gaussian ? "gaussian" : "uniform");
  json_object_set_string_member (o, "blend", r->vote ? "vote" : "mean");
  if (r->result) {
    json_object_set_string_member (o, "output", options->reconstruct);
    json_object_set_string_member (o, "dtype", tess_dtype_name (tess_volume_dtype (r->result)));
    if (options->add_index)
      json_object_set_null_member (o, "bit_identical");
    else
      json_object_set_boolean_member (o, "bit_identical", r->identical);
  }
  json_node_take_object (root, o);
  return root;
}

static void
report_text (const Report *r, const Options *options)
{
  g_autofree char *dims = tess_format_dims (r->grid->dim, 3), *size = tess_format_dims (r->grid->size, 3);
  g_autofree char *stride = tess_format_dims (r->stride, 3);
  g_autofree char *coverage = tess_format_number (100.0 * tess_patch_grid_coverage (r->grid), 6);
  g_autofree char *in = g_filename_display_name (r->in);

  printf (_ ("%s: %s voxels, patches of %s every %s\n"), in, dims, size, stride);
  printf (_ ("patches   %u x %u x %u = %" PRIu64 "\n"), r->grid->n[0], r->grid->n[1], r->grid->n[2],
          tess_patch_grid_n (r->grid));
  printf (_ ("coverage  %s %% of the voxels, counted\n"), coverage);
  printf (_ ("overlap  "));
  for (guint a = 0; a < 3; a++)
    printf (" %c %" PRId64 " (%.0f %%)%s", "xyz"[a], r -> grid -> size[a] - r -> stride[a],
            100.0 * (double)(r->grid->size[a] - r->stride[a]) / (double)r -> grid -> size[a], a < 2 ? "," : "\n");
  printf (_ ("padding  "));
  for (guint a = 0; a < 3; a++) {
    gint64 before, after;

    padding (r->grid, a, &before, &after);
    printf (_ (" %c %" PRId64 " before, %" PRId64 " after%s"), "xyz"[a], before, after, a < 2 ? ";" : "\n");
  }
  if (!r->result)
    return;
  printf (_ ("blending  %s, %s weights\n"), r->vote ? _ ("vote of labels") : _ ("mean"),
          options->gaussian ? _ ("Gaussian") : _ ("uniform"));
  if (options->add_index)
    printf (_ ("%s: put back as %s; every patch had its number added first\n"), options->reconstruct,
            tess_dtype_name (tess_volume_dtype (r->result)));
  else
    printf (r->identical ? _ ("%s: put back, bit-identical to the input\n")
                         : _ ("%s: put back, DIFFERS from the input\n"),
            options->reconstruct);
}

/* Everything that is wrong with the words is said before a long read. */
static gboolean
check_options (const Options *options, gint64 size[3], gint64 stride[3], GError **error)
{
  static const gint64 one[3] = {1, 1, 1};
  g_autoptr (TessPatchGrid) grid = NULL;
  const TessFormat *format;

  if (!options->size) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("patches: --size is missing; give one number or X,Y,Z"));
    return FALSE;
  }
  if (!tess_cli_triple (options->size, "--size", 1, MAX_PATCH, size, error) ||
      !tess_cli_triple (options->stride ? options->stride : options->size, "--stride", 1, MAX_PATCH, stride, error))
    return FALSE;
  grid = tess_patch_grid_new (one, size, stride, error); /* a stride that leaves holes does so in any volume */
  if (!grid) {
    g_prefix_error (error, "--stride %s: ", options->stride);
    return FALSE;
  }
  if (options->add_index && !options->reconstruct) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("--add-index: it changes what is put back; give --reconstruct FILE too"));
    return FALSE;
  }
  if (!options->reconstruct)
    return TRUE;
  format = tess_format_for_path (options->reconstruct, error);
  if (format && !format->save)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: %s files can be read only; choose another ending"),
                 options->reconstruct, format->name);
  return format && format->save;
}

static gboolean
work (TessCli *cli, const Options *options, const gint64 size[3], const gint64 stride[3], Report *r, GError **error)
{
  TessProgress *progress = tess_cli_progress (cli, _ ("Reading"));
  gboolean done;

  r->volume = tess_volume_load (r->in, progress, error);
  tess_cli_progress_end (progress);
  if (!r->volume)
    return FALSE;
  for (guint a = 0; a < 3; a++)
    r->stride[a] = stride[a];
  r->vote = options->labels || tess_volume_intent (r->volume) == TESS_INTENT_LABEL;
  r->grid = tess_patch_grid_new (tess_volume_dim (r->volume), size, stride, error);
  if (!r->grid)
    return FALSE;
  if (!options->reconstruct)
    return TRUE;
  progress = tess_cli_progress (cli, _ ("Cutting and putting back"));
  r->result = put_back (r->volume, r->grid, options, r->vote, progress, error);
  tess_cli_progress_end (progress);
  if (!r->result)
    return FALSE;
  r->identical =
      tess_volume_n_bytes (r->result) == tess_volume_n_bytes (r->volume) &&
      memcmp (tess_volume_data (r->result), tess_volume_data (r->volume), tess_volume_n_bytes (r->volume)) == 0;
  progress = tess_cli_progress (cli, _ ("Writing"));
  done = tess_volume_save (r->result, options->reconstruct, progress, error);
  tess_cli_progress_end (progress);
  return done;
}

int
tess_cmd_patches (TessCli *cli, int argc, char **argv)
{
  Options options = {NULL};
  const GOptionEntry entries[] = {
      {"size", 0, 0, G_OPTION_ARG_STRING, &options.size, N_ ("voxels of a patch, one number or X,Y,Z"), "S"},
      {"stride", 0, 0, G_OPTION_ARG_STRING, &options.stride,
       N_ ("voxels from one patch to the next, at most the size (default: the size)"), "T"},
      {"gaussian", 0, 0, G_OPTION_ARG_NONE, &options.gaussian,
       N_ ("weigh a patch's middle more where patches overlap (sigma = size/8)"), NULL},
      {"add-index", 0, 0, G_OPTION_ARG_NONE, &options.add_index,
       N_ ("add its number to every patch before it is put back, to see the blending"), NULL},
      {"labels", 0, 0, G_OPTION_ARG_NONE, &options.labels,
       N_ ("the volume holds labels: overlapping patches vote, nothing is averaged"), NULL},
      {"reconstruct", 0, 0, G_OPTION_ARG_FILENAME, &options.reconstruct,
       N_ ("put the patches back together and write FILE"), "FILE"},
      {NULL},
  };
  Report report = {NULL};
  const char *inputs[2] = {NULL};
  gint64 size[3], stride[3];
  GError *error = NULL;
  int code = 0;

  if (!tess_cli_parse (cli, &argc, &argv, entries, "IN --size S [--stride T]",
                       _ ("Cuts IN into patches that cover every voxel: the last patch of an axis is moved inside, a "
                          "volume smaller than a\npatch is padded with its edge. Prints the grid; --reconstruct puts "
                          "the patches back."),
                       1, 1, &code))
    goto out;
  report.in = argv[1];
  inputs[0] = argv[1];
  if (!check_options (&options, size, stride, &error) ||
      (options.reconstruct && !tess_cli_check_output (options.reconstruct, inputs, &error)) ||
      !work (cli, &options, size, stride, &report, &error)) {
    code = tess_cli_fail (error);
    goto out;
  }
  if (cli->json)
    tess_cli_print_json (report_json (&report, &options));
  else
    report_text (&report, &options);

out:
  g_clear_pointer (&report.volume, tess_volume_unref);
  g_clear_pointer (&report.result, tess_volume_unref);
  g_clear_pointer (&report.grid, tess_patch_grid_free);
  g_free (options.size);
  g_free (options.stride);
  g_free (options.reconstruct);
  return code;
}
