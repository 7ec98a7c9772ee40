#include "../remove-tree.h"
#include "cards.h"
#include "tess-cuda-conv.h"
#include "tess-cudnn-cache.h"
#include "tess-network.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* Chosen plans kept on disk: found again and made again, the same, by the real cuDNN for a described card; and whatever
 * stands in the file, nothing worse than planning anew. Skips where cuDNN is not installed. */

#define CARD 4 /* H100 */
#define N_CANDIDATES 5

typedef struct {
  const TessCudnn *cudnn;
  cudnnBackendDescriptor_t card;
} Fixture;

/* FALSE with the test skipped. */
static gboolean
set_up (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *json = card_json (&cards[CARD]);

  f->cudnn = tess_cudnn_load (&error);
  if (f->cudnn == NULL) {
    g_test_skip (error->message);
    return FALSE;
  }
  f->card = tess_cudnn_device_from_json (f->cudnn, json, &error);
  g_assert_no_error (error);
  return TRUE;
}

static void
tear_down (Fixture *f)
{
  f->cudnn->BackendDestroyDescriptor (f->card);
}

static TessCudnnConv
small_conv (TessDType dtype, gboolean exact)
{
  return (TessCudnnConv){.pass = TESS_CUDNN_FORWARD,
                         .n = 2,
                         .fine = {16, 16, 16},
                         .coarse = {16, 16, 16},
                         .fine_channels = 32,
                         .coarse_channels = 32,
                         .kernel = {3, 3, 3},
                         .stride = {1, 1, 1},
                         .pad = {1, 1, 1},
                         .fine_type = dtype,
                         .coarse_type = dtype,
                         .weight_type = dtype,
                         .exact = exact};
}

/* Every convolution of a training step of nnU-Net's 3D network, each shape once. */
static GArray *
convolutions (TessDType dtype)
{
  const TessNetworkSpec spec = {.n_stages = 5,
                                .n_channels = 1,
                                .n_classes = 3,
                                .features = {32, 64, 128, 256, 320},
                                .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
                                .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}},
                                .convs_encoder = {2, 2, 2, 2, 2},
                                .convs_decoder = {2, 2, 2, 2},
                                .leaky_slope = 0.01,
                                .norm_eps = 1e-5};
  const TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                                   .batch = 2,
                                   .dhw = {64, 96, 96},
                                   .act_dtype = dtype,
                                   .deep_supervision = TRUE,
                                   .dice_smooth = 1e-5f};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = tess_network_build (&spec, &program, &error);
  GArray *all = g_array_new (FALSE, FALSE, sizeof (TessCudnnConv));

  g_assert_no_error (error);
  for (guint i = 0; i < network->graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (network->graph, i);
    TessCudaConvOp conv;
    gboolean seen = FALSE;

    if (!tess_op_is_conv (op->kind))
      continue;
    memset (&conv, 0, sizeof conv);
    tess_cuda_conv_describe (network->graph, op, dtype == TESS_DTYPE_F32, &conv);
    for (guint k = 0; k < all->len; k++)
      seen = seen || memcmp (&g_array_index (all, TessCudnnConv, k), &conv.shape, sizeof conv.shape) == 0;
    if (!seen && !tess_cuda_conv_is_own (&conv.shape))
      g_array_append_val (all, conv.shape);
  }
  return all;
}

static void
free_plans (const Fixture *f, GArray *plans)
{
  for (guint i = 0; i < plans->len; i++)
    tess_cudnn_plan_clear (f->cudnn, &g_array_index (plans, TessCudnnPlan, i));
  g_array_unref (plans);
}

static void
assert_same_choice (const TessCudnnChoice *a, const TessCudnnChoice *b)
{
  g_assert_cmpint (a->engine, ==, b->engine);
  g_assert_cmpuint (a->n_knobs, ==, b->n_knobs);
  for (guint i = 0; i < a->n_knobs; i++) {
    g_assert_cmpint (a->knob[i], ==, b->knob[i]);
    g_assert_cmpint (a->value[i], ==, b->value[i]);
  }
}

