#include "tess-atomic-file.h"
#include "tess-onnx-private.h"
#include "tess-protobuf.h"

#include <string.h>

/* A network of ours as an ONNX file: operators of set 17, file format 8, which onnxruntime has since 1.12. Written in
 * one go: what is small is made first, so that all lengths are known; weights then go from where they lie to the file.
 * Source: onnx/onnx.proto of github.com/onnx/onnx (numbers of fields). */

#define IR_VERSION 8
#define OPSET 17
#define MOST G_MAXINT32 /* bytes; protocol buffers end there */

enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER, MODEL_GRAPH = 7, MODEL_OPSET, MODEL_METADATA = 14 };
enum { OPSET_VERSION = 2 };
enum { PROPERTY_KEY = 1, PROPERTY_VALUE };
enum { GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { VALUE_NAME = 1, VALUE_TYPE };
enum { TYPE_TENSOR = 1, TENSOR_TYPE_ELEMENT = 1, TENSOR_TYPE_SHAPE, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME };
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE, TENSOR_NAME = 8, TENSOR_RAW_DATA };
enum { DATA_FLOAT = 1 };

static void
put_dim (GByteArray *shape, const char *name, gint64 value)
{
  GByteArray *dim = g_byte_array_new ();

  if (name)
    tess_protobuf_text (dim, DIM_NAME, name);
  else
    tess_protobuf_int (dim, DIM_VALUE, value);
  tess_protobuf_message (shape, SHAPE_DIM, dim);
}

/* An end of the network: {batch, channels, axes}, the axes by name where any size goes. */
static void
put_end (const TessOnnx *onnx, GByteArray *out, guint field, TessId id)
{
  static const char *const names[3] = {"depth", "height", "width"};
  const TessTensor *t = tess_graph_tensor (onnx->graph, id);
  g_autofree char *name = tess_onnx_value (onnx, id);
  GByteArray *shape = g_byte_array_new (), *tensor = g_byte_array_new (), *type = g_byte_array_new ();
  GByteArray *value = g_byte_array_new ();

  put_dim (shape, "batch", 0);
  put_dim (shape, NULL, t->dim[4]);
  for (guint a = 0; a < 3; a++)
    if (onnx->flat != a + 1)
      put_dim (shape, onnx->fixed ? NULL : names[a], t->dim[1 + a]);
  tess_protobuf_int (tensor, TENSOR_TYPE_ELEMENT, DATA_FLOAT);
  tess_protobuf_message (tensor, TENSOR_TYPE_SHAPE, shape);
  tess_protobuf_message (type, TYPE_TENSOR, tensor);
  tess_protobuf_text (value, VALUE_NAME, name);
  tess_protobuf_message (value, VALUE_TYPE, type);
  tess_protobuf_message (out, field, value);
}

/* An initialiser up to its values, which follow; its own key and length included. */
static GByteArray *
weight_head (const TessOnnx *onnx, const TessOnnxWeight *w)
{
  const TessTensor *t = tess_graph_tensor (onnx->graph, w->id);
  g_autoptr (GByteArray) inside = g_byte_array_new ();
  GByteArray *out = g_byte_array_new ();

  for (guint i = 0; i < w->n_dims; i++)
    tess_protobuf_int (inside, TENSOR_DIMS, w->dim[i]);
  tess_protobuf_int (inside, TENSOR_DATA_TYPE, DATA_FLOAT);
  tess_protobuf_text (inside, TENSOR_NAME, t->name);
  tess_protobuf_tag (inside, TENSOR_RAW_DATA, t->bytes);
  tess_protobuf_tag (out, GRAPH_INITIALIZER, inside->len + t->bytes);
  g_byte_array_append (out, inside->data, inside->len);
  return out;
}

static GByteArray *
model_head (const char *const *properties)
{
  GByteArray *out = g_byte_array_new (), *opset = g_byte_array_new ();

  tess_protobuf_int (out, MODEL_IR_VERSION, IR_VERSION);
  tess_protobuf_text (out, MODEL_PRODUCER, "tessera");
  tess_protobuf_int (opset, OPSET_VERSION, OPSET);
  tess_protobuf_message (out, MODEL_OPSET, opset);
  for (guint i = 0; properties[i]; i += 2) {
    GByteArray *property = g_byte_array_new ();

    tess_protobuf_text (property, PROPERTY_KEY, properties[i]);
    tess_protobuf_text (property, PROPERTY_VALUE, properties[i + 1]);
    tess_protobuf_message (out, MODEL_METADATA, property);
  }
  return out;
}

