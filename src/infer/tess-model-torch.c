/* Models of PyTorch. nnU-Net v2: its checkpoints hold plans, dataset.json and weights, so that one file is a whole
 * model. Version 1: see tess-model-nnunet1.c. */

#include "tess-model-private.h"

#include "tess-numpy.h"
#include "tess-plan-nnunet.h"
#include "tess-torch-file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_BYTES ((gsize)64 << 20) /* of a checkpoint's plans, a value counted as VALUE_BYTES and its text */
#define VALUE_BYTES 64
#define MAX_DEPTH 50
#define MAX_NAMED 10   /* tensors in a message */
#define MAX_NUMBERS 64 /* of one of NumPy's arrays */

gboolean
tess_model_is_torch (const char *path)
{
  g_autofree char *lower = g_ascii_strdown (path, -1);
  FILE *file;
  char head[4] = "";

  if (g_str_has_suffix (lower, ".pth") || g_str_has_suffix (lower, ".pt") || g_str_has_suffix (lower, ".model"))
    return TRUE;
  if (g_str_has_suffix (lower, ".safetensors") || !g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return FALSE;
  file = fopen (path, "rb");
  if (!file)
    return FALSE;
  if (fread (head, 1, 4, file) != 4)
    head[0] = '\0';
  fclose (file);
  return memcmp (head, "PK\x03\x04", 4) == 0;
}

static JsonNode *to_json (const TessPickleValue *value, guint depth, gsize *budget);

/* A string's or number's text as a name or value of JSON, NULL: it is none, or there is too much of it. */
static char *
text_of (const TessPickleValue *value, gsize *budget)
{
  gint64 integer;
  gsize n;

  if (tess_pickle_int (value, &integer))
    return g_strdup_printf ("%" G_GINT64_FORMAT, integer);
  if (!value || tess_pickle_kind (value) != TESS_PICKLE_STRING || !tess_pickle_bytes (value, &n) || n > *budget)
    return NULL;
  *budget -= n;
  return g_strndup ((const char *)tess_pickle_bytes (value, &n), n);
}

static JsonNode *
list_to_json (const TessPickleValue *list, guint depth, gsize *budget)
{
  g_autoptr (JsonNode) node = json_node_alloc ();
  JsonArray *array = json_array_new ();

  json_node_take_array (json_node_init (node, JSON_NODE_ARRAY), array);
  for (gsize i = 0; i < tess_pickle_n (list); i++) {
    JsonNode *element = to_json (tess_pickle_nth (list, i), depth, budget);

    if (!element)
      return NULL;
    json_array_add_element (array, element);
  }
  return g_steal_pointer (&node);
}

static JsonNode *
dict_to_json (const TessPickleValue *dict, guint depth, gsize *budget)
{
  g_autoptr (JsonNode) node = json_node_alloc ();
  JsonObject *object = json_object_new ();
  const TessPickleValue *key, *content;

  json_node_take_object (json_node_init (node, JSON_NODE_OBJECT), object);
  for (gsize i = 0; tess_pickle_pair (dict, i, &key, &content); i++) {
    g_autofree char *name = text_of (key, budget);
    JsonNode *member = name ? to_json (content, depth, budget) : NULL;

    if (!member)
      return NULL;
    json_object_set_member (object, name, member);
  }
  return g_steal_pointer (&node);
}

static JsonNode *
number_to_json (double value)
{
  JsonNode *node = json_node_alloc ();

  return value == floor (value) && fabs (value) < 0x1p53 ? json_node_init_int (node, (gint64)value)
                                                         : json_node_init_double (node, value);
}

/* One of NumPy's scalars or a short array of its numbers; other objects are null. */
static JsonNode *
object_to_json (const TessPickleValue *object, gsize *budget)
{
  JsonNode *node;
  JsonArray *array;
  double values[MAX_NUMBERS];
  guint n;

  if (*budget < MAX_NUMBERS * VALUE_BYTES || !tess_numpy_value_read (object, values, MAX_NUMBERS, &n))
    return json_node_init_null (json_node_alloc ());
  if (n == 1 && g_str_has_suffix (tess_pickle_global (object), ".scalar"))
    return number_to_json (values[0]);
  *budget -= n * VALUE_BYTES;
  array = json_array_sized_new (n);
  for (guint i = 0; i < n; i++)
    json_array_add_element (array, number_to_json (values[i]));
  node = json_node_init (json_node_alloc (), JSON_NODE_ARRAY);
  json_node_take_array (node, array);
  return node;
}

/* A pickle's plain data and NumPy's numbers as JSON would have them; what is neither is null. A value may stand in many
 * places and even in itself, so that depth and bytes are bounded: NULL when there is too much. */
static JsonNode *
to_json (const TessPickleValue *value, guint depth, gsize *budget)
{
  g_autofree char *text = NULL;
  gboolean truth = FALSE;
  gint64 integer = 0;
  double real = 0;

  if (depth > MAX_DEPTH || *budget < VALUE_BYTES)
    return NULL;
  *budget -= VALUE_BYTES;
  switch (value ? tess_pickle_kind (value) : TESS_PICKLE_NONE) {
  case TESS_PICKLE_BOOL:
    tess_pickle_bool (value, &truth);
    return json_node_init_boolean (json_node_alloc (), truth);
  case TESS_PICKLE_INT:
    tess_pickle_int (value, &integer);
    return json_node_init_int (json_node_alloc (), integer);
  case TESS_PICKLE_FLOAT:
    tess_pickle_number (value, &real);
    return json_node_init_double (json_node_alloc (), real);
  case TESS_PICKLE_STRING:
    text = text_of (value, budget);
    return text ? json_node_init_string (json_node_alloc (), text) : NULL;
  case TESS_PICKLE_LIST:
  case TESS_PICKLE_TUPLE:
    return list_to_json (value, depth + 1, budget);
  case TESS_PICKLE_DICT:
    return dict_to_json (value, depth + 1, budget);
  case TESS_PICKLE_OBJECT:
    return object_to_json (value, budget);
  default:
    return json_node_init_null (json_node_alloc ());
  }
}

JsonNode *
tess_model_json_of_pickle (const TessPickleValue *value)
{
  gsize budget = MAX_BYTES;

  return to_json (value, 0, &budget);
}

/* One of init_args' dicts. */
static JsonNode *
argument (const TessPickleValue *args, const char *key, const char *path, GError **error)
{
  g_autoptr (JsonNode) node = tess_model_json_of_pickle (tess_pickle_lookup (args, key));

  if (node && JSON_NODE_HOLDS_OBJECT (node))
    return g_steal_pointer (&node);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: its \"init_args\" hold no \"%s\" as nnU-Net v2 writes them; give a checkpoint that nnU-Net's "
                  "trainer saved"),
               path, key);
  return NULL;
}