/* All that cuDNN says of a plan. */
static char *
plan_json (const Fixture *f, const TessCudnnPlan *plan)
{
  char *text = g_malloc0 (65536);
  gint64 n = 0;

  g_assert_cmpint (f->cudnn->BackendGetAttribute (plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                                  CUDNN_TYPE_CHAR, 65535, &n, text),
                   ==, CUDNN_STATUS_SUCCESS);
  g_assert_cmpint (n, >, 100);
  return text;
}

/* What a plan is, apart from its addresses. */
typedef struct {
  TessCudnnChoice choice;
  char *json;
  gsize workspace;
  gboolean tensor_core, compiled;
} Kept;

/* As the plugin does: float32 takes the first plan; of others one of the first five, here the last. */
static void
test_again (gconstpointer data)
{
  TessDType dtype = (TessDType)GPOINTER_TO_INT (data);
  guint most = dtype == TESS_DTYPE_F32 ? 1 : N_CANDIDATES;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) convs = NULL;
  TessCudnnCache *cache;
  Fixture f;
  gint64 start, first = 0, second = 0;

  if (!set_up (&f))
    return;
  convs = convolutions (dtype);
  g_assert_cmpuint (convs->len, >, 20);
  g_autofree Kept *kept = g_new0 (Kept, convs->len);
  cache = tess_cudnn_cache_new (f.cudnn, dtype == TESS_DTYPE_F32 ? "again f32" : "again bf16");
  for (guint i = 0; i < convs->len; i++) {
    const TessCudnnConv *conv = &g_array_index (convs, TessCudnnConv, i);
    TessCudnnChoice none;
    GArray *plans;

    start = g_get_monotonic_time ();
    plans = tess_cudnn_plans (f.cudnn, f.card, conv, TESS_CUDA_WORKSPACE, most, &error);
    first += g_get_monotonic_time () - start;
    g_assert_no_error (error);
    g_assert_cmpuint (plans->len, >, 0);
    const TessCudnnPlan *plan = &g_array_index (plans, TessCudnnPlan, plans->len - 1);
    kept[i] = (Kept){.workspace = plan->workspace,
                     .tensor_core = plan->tensor_core,
                     .compiled = plan->compiled,
                     .json = plan_json (&f, plan)};
    g_assert_true (tess_cudnn_plan_choice (f.cudnn, plan, &kept[i].choice));
    g_assert_false (tess_cudnn_cache_find (cache, conv, most, &none));
    tess_cudnn_cache_keep (cache, conv, most, &kept[i].choice);
    free_plans (&f, plans);
  }
  tess_cudnn_cache_free (cache);

  cache = tess_cudnn_cache_new (f.cudnn, dtype == TESS_DTYPE_F32 ? "again f32" : "again bf16");
  for (guint i = 0; i < convs->len; i++) {
    const TessCudnnConv *conv = &g_array_index (convs, TessCudnnConv, i);
    TessCudnnChoice choice, made;
    GArray *plans;

    g_assert_true (tess_cudnn_cache_find (cache, conv, most, &choice));
    assert_same_choice (&choice, &kept[i].choice);
    g_assert_false (tess_cudnn_cache_find (cache, conv, most + 1, &made)); /* another question */
    start = g_get_monotonic_time ();
    plans = tess_cudnn_plan_chosen (f.cudnn, f.card, conv, TESS_CUDA_WORKSPACE, &choice);
    second += g_get_monotonic_time () - start;
    g_assert_nonnull (plans);
    g_assert_cmpuint (plans->len, ==, 1);
    const TessCudnnPlan *plan = &g_array_index (plans, TessCudnnPlan, 0);
    g_assert_true (tess_cudnn_plan_choice (f.cudnn, plan, &made));
    assert_same_choice (&made, &kept[i].choice);
    g_assert_cmpuint (plan->workspace, ==, kept[i].workspace);
    g_autofree char *json = plan_json (&f, plan);
    g_assert_cmpstr (json, ==, kept[i].json);
    g_free (kept[i].json);
    g_assert_cmpint (plan->tensor_core, ==, kept[i].tensor_core);
    g_assert_cmpint (plan->compiled, ==, kept[i].compiled);
    free_plans (&f, plans);
  }
  tess_cudnn_cache_free (cache);
  g_test_message ("cuDNN %zu, %u convolutions, %s: planned in %.0f ms, from the file in %.0f ms",
                  f.cudnn->GetVersion (), convs->len, tess_dtype_name (dtype), (double)first * 1e-3,
                  (double)second * 1e-3);
  tear_down (&f);
}

