#include "tess-cli.h"

#include <pango/pangocairo.h>

#include "tess-library.h"

/* Cairo and Pango bring thirty libraries, half of the time that the program takes to start, and only pictures need
 * them. So they are not linked: the functions that the picture's code calls stand here and pass on to the libraries,
 * which tess_cli_load_cairo () has opened. A function that is missing here is an error of the linker. */

#define FUNCTIONS(X)                                                                                                   \
  X (void, cairo_arc, (cairo_t * cr, double x, double y, double radius, double from, double to),                       \
     (cr, x, y, radius, from, to))                                                                                     \
  X (void, cairo_clip, (cairo_t * cr), (cr))                                                                           \
  X (void, cairo_close_path, (cairo_t * cr), (cr))                                                                     \
  X (cairo_t *, cairo_create, (cairo_surface_t * target), (target))                                                    \
  X (void, cairo_destroy, (cairo_t * cr), (cr))                                                                        \
  X (void, cairo_fill, (cairo_t * cr), (cr))                                                                           \
  X (void, cairo_fill_preserve, (cairo_t * cr), (cr))                                                                  \
  X (cairo_pattern_t *, cairo_get_source, (cairo_t * cr), (cr))                                                        \
  X (cairo_surface_t *, cairo_image_surface_create, (cairo_format_t format, int width, int height),                    \
     (format, width, height))                                                                                          \
  X (cairo_surface_t *, cairo_image_surface_create_for_data,                                                           \
     (unsigned char *data, cairo_format_t format, int width, int height, int stride),                                  \
     (data, format, width, height, stride))                                                                            \
  X (void, cairo_line_to, (cairo_t * cr, double x, double y), (cr, x, y))                                              \
  X (void, cairo_move_to, (cairo_t * cr, double x, double y), (cr, x, y))                                              \
  X (void, cairo_new_path, (cairo_t * cr), (cr))                                                                       \
  X (void, cairo_new_sub_path, (cairo_t * cr), (cr))                                                                   \
  X (void, cairo_paint, (cairo_t * cr), (cr))                                                                          \
  X (void, cairo_pattern_set_filter, (cairo_pattern_t * pattern, cairo_filter_t filter), (pattern, filter))            \
  X (void, cairo_rectangle, (cairo_t * cr, double x, double y, double width, double height),                           \
     (cr, x, y, width, height))                                                                                        \
  X (void, cairo_restore, (cairo_t * cr), (cr))                                                                        \
  X (void, cairo_save, (cairo_t * cr), (cr))                                                                           \
  X (void, cairo_set_line_join, (cairo_t * cr, cairo_line_join_t join), (cr, join))                                    \
  X (void, cairo_set_line_width, (cairo_t * cr, double width), (cr, width))                                            \
  X (void, cairo_set_source_rgb, (cairo_t * cr, double r, double g, double b), (cr, r, g, b))                          \
  X (void, cairo_set_source_rgba, (cairo_t * cr, double r, double g, double b, double a), (cr, r, g, b, a))            \
  X (void, cairo_set_source_surface, (cairo_t * cr, cairo_surface_t * surface, double x, double y),                    \
     (cr, surface, x, y))                                                                                              \
  X (void, cairo_stroke, (cairo_t * cr), (cr))                                                                         \
  X (void, cairo_stroke_preserve, (cairo_t * cr), (cr))                                                                \
  X (void, cairo_surface_destroy, (cairo_surface_t * surface), (surface))                                              \
  X (cairo_status_t, cairo_surface_write_to_png_stream,                                                                \
     (cairo_surface_t * surface, cairo_write_func_t write, void *closure), (surface, write, closure))                  \
  X (PangoLayout *, pango_cairo_create_layout, (cairo_t * cr), (cr))                                                   \
  X (void, pango_cairo_layout_path, (cairo_t * cr, PangoLayout * layout), (cr, layout))                                \
  X (void, pango_font_description_free, (PangoFontDescription * font), (font))                                         \
  X (PangoFontDescription *, pango_font_description_from_string, (const char *text), (text))                           \
  X (void, pango_font_description_set_absolute_size, (PangoFontDescription * font, double size), (font, size))         \
  X (void, pango_layout_get_pixel_size, (PangoLayout * layout, int *width, int *height), (layout, width, height))      \
  X (void, pango_layout_set_font_description, (PangoLayout * layout, const PangoFontDescription *font),                \
     (layout, font))                                                                                                   \
  X (void, pango_layout_set_text, (PangoLayout * layout, const char *text, int length), (layout, text, length))

#define MEMBER(type, name, parameters, arguments) type (*name) parameters;
typedef struct {
  FUNCTIONS (MEMBER)
} Late;

static Late late;

#define PASS_ON(type, name, parameters, arguments)                                                                     \
  type name parameters                                                                                                 \
  {                                                                                                                    \
    return late.name arguments;                                                                                        \
  }
FUNCTIONS (PASS_ON)

/**
 * tess_cli_load_cairo:
 *
 * Opens Cairo and Pango; they stay loaded. Before any of their functions is called; on the main thread.
 *
 * Errors: UNSUPPORTED.
 */
gboolean
tess_cli_load_cairo (GError **error)
{
#define FUNCTION(type, name, parameters, arguments) {#name, offsetof (Late, name)},
  static const TessLibraryFunction functions[] = {FUNCTIONS (FUNCTION)};
  static TessLibrary library = {
      .file = "libpangocairo-1.0.so.0", /* stands on libpango and libcairo: their functions are found through it */
      .remedy = N_ ("install the package libpangocairo-1.0-0"),
      .functions = functions,
      .n_functions = G_N_ELEMENTS (functions),
      .table = &late,
      .mutex = TESS_MUTEX_INIT,
  };

  return tess_library_load (&library, error) != NULL;
}
