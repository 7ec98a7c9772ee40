#include "tess-thumbnail.h"

#include "tess-pane.h"
#include "tess-plane-sampler.h"

#include <cairo.h>
#include <gio/gio.h>
#include <math.h>

char *
tess_thumbnail_path (const char *scan)
{
  g_autofree char *whole = g_canonicalize_filename (scan, NULL);
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, whole, -1);
  g_autofree char *name = g_strconcat (sum, ".png", NULL);

  return g_build_filename (g_get_user_cache_dir (), "tessera", "thumbnails", name, NULL);
}

typedef struct {
  char *path;
  TessVolume *volume;
} Request;

static void
request_free (gpointer data)
{
  Request *request = data;

  g_free (request->path);
  tess_volume_unref (request->volume);
  g_free (request);
}

/* The middle axial slice as an RGB24 surface, windowed like a scan just opened. */
static cairo_surface_t *
draw (TessVolume *volume)
{
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessPane pane = {.plane = TESS_PLANE_AXIAL, .width = TESS_THUMBNAIL_SIZE, .height = TESS_THUMBNAIL_SIZE};
  g_autofree float *values = g_new (float, TESS_THUMBNAIL_SIZE *TESS_THUMBNAIL_SIZE);
  TessLayer *layer = tess_scene_add (scene, volume, "");
  cairo_surface_t *surface;
  TessPaneMap map;

  if (!layer)
    return NULL;
  tess_scene_reset (scene);
  tess_pane_fit (&pane, scene);
  tess_pane_map (&pane, scene, &map);
  tess_plane_sample_values (layer, &map, pane.width, pane.height, values);

  surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, pane.width, pane.height);
  cairo_surface_flush (surface);
  for (int y = 0; y < pane.height; y++) {
    guint32 *row = (guint32 *)(gpointer)(cairo_image_surface_get_data (surface) +
                                         (gsize)y * (gsize)cairo_image_surface_get_stride (surface));

    for (int x = 0; x < pane.width; x++) {
      double v = (values[y * pane.width + x] - layer->lower) / fmax (layer->upper - layer->lower, 1e-12);
      guint32 grey = isnan (v) ? 0 : (guint32)(255.0 * CLAMP (v, 0.0, 1.0) + 0.5);

      row[x] = grey << 16 | grey << 8 | grey;
    }
  }
  cairo_surface_mark_dirty (surface);
  return surface;
}

GdkTexture *
tess_thumbnail_draw (TessVolume *volume)
{
  cairo_surface_t *surface = draw (volume);
  g_autoptr (GBytes) bytes = NULL;
  GdkTexture *texture;
  gsize stride;

  if (!surface)
    return NULL;
  stride = (gsize)cairo_image_surface_get_stride (surface);
  for (gsize i = 3; i < stride * TESS_THUMBNAIL_SIZE; i += 4) /* cairo leaves the fourth byte open */
    cairo_image_surface_get_data (surface)[G_BYTE_ORDER == G_LITTLE_ENDIAN ? i : i - 3] = 0xff;
  bytes = g_bytes_new (cairo_image_surface_get_data (surface), stride * TESS_THUMBNAIL_SIZE);
  texture = gdk_memory_texture_new (TESS_THUMBNAIL_SIZE, TESS_THUMBNAIL_SIZE, GDK_MEMORY_DEFAULT, bytes, stride);
  cairo_surface_destroy (surface);
  return texture;
}

static cairo_status_t
append_cb (void *closure, const unsigned char *data, unsigned int n)
{
  g_byte_array_append (closure, data, n);
  return CAIRO_STATUS_SUCCESS;
}

static void
keep_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Request *request = data;
  g_autofree char *folder = g_path_get_dirname (request->path);
  g_autoptr (GByteArray) png = g_byte_array_new ();
  cairo_surface_t *surface = draw (request->volume);

  if (surface && cairo_surface_write_to_png_stream (surface, append_cb, png) == CAIRO_STATUS_SUCCESS &&
      g_mkdir_with_parents (folder, 0700) == 0)
    g_file_set_contents_full (request->path, (const char *)png->data, (gssize)png->len, G_FILE_SET_CONTENTS_CONSISTENT,
                              0600, NULL);
  g_clear_pointer (&surface, cairo_surface_destroy);
  g_task_return_boolean (task, TRUE);
}

void
tess_thumbnail_keep (const char *scan, TessVolume *volume)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, NULL, NULL);
  Request *request = g_new0 (Request, 1);

  request->path = tess_thumbnail_path (scan);
  request->volume = tess_volume_ref (volume);
  g_task_set_source_tag (task, tess_thumbnail_keep);
  g_task_set_task_data (task, request, request_free);
  g_task_run_in_thread (task, keep_thread);
}