/* Choices that nobody made: made, by the rules, or not at all. */
static void
test_hostile (void)
{
  static const gint64 odd[] = {G_MININT64, -1, 0, 1, 2, 3, 7, 42, 1000000, G_MAXINT32, G_MAXINT64};
  TessCudnnConv convs[] = {small_conv (TESS_DTYPE_F32, TRUE), small_conv (TESS_DTYPE_BF16, FALSE)};
  guint n_made = 0, n_tried = 0;
  Fixture f;

  if (!set_up (&f))
    return;
  for (guint c = 0; c < G_N_ELEMENTS (convs); c++)
    for (gint64 engine = -2; engine < 130; engine++)
      for (guint i = 0; i < G_N_ELEMENTS (odd); i++) {
        TessCudnnChoice choice = {.engine = engine == 129 ? odd[i] : engine, .n_knobs = i % 4};
        GArray *plans;

        for (guint k = 0; k < choice.n_knobs; k++) {
          choice.knob[k] = (gint64)((guint64)(engine + 3 * k + i) % CUDNN_KNOB_TYPE_COUNTS);
          choice.value[k] = odd[(i + k) % G_N_ELEMENTS (odd)];
        }
        plans = tess_cudnn_plan_chosen (f.cudnn, f.card, &convs[c], 1 << 20, &choice);
        n_tried++;
        if (plans == NULL)
          continue;
        g_assert_cmpuint (g_array_index (plans, TessCudnnPlan, 0).workspace, <=, 1 << 20);
        g_assert_false (convs[c].exact && g_array_index (plans, TessCudnnPlan, 0).tensor_core);
        n_made++;
        free_plans (&f, plans);
      }
  g_test_message ("%u of %u could be made", n_made, n_tried);
  g_assert_cmpuint (n_made, >, 0); /* an engine without knobs takes its own */
  g_assert_cmpuint (n_made, <, n_tried / 2);
  tear_down (&f);
}

/* A choice for TF32 does not serve where float32 is to stay float32. */
static void
test_exact (void)
{
  TessCudnnConv loose = small_conv (TESS_DTYPE_F32, FALSE), exact = small_conv (TESS_DTYPE_F32, TRUE);
  g_autoptr (GError) error = NULL;
  TessCudnnChoice choice;
  gboolean found = FALSE;
  GArray *plans;
  Fixture f;

  if (!set_up (&f))
    return;
  plans = tess_cudnn_plans (f.cudnn, f.card, &loose, TESS_CUDA_WORKSPACE, N_CANDIDATES, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < plans->len; i++) {
    if (!g_array_index (plans, TessCudnnPlan, i).tensor_core)
      continue;
    found = TRUE;
    g_assert_true (tess_cudnn_plan_choice (f.cudnn, &g_array_index (plans, TessCudnnPlan, i), &choice));
    g_assert_null (tess_cudnn_plan_chosen (f.cudnn, f.card, &exact, TESS_CUDA_WORKSPACE, &choice));
  }
  g_assert_true (found);
  free_plans (&f, plans);
  tear_down (&f);
}

/* ------------------------------------------------------------------------------------------------ the file */

/* These need a version and nothing else of cuDNN. */
static size_t version = 91900;

static size_t
get_version (void)
{
  return version;
}

static const TessCudnn stub = {.GetVersion = get_version};

