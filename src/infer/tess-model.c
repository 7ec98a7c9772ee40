#include "tess-model-private.h"

#include "tess-planner.h"

#include <string.h>

#define KEY_PROVENANCE "tessera.provenance"
#define KEY_STATE "tessera.state"
/* By TessState. */
static const char *const state_prefixes[] = {"", "optimiser.momentum/", "optimiser.variance/"};

char *
tess_model_format_shape (guint n_dims, const gint64 *dim)
{
  GString *s = g_string_new ("{");

  for (guint i = 0; i < n_dims; i++)
    g_string_append_printf (s, "%s%" G_GINT64_FORMAT, i ? ", " : "", dim[i]);
  g_string_append_c (s, '}');
  return g_string_free (s, FALSE);
}

/* The file's tensor `prefix`+name, which must be float32 of the shape the network asks for. */
static const TessSafetensor *
find_parameter (TessModel *model, const char *prefix, const TessTensor *wanted, GError **error)
{
  g_autofree char *name = g_strconcat (prefix, wanted->name, NULL);
  const TessSafetensor *t =
      model->file ? tess_safetensors_find (model->file, name) : g_hash_table_lookup (model->tensors, name);
  g_autofree char *want = tess_model_format_shape (wanted->n_dims, wanted->dim);
  g_autofree char *have = NULL;

  if (!t) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: the tensor \"%s\" that the model's plan asks for is missing; the file is damaged or its plan "
                    "was changed, so save the model again"),
                 model->path, name);
    return NULL;
  }
  if (t->dtype != TESS_DTYPE_F32) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: the tensor \"%s\" is %s, but parameters are kept as float32; convert it first"), model->path,
                 name, tess_dtype_name (t->dtype));
    return NULL;
  }
  if (t->n_dims != wanted->n_dims || memcmp (t->dim, wanted->dim, sizeof (gint64) * wanted->n_dims) != 0) {
    have = tess_model_format_shape (t->n_dims, t->dim);
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_FORMAT,
        _ ("%s: the tensor \"%s\" has the shape %s, but the model's plan asks for %s; the plan inside does not "
           "belong to these weights"),
        model->path, name, have, want);
    return NULL;
  }
  return t;
}

/* The network the plan describes. Building a graph takes no arena memory. */
TessNetwork *
tess_model_build_network (TessModel *model, GError **error)
{
  TessNetworkSpec network_spec;
  TessProgramSpec program_spec;
  TessNetwork *network;

  tess_plan_network_spec (model->plan, &network_spec);
  tess_plan_program_spec (model->plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE, &program_spec);
  network = tess_network_build (&network_spec, &program_spec, error);
  if (!network)
    g_prefix_error (error, "%s: ", model->path);
  return network;
}

static gboolean
check_parameters (TessModel *model, GError **error)
{
  g_autoptr (TessNetwork) network = tess_model_build_network (model, error);

  if (!network)
    return FALSE;
  for (guint i = 0; i < network->graph->tensors->len; i++) {
    const TessTensor *t = tess_graph_tensor (network->graph, i);

    if (t->role == TESS_ROLE_PARAM && !find_parameter (model, "", t, error))
      return FALSE;
  }
  return TRUE;
}

/**
 * tess_model_load:
 * @path: a .safetensors file written by tess_model_save() (a model or a checkpoint), a .pth file of nnU-Net v2, a
 * .model file of version 1 with its .pkl beside it, or the folder of a training with one of these in it
 *
 * Opens the file without copying its tensors (they stay mapped), reads and validates the plan in its metadata, and
 * checks that every parameter of the plan's network is there as float32 with its shape.
 *
 * Returns: (transfer full): the model, or NULL: IO, FORMAT (not safetensors, no plan inside, a parameter missing or
 * of another shape), or what the plan's validation says.
 */
TessModel *
tess_model_load (const char *path, GError **error)
{
  return tess_model_load_dilated (path, NULL, 0, error);
}

static gboolean
read_own_plan (TessModel *model, GError **error)
{
  const char *text;

  model->file = tess_safetensors_open (model->path, error);
  if (!model->file)
    return FALSE;
  text = tess_safetensors_metadata (model->file, TESS_MODEL_KEY_PLAN);
  if (!text) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: holds tensors but no plan, so it is not a model of this program; give a file that "
                    "`tessera-cli train` wrote"),
                 model->path);
    return FALSE;
  }
  model->plan = tess_plan_from_text (text, model->path, error);
  return model->plan != NULL;
}

TessModel *
tess_model_load_dilated (const char *path, const gint64 *dilation, guint n, GError **error)
{
  g_autoptr (TessModel) model = g_new0 (TessModel, 1);
  guint n_folds;

  if (!tess_model_locate (model, path, &n_folds, error))
    return NULL;
  if (!tess_model_is_torch (model->path))
    return read_own_plan (model, error) && check_parameters (model, error) ? g_steal_pointer (&model) : NULL;
  if (!tess_model_load_torch (model, dilation, n, TRUE, error))
    return NULL;
  if (n_folds > 1) {
    g_autofree char *fold = g_path_get_dirname (model->path), *name = g_path_get_basename (fold);

    tess_plan_add_reason (model->plan, _ ("nnU-Net averages the results of all %u folds; here %s alone is used"),
                          n_folds, name);
  }
  return g_steal_pointer (&model);
}

/**
 * tess_model_load_plan:
 * @path: see tess_model_load()
 *
 * For who chooses a model: says at once whether it is one and what it needs. Of other programs' models the weights'
 * names and shapes are compared, but not read.
 *
 * Returns: (transfer full): the plan, or NULL as tess_model_load().
 */