static gboolean
refuse_without_plans (TessTorchFile *file, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: holds weights but no plans, so it is not a whole model; give a checkpoint that nnU-Net v2's "
                  "trainer saved (checkpoint_final.pth)"),
               tess_torch_file_path (file));
  return FALSE;
}

/* Axes that may be mirrored, in nnU-Net's order (those of a slice are its last two); as many as it has mirrored copies
 * for. */
static void
read_mirroring (TessTorchFile *file, TessPlan *plan, const guint axes[3])
{
  const TessPickleValue *allowed = tess_torch_file_value (file, "inference_allowed_mirroring_axes");
  gint64 first = plan->network.slice_axis > 0 ? 1 : 0;

  for (guint a = 0; a < 3; a++)
    plan->augmentation.mirror_probability[a] = 0.0;
  for (gsize i = 0; i < tess_pickle_n (allowed); i++) {
    gint64 axis;

    if (tess_pickle_int (tess_pickle_nth (allowed, i), &axis) && axis >= 0 && axis < 3 - first)
      plan->augmentation.mirror_probability[2 - axes[first + axis]] = 0.5;
  }
  if (tess_pickle_n (allowed) > 0)
    tess_plan_add_reason (plan, _ ("nnU-Net predicts the mean over mirrored copies of a scan; here predict --mirror "
                                   "does, and else each is seen once"));
}

static TessPlan *
read_plan (TessTorchFile *file, guint axes[3], GError **error)
{
  const TessPickleValue *args = tess_torch_file_value (file, "init_args");
  const char *path = tess_torch_file_path (file);
  g_autoptr (JsonNode) plans = NULL;
  g_autoptr (JsonNode) dataset = NULL;
  g_autofree char *configuration = NULL;
  const guint8 *text;
  TessPlan *plan;
  gsize n = 0;

  if (!args) {
    refuse_without_plans (file, error);
    return NULL;
  }
  plans = argument (args, "plans", path, error);
  dataset = plans ? argument (args, "dataset_json", path, error) : NULL;
  if (!dataset)
    return NULL;
  text = tess_pickle_bytes (tess_pickle_lookup (args, "configuration"), &n);
  configuration = g_utf8_make_valid (text ? (const char *)text : "", (gssize)n);
  plan = tess_plan_from_nnunet (json_node_get_object (plans), configuration, json_node_get_object (dataset), path, axes,
                                error);
  if (plan)
    read_mirroring (file, plan, axes);
  return plan;
}