/* The file whose third line tells of this cuDNN and device; NULL: there is none. */
static char *
kept_file (const char *device)
{
  g_autofree char *folder = g_build_filename (g_get_user_cache_dir (), "tessera", "cudnn", NULL);
  g_autofree char *title = g_strdup_printf ("%zu %s", version, device);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL), *text = NULL;
    g_auto (GStrv) lines = NULL;

    if (!g_file_test (path, G_FILE_TEST_IS_REGULAR) || !g_file_get_contents (path, &text, NULL, NULL))
      continue;
    lines = g_strsplit (text, "\n", 4);
    if (g_strv_length (lines) == 4 && strcmp (lines[2], title) == 0)
      return g_steal_pointer (&path);
  }
  return NULL;
}

/* Keeps n choices. Returns: kept_file(). */
static char *
fill (const char *device, guint n)
{
  TessCudnnCache *cache = tess_cudnn_cache_new (&stub, device);

  for (guint i = 0; i < n; i++) {
    TessCudnnConv conv = small_conv (TESS_DTYPE_BF16, FALSE);
    TessCudnnChoice choice = {.engine = i, .n_knobs = 2, .knob = {3, 40}, .value = {i, -5}};

    conv.n = i + 1;
    tess_cudnn_cache_keep (cache, &conv, 5, &choice);
  }
  tess_cudnn_cache_free (cache);
  return kept_file (device);
}

static guint
count (const char *device, guint n)
{
  TessCudnnCache *cache = tess_cudnn_cache_new (&stub, device);
  guint found = 0;

  for (guint i = 0; i < n; i++) {
    TessCudnnConv conv = small_conv (TESS_DTYPE_BF16, FALSE);
    TessCudnnChoice choice;

    conv.n = i + 1;
    if (!tess_cudnn_cache_find (cache, &conv, 5, &choice))
      continue;
    assert_same_choice (&choice, &(TessCudnnChoice){.engine = i, .n_knobs = 2, .knob = {3, 40}, .value = {i, -5}});
    found++;
  }
  tess_cudnn_cache_free (cache);
  return found;
}

static void
write_file (const char *path, const char *text, gsize n)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, (gssize)n, &error);
  g_assert_no_error (error);
}

/* The body with a sum that is right. */
static void
write_signed (const char *path, const char *body)
{
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, body, -1);
  g_autofree char *text = g_strdup_printf ("tessera cudnn plans 1\n%s\n%s", sum, body);

  write_file (path, text, strlen (text));
}

/* More than a file may hold: it goes, and what comes then is kept again. */
static void
test_full (void)
{
  g_autofree char *path = fill ("full", 1000), *again = NULL, *few = NULL;

  g_assert_cmpuint (count ("full", 30000), ==, 1000);
  again = fill ("full", 30000);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  few = fill ("full", 5);
  g_assert_cmpuint (count ("full", 30000), ==, 5);
}

