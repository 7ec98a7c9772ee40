#include "tess-atomic-file.h"
#include "tess-cli.h"
#include "tess-findings-csv.h"
#include "tess-format-registry.h"
#include "tess-label-file.h"
#include "tess-overlay.h"
#include "tess-patch-grid.h"
#include "tess-renderer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  char *label, *findings, *plane, *at, *window, *grid, *size, *out;
  gboolean bare;
} Options;

static gboolean
parse_plane (const char *text, int *fill, GError **error)
{
  static const char *const names[] = {"axial", "sagittal", "coronal", "all"};

  for (int i = 0; i < 4; i++)
    if (strcmp (text, names[i]) == 0) {
      *fill = i == 3 ? -1 : i;
      return TRUE;
    }
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--plane %s: use axial, sagittal, coronal or all"), text);
  return FALSE;
}

static gboolean
parse_numbers (const char *text, const char *option, guint n, double *values, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);

  for (guint i = 0; g_strv_length (parts) == n && i < n; i++) {
    char *end;

    values[i] = g_ascii_strtod (parts[i], &end);
    if (*parts[i] && !*end && isfinite (values[i])) {
      if (i + 1 == n)
        return TRUE;
      continue;
    }
    break;
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s %s: give %u numbers with commas between them"), option, text,
               n);
  return FALSE;
}

/* Those of the scan go into the scene. */
static gboolean
load_findings (TessCli *cli, TessScene *scene, const char *table, const char *path, GError **error)
{
  g_autoptr (TessFindings) all = tess_findings_csv_load (table, error), own = NULL;

  if (!all)
    return FALSE;
  own = tess_findings_of_scan (all, tess_scene_main (scene)->volume, path);
  if (tess_findings_n (own) == 0)
    tess_cli_note (cli, "%s", _ ("No finding of the table is of this scan: no seriesuid is its name."));
  tess_scene_set_findings (scene, own);
  return TRUE;
}

static gboolean
load_scene (TessCli *cli, const char *path, const Options *options, TessScene *scene, GError **error)
{
  TessProgress *progress = tess_cli_progress (cli, _ ("reading"));
  g_autoptr (TessVolume) image = tess_volume_load (path, progress, error);
  g_autoptr (TessVolume) label = NULL;

  if (image && options->label) {
    label = tess_volume_load (options->label, progress, error);
    if (label) {
      tess_volume_set_intent (label, TESS_INTENT_LABEL);
      tess_label_file_attach (label, options->label);
    }
  }
  tess_cli_progress_end (progress);
  if (!image || (options->label && !label))
    return FALSE;
  tess_scene_add (scene, image, path);
  if (options->findings && !load_findings (cli, scene, options->findings, path, error))
    return FALSE;
  if (label) {
    TessLayer *layer = tess_scene_add (scene, label, options->label);

    return tess_layer_complete_labels (layer, error);
  }
  return TRUE;
}

static gboolean
place (TessScene *scene, const Options *options, GError **error)
{
  TessLayer *layer = tess_scene_main (scene);
  double v[3];

  if (options->at) {
    if (!parse_numbers (options->at, "--at", 3, v, error))
      return FALSE;
    tess_affine_apply (tess_volume_affine (layer->volume), v, scene->cursor);
  }
  if (options->window) {
    if (!parse_numbers (options->window, "--window", 2, v, error))
      return FALSE;
    if (!(v[0] > 0.0)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--window %s: the width must be above 0"), options->window);
      return FALSE;
    }
    layer->lower = v[1] - 0.5 * v[0];
    layer->upper = v[1] + 0.5 * v[0];
  }
  return TRUE;
}

static TessPatchGrid *
make_grid (const TessScene *scene, const Options *options, TessOverlay *overlay, GError **error)
{
  const gint64 *dim = tess_volume_dim (tess_scene_main (scene)->volume);
  double v[2];
  gint64 size[3], stride[3];
  TessPatchGrid *grid;

  if (!parse_numbers (options->grid, "--grid", 2, v, error))
    return NULL;
  for (int k = 0; k < 3; k++) {
    size[k] = (gint64)CLAMP (v[0], 0.0, 1e6);
    stride[k] = (gint64)CLAMP (v[1], 0.0, 1e6);
  }
  grid = tess_patch_grid_new (dim, size, stride, error);
  if (!grid)
    return NULL;
  overlay->grid = TRUE;
  for (int k = 0; k < 3; k++) {
    overlay->patch[k] = size[k];
    overlay->n_starts[k] = grid->n[k];
    overlay->starts[k] = grid->start[k];
  }
  return grid;
}

static cairo_status_t
append_png (void *closure, const unsigned char *data, unsigned int n)
{
  g_byte_array_append (closure, data, n);
  return CAIRO_STATUS_SUCCESS;
}