/* ---- weights ---- */

/* What does not fit, in three lists of names. */
typedef struct {
  GString *missing, *shape, *extra;
  guint n_missing, n_shape, n_extra;
} Mismatch;

static void
note (GString *list, guint *n, const char *text)
{
  if (++*n <= MAX_NAMED)
    g_string_append_printf (list, "%s%s", *n > 1 ? ", " : "", text);
}

static void
finish (GString *sentence, const char *what, GString *list, guint n)
{
  if (n == 0)
    return;
  g_string_append_printf (sentence, "%s%s: %s", sentence->len ? "; " : "", what, list->str);
  if (n > MAX_NAMED)
    g_string_append_printf (sentence, g_dngettext (GETTEXT_PACKAGE, " and %u more", " and %u more", n - MAX_NAMED),
                            n - MAX_NAMED);
}

static gboolean
mismatch_end (Mismatch *m, const char *path, GError **error)
{
  g_autoptr (GString) all = g_string_new (NULL);

  finish (all, _ ("missing"), m->missing, m->n_missing);
  finish (all, _ ("of another shape"), m->shape, m->n_shape);
  finish (all, _ ("not of this network"), m->extra, m->n_extra);
  g_string_free (m->missing, TRUE);
  g_string_free (m->shape, TRUE);
  g_string_free (m->extra, TRUE);
  if (all->len == 0)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: its weights are not those of the network its plans describe (%s); they come from another "
                  "trainer or program"),
               path, all->str);
  return FALSE;
}

/* The three spatial axes of weights; those of slices lack one, at place `at`. */
static void
spatial (const gint64 *dim, guint n_dims, guint at, gint64 out[3])
{
  guint from = 2;

  for (guint i = 0; i < 3; i++)
    out[i] = n_dims == 4 && i == at ? 1 : dim[from++];
}

/* Whether the file's tensor is the wanted one with its spatial axes turned. */
static gboolean
same_shape (const TessTorchTensor *t, const TessTensor *wanted, const guint axes[3])
{
  gint64 have[3], want[3];

  if (t->n_dims != wanted->n_dims)
    return FALSE;
  for (guint i = 0; i < MIN (t->n_dims, 2); i++)
    if (t->dim[i] != wanted->dim[i])
      return FALSE;
  if (t->n_dims < 4)
    return TRUE;
  spatial (t->dim, t->n_dims, 0, have);
  spatial (wanted->dim, wanted->n_dims, axes[0], want);
  return have[0] == want[axes[0]] && have[1] == want[axes[1]] && have[2] == want[axes[2]];
}

/* What the file calls a parameter: nnU-Net v1 has other names, and no biases in some places. */
static char *
name_in_file (TessModel *model, TessTorchFile *file, const TessTensor *wanted)
{
  return tess_model_is_nnunet1 (file) ? tess_model_nnunet1_name (model->plan, wanted->name) : g_strdup (wanted->name);
}

static gboolean
check_weights (TessModel *model, TessTorchFile *file, TessNetwork *network, const guint axes[3], GError **error)
{
  Mismatch m = {.missing = g_string_new (NULL), .shape = g_string_new (NULL), .extra = g_string_new (NULL)};
  g_autoptr (GHashTable) used = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < network->graph->tensors->len; i++) {
    const TessTensor *wanted = tess_graph_tensor (network->graph, i);
    g_autofree char *name = wanted->role == TESS_ROLE_PARAM ? name_in_file (model, file, wanted) : NULL;
    const TessTorchTensor *t = name ? tess_torch_file_find (file, name) : NULL;

    if (!name)
      continue;
    if (t)
      g_hash_table_add (used, (gpointer)t);
    if (!t && !tess_model_nnunet1_lacks (file, wanted->name)) {
      note (m.missing, &m.n_missing, name);
    } else if (t && !same_shape (t, wanted, axes)) {
      g_autofree char *have = tess_model_format_shape (t->n_dims, t->dim);
      g_autofree char *want = tess_model_format_shape (wanted->n_dims, wanted->dim);
      g_autofree char *text = g_strdup_printf (_ ("%s %s instead of %s"), t->name, have, want);

      note (m.shape, &m.n_shape, text);
    }
  }
  for (guint i = 0; i < tess_torch_file_n (file); i++) {
    const TessTorchTensor *t = tess_torch_file_nth (file, i);

    if (!g_hash_table_contains (used, t))
      note (m.extra, &m.n_extra, t->name);
  }
  return mismatch_end (&m, tess_torch_file_path (file), error);
}