static void
test_damage (void)
{
  g_autofree char *path = fill ("damage", 20), *good = NULL, *huge = NULL;
  struct stat info;
  gsize n;

  g_assert_cmpuint (count ("damage", 21), ==, 20);
  g_assert_cmpint (g_stat (path, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 022, ==, 0);
  g_assert_true (g_file_get_contents (path, &good, &n, NULL));
  for (gsize i = 0; i < n; i += i < 120 ? 1 : 37) {
    g_autofree char *bad = g_memdup2 (good, n);

    write_file (path, good, i); /* cut */
    g_assert_cmpuint (count ("damage", 20), ==, 0);
    bad[i] ^= 1;
    write_file (path, bad, n);
    g_assert_cmpuint (count ("damage", 20), ==, 0);
    bad[i] = '\0';
    write_file (path, bad, n);
    g_assert_cmpuint (count ("damage", 20), ==, 0);
  }
  huge = g_malloc (3 << 20);
  memset (huge, 'x', 3 << 20);
  memcpy (huge, good, n);
  write_file (path, huge, 3 << 20);
  g_assert_cmpuint (count ("damage", 20), ==, 0);
  g_free (fill ("damage", 20)); /* written anew */
  g_assert_cmpuint (count ("damage", 20), ==, 20);
}

/* Signed, and still not ours: lines that say nothing are passed over, others serve. */
static void
test_foreign (void)
{
  static const char *const lines[] = {
      "",
      "no choice",
      " = ",
      "a = ",
      "a = -1",
      "a = 1 ",
      "a = 99999999999999999999",
      "a = 1 x",
      "a = 1 2:",
      "a = 1 :2",
      "a = 1 -1:2",
      "a = 1 44444:2",
      "a = 0x10",
      "a = 1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 "
      "1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1",
  };
  g_autofree char *path = fill ("foreign", 3), *good = NULL, *body = NULL, *other = NULL;
  g_autoptr (GString) text = NULL;

  g_assert_true (g_file_get_contents (path, &good, NULL, NULL));
  body = g_strdup (strchr (strchr (good, '\n') + 1, '\n') + 1);
  text = g_string_new (body);
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    g_string_append_printf (text, "%s\n", lines[i]);
  write_signed (path, text->str);
  g_assert_cmpuint (count ("foreign", 3), ==, 3);
  other = g_strconcat ("91900 another card\n", strchr (body, '\n') + 1, NULL);
  write_signed (path, other);
  g_assert_cmpuint (count ("foreign", 3), ==, 0);
  write_signed (path, body);
  g_assert_cmpuint (count ("foreign", 3), ==, 3);
  version++; /* another cuDNN */
  g_assert_cmpuint (count ("foreign", 3), ==, 0);
  version--;
  g_assert_cmpuint (count ("foreign\n", 3), ==, 0); /* another card, in one line */
}

/* Where a file should be and is not one, and where none can be. */
static void
test_place (void)
{
  g_autofree char *path = fill ("place", 1);

  g_assert_cmpint (g_unlink (path) | g_mkdir (path, 0700), ==, 0);
  g_assert_cmpuint (count ("place", 1), ==, 0);
  g_free (fill ("place", 1)); /* cannot be kept */
  g_assert_cmpint (g_rmdir (path) | mkfifo (path, 0600), ==, 0);
  g_assert_cmpuint (count ("place", 1), ==, 0); /* and does not wait */
  g_free (fill ("place", 1));                   /* nor is it written to */
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_free (fill ("place", 1));
  g_assert_cmpuint (count ("place", 1), ==, 1);
}

/* Two programs at once: neither takes the other's away. */
static void
test_two (void)
{
  TessCudnnCache *a = tess_cudnn_cache_new (&stub, "two");
  TessCudnnConv conv = small_conv (TESS_DTYPE_BF16, FALSE);
  TessCudnnChoice choice = {.engine = 7, .n_knobs = 2, .knob = {3, 40}, .value = {7, -5}};

  g_free (fill ("two", 3));
  conv.n = 8;
  tess_cudnn_cache_keep (a, &conv, 5, &choice);
  tess_cudnn_cache_free (a);
  g_assert_cmpuint (count ("two", 8), ==, 4);
}

static void
test_off (void)
{
  g_autofree char *path = NULL;

  g_setenv ("TESSERA_CUDA_PLAN_CACHE", "0", TRUE);
  path = fill ("off", 3);
  g_assert_null (path);
  g_unsetenv ("TESSERA_CUDA_PLAN_CACHE");
  g_assert_cmpuint (count ("off", 3), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autofree char *folder = g_dir_make_tmp ("tessera-cache-XXXXXX", NULL);
  int status;

  g_assert_nonnull (folder);
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cuda/cache/again/f32", GINT_TO_POINTER (TESS_DTYPE_F32), test_again);
  g_test_add_data_func ("/cuda/cache/again/bf16", GINT_TO_POINTER (TESS_DTYPE_BF16), test_again);
  g_test_add_func ("/cuda/cache/hostile", test_hostile);
  g_test_add_func ("/cuda/cache/exact", test_exact);
  g_test_add_func ("/cuda/cache/full", test_full);
  g_test_add_func ("/cuda/cache/damage", test_damage);
  g_test_add_func ("/cuda/cache/foreign", test_foreign);
  g_test_add_func ("/cuda/cache/place", test_place);
  g_test_add_func ("/cuda/cache/two", test_two);
  g_test_add_func ("/cuda/cache/off", test_off);
  status = g_test_run ();
  remove_tree (folder);
  return status;
}