static gboolean
write_file (const TessOnnx *onnx, GByteArray *head, GByteArray *graph, GPtrArray *heads, TessOnnxParam param,
            gpointer user_data, const char *path, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);

  if (!file || !tess_atomic_file_write (file, head->data, head->len, error) ||
      !tess_atomic_file_write (file, graph->data, graph->len, error))
    return FALSE;
  for (guint i = 0; i < heads->len; i++) {
    const TessTensor *t = tess_graph_tensor (onnx->graph, g_array_index (onnx->weights, TessOnnxWeight, i).id);
    const GByteArray *h = heads->pdata[i];

    if (!tess_atomic_file_write (file, h->data, h->len, error) ||
        !tess_atomic_file_write (file, param (t, user_data), t->bytes, error))
      return FALSE;
  }
  return tess_atomic_file_commit (file, error);
}

static gboolean
save (TessOnnx *onnx, TessOnnxParam param, gpointer user_data, const char *const *properties, const char *path,
      GError **error)
{
  g_autoptr (GByteArray) head = model_head (properties), graph = g_byte_array_new ();
  g_autoptr (GPtrArray) heads = g_ptr_array_new_with_free_func ((GDestroyNotify)g_byte_array_unref);
  guint64 size;

  for (guint i = 0; i < onnx->graph->n_forward; i++)
    if (!tess_onnx_add_op (onnx, i, error)) {
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  g_byte_array_append (graph, onnx->nodes->data, onnx->nodes->len);
  tess_protobuf_text (graph, GRAPH_NAME, "network");
  put_end (onnx, graph, GRAPH_INPUT, onnx->network->image);
  put_end (onnx, graph, GRAPH_OUTPUT, onnx->network->logits[0]);
  g_byte_array_append (graph, onnx->constants->data, onnx->constants->len);
  size = graph->len;
  for (guint i = 0; i < onnx->weights->len; i++) {
    const TessOnnxWeight *w = &g_array_index (onnx->weights, TessOnnxWeight, i);
    GByteArray *h = weight_head (onnx, w);

    g_ptr_array_add (heads, h);
    size += h->len + tess_graph_tensor (onnx->graph, w->id)->bytes;
  }
  if (size + head->len + 16 > MOST) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: the network's weights take %.1f GB, but an ONNX file ends at 2 GB; keep the model as "
                    ".safetensors or .pth"),
                 path, (double)size * 1e-9);
    return FALSE;
  }
  tess_protobuf_tag (head, MODEL_GRAPH, size);
  return write_file (onnx, head, graph, heads, param, user_data, path, error);
}

/**
 * tess_onnx_save:
 * @network: of kind INFER and float32; its finest logits are the file's result
 * @slice_axis: the spec's; of a network of slices the file has no axis across them
 *
 * One input "image" {batch, channels, depth, height, width} and one output "logits" {batch, classes, ...}, float32. The
 * batch may have any size, the other axes, too, unless an op was made for the patch's size (Resize, Slice, Pad). A norm
 * sees all that it is given, so that other sizes than the patch's give other logits, as they do here.
 *
 * Equal contents make equal files. Returns: FALSE with UNSUPPORTED (an op that ONNX lacks, more than 2 GB) or IO.
 */
gboolean
tess_onnx_save (const TessNetwork *network, guint slice_axis, TessOnnxParam param, gpointer user_data,
                const char *const *properties, const char *path, GError **error)
{
  TessOnnx onnx = {.network = network, .graph = network->graph, .flat = slice_axis};
  gboolean ok;

  g_return_val_if_fail (slice_axis <= 3 && network->labels == TESS_NONE, FALSE);
  onnx.nodes = g_byte_array_new ();
  onnx.constants = g_byte_array_new ();
  onnx.weights = g_array_new (FALSE, FALSE, sizeof (TessOnnxWeight));
  ok = save (&onnx, param, user_data, properties, path, error);
  g_byte_array_unref (onnx.nodes);
  g_byte_array_unref (onnx.constants);
  g_array_unref (onnx.weights);
  return ok;
}