static gboolean
draw (TessScene *scene, const Options *options, int fill, const gint64 size[3], GError **error)
{
  int width = (int)size[0], height = (int)size[1];
  TessOverlay overlay = {.text = !options->bare, .crosshair = !options->bare, .findings = TRUE, .scale = 1.0};
  g_autoptr (TessPatchGrid) grid = NULL;
  g_autoptr (GByteArray) png = g_byte_array_new ();
  g_autofree guint8 *rgba = g_malloc ((gsize)width * (gsize)height * 4);
  TessPane panes[TESS_N_PLANES];
  TessOffscreen *offscreen;
  cairo_surface_t *surface;
  cairo_t *cr;
  guint n_panes;
  gboolean drawn;

  if (options->grid && !(grid = make_grid (scene, options, &overlay, error)))
    return FALSE;
  n_panes = tess_pane_layout (width, height, fill, panes);
  for (guint i = 0; i < n_panes; i++)
    tess_pane_fit (&panes[i], scene);
  offscreen = tess_offscreen_new (width, height, error);
  if (!offscreen)
    return FALSE;
  drawn = tess_offscreen_draw (offscreen, scene, panes, n_panes, rgba, error);
  tess_offscreen_free (offscreen);
  if (!drawn)
    return FALSE;
  for (gsize i = 0; i < (gsize)width * (gsize)height; i++) { /* Cairo wants blue first */
    guint8 red = rgba[4 * i];

    rgba[4 * i] = rgba[4 * i + 2];
    rgba[4 * i + 2] = red;
  }
  surface = cairo_image_surface_create_for_data (rgba, CAIRO_FORMAT_RGB24, width, height, width * 4);
  cr = cairo_create (surface);
  tess_overlay_draw (&overlay, cr, scene, panes, n_panes);
  cairo_destroy (cr);
  cairo_surface_write_to_png_stream (surface, append_png, png);
  cairo_surface_destroy (surface);
  return tess_file_set_contents (options->out, png->data, png->len, error);
}

int
tess_cmd_render (TessCli *cli, int argc, char **argv)
{
  Options options = {0};
  const GOptionEntry entries[] = {
      {"label", 0, 0, G_OPTION_ARG_FILENAME, &options.label, N_ ("labels drawn over the scan"), "FILE"},
      {"findings", 0, 0, G_OPTION_ARG_FILENAME, &options.findings,
       N_ ("table of findings, drawn as circles of their diameter"), "CSV"},
      {"plane", 0, 0, G_OPTION_ARG_STRING, &options.plane, N_ ("axial, sagittal, coronal or all (default)"), "NAME"},
      {"at", 0, 0, G_OPTION_ARG_STRING, &options.at, N_ ("voxel of the scan to look at (default: the middle)"),
       "X,Y,Z"},
      {"window", 0, 0, G_OPTION_ARG_STRING, &options.window, N_ ("width and level (default: from the scan)"), "W,L"},
      {"grid", 0, 0, G_OPTION_ARG_STRING, &options.grid, N_ ("patch grid: size and stride in voxels"), "S,T"},
      {"size", 0, 0, G_OPTION_ARG_STRING, &options.size, N_ ("pixels of the picture (default 1280,800)"), "W,H"},
      {"bare", 0, 0, G_OPTION_ARG_NONE, &options.bare, N_ ("without texts and crosshair"), NULL},
      {"out", 0, 0, G_OPTION_ARG_FILENAME, &options.out, N_ ("the PNG file to write"), "PNG"},
      {NULL},
  };
  g_autoptr (TessScene) scene = tess_scene_new ();
  GError *error = NULL;
  gint64 size[3] = {1280, 800, 1};
  double v[2];
  int exit_code, fill = -1;

  if (!tess_cli_parse (cli, &argc, &argv, entries, "FILE --out PNG", _ ("Draws a scan without a display."), 1, 1,
                       &exit_code))
    return exit_code;
  if (!options.out) {
    g_set_error_literal (&error, TESS_ERROR, TESS_ERROR_USAGE,
                         _ ("render: --out PNG is missing; say where to write the picture"));
  } else if (options.size && parse_numbers (options.size, "--size", 2, v, &error)) {
    size[0] = (gint64)v[0];
    size[1] = (gint64)v[1];
    if (v[0] < 16 || v[1] < 16 || v[0] > 16384 || v[1] > 16384)
      g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--size %s: use 16 to 16384 pixels"), options.size);
  }
  if (!error && options.plane)
    parse_plane (options.plane, &fill, &error);
  if (!error)
    tess_cli_check_output (options.out, (const char *[]){argv[1], options.label, options.findings, NULL}, &error);
  if (!error && tess_cli_load_cairo (&error) && load_scene (cli, argv[1], &options, scene, &error) &&
      place (scene, &options, &error))
    draw (scene, &options, fill, size, &error);
  g_free (options.label);
  g_free (options.findings);
  g_free (options.plane);
  g_free (options.at);
  g_free (options.window);
  g_free (options.grid);
  g_free (options.size);
  g_free (options.out);
  return error ? tess_cli_fail (error) : 0;
}