TessPlan *
tess_model_load_plan (const char *path, GError **error)
{
  g_autoptr (TessModel) model = g_new0 (TessModel, 1);
  guint n_folds;
  gboolean ok;

  if (!tess_model_locate (model, path, &n_folds, error))
    return NULL;
  ok = tess_model_is_torch (model->path) ? tess_model_load_torch (model, NULL, 0, FALSE, error)
                                         : read_own_plan (model, error);
  return ok ? tess_plan_ref (model->plan) : NULL;
}

void
tess_model_free (TessModel *model)
{
  if (!model)
    return;
  g_clear_pointer (&model->plan, tess_plan_unref);
  g_clear_pointer (&model->file, tess_safetensors_free);
  g_clear_pointer (&model->tensors, g_hash_table_unref);
  g_free (model->path);
  g_free (model);
}

/* Pointers to the session's parameters inside the file. Bytes in a mapped file need not be aligned for floats: such
 * a tensor is copied, and `copies` owns it. */
static gboolean
collect (TessModel *model, TessSession *session, const char *prefix, const float **data, GPtrArray *copies,
         GError **error)
{
  for (guint i = 0; i < tess_session_n_params (session); i++) {
    const TessSafetensor *t = find_parameter (model, prefix, tess_session_param (session, i), error);

    if (!t)
      return FALSE;
    if (GPOINTER_TO_SIZE (t->data) % sizeof (float) == 0) {
      data[i] = t->data;
    } else {
      void *copy = g_try_malloc (t->bytes);

      if (!copy) {
        g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("%s: not enough memory to read the weights"),
                     model->path);
        return FALSE;
      }
      memcpy (copy, t->data, t->bytes);
      g_ptr_array_add (copies, copy);
      data[i] = copy;
    }
  }
  return TRUE;
}

/* The states there are: parameters, and with the optimiser's its one or two. */
static TessState
last_state (TessSession *session, gboolean optimiser)
{
  if (!optimiser)
    return TESS_STATE_PARAM;
  return tess_session_has_variance (session) ? TESS_STATE_VARIANCE : TESS_STATE_MOMENTUM;
}

/**
 * tess_model_copy_params:
 * @model: a loaded model
 * @session: a bound session of the model's network
 * @momentum: also copy the optimiser's momentum, which only checkpoints hold
 *
 * Copies the parameters (and with @momentum the optimiser state too) into the session.
 *
 * Returns: FALSE with FORMAT when a tensor is missing or of another shape, or the backend's error.
 */
gboolean
tess_model_copy_params (TessModel *model, TessSession *session, gboolean momentum, GError **error)
{
  g_autofree const float **data = g_new0 (const float *, tess_session_n_params (session) + 1);
  g_autoptr (GPtrArray) copies = g_ptr_array_new_with_free_func (g_free);

  for (TessState s = TESS_STATE_PARAM; s <= last_state (session, momentum); s++)
    if (!collect (model, session, state_prefixes[s], data, copies, error) ||
        !tess_session_set_params (session, s, data, error))
      return FALSE;
  return TRUE;
}

/* Reads the session's parameters (or the optimiser's state of them) and hands them to the writer; `buffers` owns the
 * bytes. */
static gboolean
add_tensors (TessSafetensorsWriter *writer, TessSession *session, TessState state, GPtrArray *buffers, GError **error)
{
  guint n = tess_session_n_params (session);
  g_autofree float **data = g_new0 (float *, n + 1);

  for (guint i = 0; i < n; i++) {
    const TessTensor *t = tess_session_param (session, i);

    data[i] = g_try_malloc (t->bytes);
    if (!data[i]) {
      g_set_error_literal (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("not enough memory to save the weights"));
      return FALSE;
    }
    g_ptr_array_add (buffers, data[i]);
  }
  if (!tess_session_get_params (session, state, data, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    const TessTensor *t = tess_session_param (session, i);
    char *name = g_strconcat (state_prefixes[state], t->name, NULL);

    g_ptr_array_add (buffers, name);
    tess_safetensors_writer_add (writer, name, TESS_DTYPE_F32, t->n_dims, t->dim, data[i]);
  }
  return TRUE;
}

/**
 * tess_model_save:
 * @path: the file to write, replaced atomically
 * @plan: kept in the metadata
 * @session: whose parameters are written under PyTorch's names, float32
 * @provenance_json: (nullable): who made this, from what
 * @state_json: (nullable): the trainer's state; with it the momentum is written too (a checkpoint)
 *
 * The metadata also says "format": "pt", which other readers of safetensors ask for.
 *
 * Returns: FALSE with IO or the backend's error.
 */
gboolean
tess_model_save (const char *path, const TessPlan *plan, TessSession *session, const char *provenance_json,
                 const char *state_json, GError **error)
{
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *text = tess_plan_to_text (plan);

  tess_safetensors_writer_metadata (writer, "format", "pt");
  tess_safetensors_writer_metadata (writer, TESS_MODEL_KEY_PLAN, text);
  if (provenance_json)
    tess_safetensors_writer_metadata (writer, KEY_PROVENANCE, provenance_json);
  if (state_json)
    tess_safetensors_writer_metadata (writer, KEY_STATE, state_json);
  for (TessState s = TESS_STATE_PARAM; s <= last_state (session, state_json != NULL); s++)
    if (!add_tensors (writer, session, s, buffers, error)) {
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  return tess_safetensors_writer_save (writer, path, error);
}
