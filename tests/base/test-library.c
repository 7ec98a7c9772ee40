/* A library opened at run time: once, from any thread, and again after a failure. */
#include "tess-library.h"

#include <dlfcn.h>
#include <stdatomic.h>

typedef struct {
  double (*half) (double value);
  int (*version) (void);
} Table;

static const TessLibraryFunction functions[] = {{"library_half", offsetof (Table, half)},
                                                {"library_version", offsetof (Table, version)}};
static atomic_uint n_opened, n_checked;
static int oldest; /* what check_version() asks for */

static void *
open_module (char **path, GError **error)
{
  n_opened++;
  *path = g_strdup ("the module");
  return dlopen (g_getenv ("TESSERA_TEST_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
}

static void *
open_nothing (char **path, GError **error)
{
  n_opened++;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, "nowhere");
  return NULL;
}

static gboolean
check_version (gconstpointer table, const char *path, GError **error)
{
  n_checked++;
  if (((const Table *)table)->version () >= oldest)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, "%s: is older than %d", path, oldest);
  return FALSE;
}

static gboolean
is_open (void)
{
  void *handle = dlopen (g_getenv ("TESSERA_TEST_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);

  if (handle != NULL)
    dlclose (handle);
  return handle != NULL;
}

static void
expect (TessLibrary *library, const char *sentence)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_library_load (library, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_cmpstr (error->message, ==, sentence);
  g_assert_false (is_open ());
}

/* Every way to fail, each mended in turn: the next call opens it anew. */
static void
test_failures (void)
{
  static const TessLibraryFunction missing[] = {{"library_half", offsetof (Table, half)},
                                                {"library_third", offsetof (Table, version)}};
  Table table = {0};
  TessLibrary library = {.open = open_nothing,
                         .remedy = "install another",
                         .functions = missing,
                         .n_functions = G_N_ELEMENTS (missing),
                         .table = &table,
                         .check = check_version,
                         .mutex = TESS_MUTEX_INIT};
  g_autoptr (GError) error = NULL;

  n_opened = n_checked = 0;
  expect (&library, "nowhere");
  g_assert_cmpuint (n_opened, ==, 1);
  library.open = open_module;
  expect (&library, "the module: has no function library_third; install another");
  g_assert_null (tess_library_load (&library, NULL));
  g_assert_cmpuint (n_opened, ==, 3);
  g_assert_cmpuint (n_checked, ==, 0);
  library.functions = functions;
  oldest = 8;
  expect (&library, "the module: is older than 8");
  g_assert_cmpuint (n_checked, ==, 1);
  oldest = 7;
  g_assert_true (tess_library_load (&library, &error) == &table);
  g_assert_no_error (error);
  g_assert_cmpfloat (table.half (3), ==, 1.5);
  g_assert_cmpint (table.version (), ==, 7);
  /* Loaded for good: neither opened nor checked again. */
  oldest = 8;
  library.open = open_nothing;
  g_assert_true (tess_library_load (&library, &error) == &table);
  g_assert_no_error (error);
  g_assert_cmpuint (n_opened, ==, 5);
  g_assert_cmpuint (n_checked, ==, 2);
  g_assert_true (is_open ());
}

/* By its name, as the loader finds it, and without a check. */
static void
test_by_name (void)
{
  static struct {
    double (*cosine) (double angle);
  } table;
  static const TessLibraryFunction cosine[] = {{"cos", 0}};
  TessLibrary library = {.file = "libnothing-of-that-name.so.3",
                         .remedy = "install it",
                         .functions = cosine,
                         .n_functions = G_N_ELEMENTS (cosine),
                         .table = &table,
                         .mutex = TESS_MUTEX_INIT};
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_library_load (&library, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_true (g_str_has_prefix (error->message, "libnothing-of-that-name.so.3: cannot be loaded ("));
  g_assert_nonnull (strstr (error->message, "cannot open shared object file"));
  g_assert_true (g_str_has_suffix (error->message, "); install it"));
  g_clear_error (&error);
  library.file = "libm.so.6";
  g_assert_true (tess_library_load (&library, &error) == &table);
  g_assert_no_error (error);
  g_assert_cmpfloat (table.cosine (0), ==, 1);
}

static void
load_cb (gpointer data)
{
  g_autoptr (GError) error = NULL;
  const Table *table = tess_library_load (data, &error);

  g_assert_no_error (error);
  g_assert_cmpfloat (table->half (5), ==, 2.5);
}

static void
test_threads (void)
{
  Table table = {0};
  TessLibrary library = {.open = open_module,
                         .functions = functions,
                         .n_functions = G_N_ELEMENTS (functions),
                         .table = &table,
                         .check = check_version,
                         .mutex = TESS_MUTEX_INIT};
  TessThread *threads[8];

  n_opened = n_checked = 0;
  oldest = 0;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = tess_thread_new ("loader", 0, load_cb, &library);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    tess_thread_join (threads[i]);
  g_assert_cmpuint (n_opened, ==, 1);
  g_assert_cmpuint (n_checked, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/library/failures", test_failures);
  g_test_add_func ("/base/library/by-name", test_by_name);
  g_test_add_func ("/base/library/threads", test_threads);
  return g_test_run ();
}