/* {out, in, d, h, w} of nnU-Net's axes, d left out of slices, to that of the scan's. */
static void
turn (const TessTorchTensor *t, const guint axes[3], const float *from, float *to)
{
  gint64 stride[3], dim[3]; /* of the result, by the scan's axes */
  gint64 own[3];
  gsize n = (gsize)(t->dim[0] * t->dim[1]), volume;

  spatial (t->dim, t->n_dims, 0, own);
  volume = (gsize)(own[0] * own[1] * own[2]);
  for (guint i = 0; i < 3; i++)
    dim[axes[i]] = own[i];
  stride[2] = 1;
  stride[1] = dim[2];
  stride[0] = dim[1] * dim[2];
  for (gsize k = 0; k < n; k++, to += volume)
    for (gint64 a = 0; a < own[0]; a++)
      for (gint64 b = 0; b < own[1]; b++)
        for (gint64 c = 0; c < own[2]; c++)
          to[a * stride[axes[0]] + b * stride[axes[1]] + c * stride[axes[2]]] = *from++;
}

static void
tensor_free (gpointer tensor)
{
  TessSafetensor *t = tensor;

  g_free ((gpointer)t->name);
  g_free ((gpointer)t->dim);
  g_free ((gpointer)t->data);
  g_free (t);
}

/* data: float32, taken. */
void
tess_model_take_tensor (TessModel *model, const char *name, guint n_dims, const gint64 *dim, float *data)
{
  TessSafetensor *out = g_new0 (TessSafetensor, 1);

  out->name = g_strdup (name);
  out->dtype = TESS_DTYPE_F32;
  out->n_dims = n_dims;
  out->dim = g_memdup2 (dim, sizeof (gint64) * n_dims);
  out->bytes = sizeof (float);
  for (guint i = 0; i < n_dims; i++)
    out->bytes *= (gsize)dim[i];
  out->data = data;
  g_hash_table_insert (model->tensors, (gpointer)out->name, out);
}

static gboolean
read_tensor (TessModel *model, TessTorchFile *file, const TessTensor *wanted, const guint axes[3], GError **error)
{
  g_autofree char *name = name_in_file (model, file, wanted);
  const TessTorchTensor *t = tess_torch_file_find (file, name);
  g_autofree float *data = g_try_malloc0 (wanted->bytes), *turned = NULL; /* a bias that the file lacks: zeros */
  gboolean turns = t && t->n_dims >= 4 && (axes[0] != 0 || axes[1] != 1);

  if (turns)
    turned = g_try_malloc (wanted->bytes);
  if (!data || (turns && !turned)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: not enough memory to read the weights"), model->path);
    return FALSE;
  }
  if (t && !tess_torch_file_read_f32 (file, t, data, wanted->bytes / sizeof (float), error))
    return FALSE;
  if (turns)
    turn (t, axes, data, turned);
  tess_model_take_tensor (model, wanted->name, wanted->n_dims, wanted->dim,
                          turns ? g_steal_pointer (&turned) : g_steal_pointer (&data));
  return TRUE;
}

/* Sets plan and tensors. nnU-Net may have turned the scans' axes for training: then the weights' axes are turned back,
 * which is the same network on the scans as they are. */
gboolean
tess_model_load_torch (TessModel *model, const gint64 *dilation, guint n_dilation, gboolean weights, GError **error)
{
  g_autoptr (TessTorchFile) file = tess_torch_file_open (model->path, error);
  g_autoptr (TessNetwork) network = NULL;
  guint axes[3];

  if (!file)
    return FALSE;
  model->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, tensor_free);
  if (tess_model_is_meshnet (file))
    return tess_model_load_meshnet (model, file, dilation, n_dilation, error);
  model->plan =
      tess_model_is_nnunet1 (file) ? tess_model_read_nnunet1_plan (file, axes, error) : read_plan (file, axes, error);
  if (!model->plan)
    return FALSE;
  network = tess_model_build_network (model, error);
  if (!network || !check_weights (model, file, network, axes, error))
    return FALSE;
  for (guint i = 0; weights && i < network->graph->tensors->len; i++) {
    const TessTensor *t = tess_graph_tensor (network->graph, i);

    if (t->role == TESS_ROLE_PARAM && !read_tensor (model, file, t, axes, error))
      return FALSE;
  }
  return TRUE;
}
