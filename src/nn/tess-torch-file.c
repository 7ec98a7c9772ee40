#include "tess-torch-private.h"

#include <string.h>

/* What torch.save writes: a zip archive whose members share one folder; data.pkl, a pickle in which tensors are calls
 * of torch._utils._rebuild_tensor_v2 on storages kept outside; data/KEY, the storages' bytes; byteorder ("little" where
 * it is absent). Source: torch/serialization.py. */

#define MAX_PICKLE ((gsize)64 << 20)
#define MAX_NAME 1000

void
tess_torch_file_free (TessTorchFile *file)
{
  if (!file)
    return;
  g_clear_pointer (&file->storages, g_hash_table_unref);
  g_clear_pointer (&file->by_name, g_hash_table_unref);
  g_clear_pointer (&file->tensors, g_array_unref);
  g_clear_pointer (&file->names, g_ptr_array_unref);
  g_clear_pointer (&file->pickle, tess_pickle_free);
  g_clear_pointer (&file->zip, tess_zip_unref);
  g_free (file->prefix);
  g_free (file->path);
  g_free (file);
}

static gboolean
fail (const char *path, GError **error, TessError code, const char *format)
{
  g_autofree char *name = g_filename_display_name (path);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

/* Until 1.6 PyTorch wrote bare pickles, and before them tar archives. */
static gboolean
refuse_legacy (const char *path, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, G_MAXUINT64, TESS_PACKING_NONE, error);
  guint8 head[262] = {0};

  if (!stream || tess_stream_read (stream, head, sizeof head, error) < 0)
    return FALSE;
  if (head[0] == 0x80 || memcmp (head + 257, "ustar", 5) == 0)
    return fail (path, error, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: was saved in the form PyTorch had before version 1.6; save it again with a newer one: "
                    "torch.save(torch.load(FILE, weights_only=True), FILE)"));
  if (memcmp (head, "PK", 2) != 0)
    return fail (path, error, TESS_ERROR_FORMAT,
                 _ ("%s: this is no file of PyTorch; give what torch.save wrote, a .pth or .pt file"));
  return TRUE;
}

/* Sets the prefix; data.pkl's member. */
static gboolean
find_pickle (TessTorchFile *file, guint *member, GError **error)
{
  g_autofree char *constants = NULL;
  guint other;

  for (guint i = 0; i < tess_zip_n (file->zip); i++) {
    const char *name = tess_zip_peek_name (file->zip, i), *slash = strchr (name, '/');
    const char *rest = slash ? slash + 1 : name;

    if (strcmp (rest, "data.pkl") != 0)
      continue;
    file->prefix = g_strndup (name, (gsize)(rest - name));
    constants = g_strconcat (file->prefix, "constants.pkl", NULL);
    if (tess_zip_find (file->zip, constants, &other))
      return fail (file->path, error, TESS_ERROR_UNSUPPORTED,
                   _ ("%s: holds a TorchScript program, of which only the weights could be used; save those: "
                      "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"));
    *member = i;
    return TRUE;
  }
  return fail (file->path, error, TESS_ERROR_FORMAT,
               _ ("%s: this zip archive holds no data.pkl, so it is no file of PyTorch; give what torch.save wrote"));
}

static gboolean
read_byte_order (TessTorchFile *file, GError **error)
{
  g_autofree char *name = g_strconcat (file->prefix, "byteorder", NULL);
  g_autoptr (GBytes) bytes = NULL;
  const char *text;
  gboolean big;
  gsize n;
  guint member;

  if (!tess_zip_find (file->zip, name, &member))
    return TRUE;
  bytes = tess_zip_load_member (file->zip, member, 64, error);
  if (!bytes)
    return FALSE;
  text = g_bytes_get_data (bytes, &n);
  big = n == 3 && memcmp (text, "big", 3) == 0;
  if (!big && !(n == 6 && memcmp (text, "little", 6) == 0))
    return fail (file->path, error, TESS_ERROR_FORMAT,
                 _ ("%s: its entry \"byteorder\" is neither \"little\" nor \"big\"; it is damaged, copy it again"));
  file->swapped = big != (G_BYTE_ORDER == G_BIG_ENDIAN);
  return TRUE;
}

static gboolean
read_pickle (TessTorchFile *file, guint member, GError **error)
{
  const TessPickleRules rules = {tess_torch_globals, tess_torch_known_storage, file->path};
  g_autoptr (GBytes) bytes = tess_zip_load_member (file->zip, member, MAX_PICKLE, error);

  if (!bytes)
    return FALSE;
  file->pickle = tess_pickle_parse (bytes, file->path, &rules, error);
  return file->pickle != NULL;
}

static gboolean
holds_tensors (const TessPickleValue *dict)
{
  const TessPickleValue *key, *content;

  for (gsize i = 0; tess_pickle_pair (dict, i, &key, &content); i++)
    if (tess_torch_is_tensor (content))
      return TRUE;
  return FALSE;
}

/* nnU-Net v2's place, that of v1 and most others, other custom, the outermost dict. */
static const TessPickleValue *
find_state_dict (TessTorchFile *file)
{
  static const char *const places[] = {"network_weights", "state_dict", "model_state_dict", "model"};
  const TessPickleValue *root = tess_pickle_root (file->pickle);

  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    const TessPickleValue *dict = tess_pickle_lookup (root, places[i]);

    if (holds_tensors (dict))
      return dict;
  }
  return holds_tensors (root) ? root : NULL;
}

/* The names of a dict's tensors, NULL where another thing stands. */
static GPtrArray *
collect_names (TessTorchFile *file, const TessPickleValue *dict, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const TessPickleValue *key, *content;

  for (gsize i = 0; tess_pickle_pair (dict, i, &key, &content); i++) {
    gsize n;
    const guint8 *text = tess_pickle_bytes (key, &n);

    if (!tess_torch_is_tensor (content)) {
      g_ptr_array_add (names, NULL);
      continue;
    }
    if (!text || tess_pickle_kind (key) != TESS_PICKLE_STRING || n == 0 || n > MAX_NAME || memchr (text, '\0', n)) {
      fail (file->path, error, TESS_ERROR_FORMAT,
            _ ("%s: a tensor in it has no name or one that cannot be; it is no state dict, save model.state_dict()"));
      return NULL;
    }
    g_ptr_array_add (names, g_strndup ((const char *)text, n));
  }
  return g_steal_pointer (&names);
}

/* Takes `wrapper` away from the start of all names, if they all have it. */
static gboolean
strip (GPtrArray *names, const char *wrapper)
{
  gsize n = strlen (wrapper);

  for (guint i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];

    if (name && !(g_str_has_prefix (name, wrapper) && name[n] != '\0'))
      return FALSE;
  }
  for (guint i = 0; i < names->len; i++) {
    char *name = names->pdata[i];

    if (name)
      memmove (name, name + n, strlen (name + n) + 1);
  }
  return TRUE;
}

/* The first name of a tensor for which nnU-Net's networks have several: the decoder holds the encoder, and a block its
 * convolution and norm once by name and once in order. NULL: `name` is no second name. */
static char *
first_name (const char *name)
{
  static const char *const inside[][2] = {{".all_modules.0.", ".conv."}, {".all_modules.1.", ".norm."}};
  const char *start = g_str_has_prefix (name, "decoder.encoder.") ? name + strlen ("decoder.") : name;
  gboolean second = start != name;

  for (guint i = 0; i < G_N_ELEMENTS (inside); i++) {
    const char *at = strstr (start, inside[i][0]);

    if (at)
      return g_strdup_printf ("%.*s%s%s", (int)(at - start), start, inside[i][1], at + strlen (inside[i][0]));
  }
  return second ? g_strdup (start) : NULL;
}

static gboolean
add_tensor (TessTorchFile *file, char *name, const TessPickleValue *value, GError **error)
{
  TessTorchTensor tensor = {.name = name};

  g_ptr_array_add (file->names, name);
  if (!tess_torch_tensor_parse (file, name, value, &tensor, error))
    return FALSE;
  g_array_append_val (file->tensors, tensor);
  if (g_hash_table_insert (file->by_name, name, GUINT_TO_POINTER (file->tensors->len)))
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: holds two tensors named \"%s\"; save the state dict again"), file->path, name);
  return FALSE;
}

static gboolean
read_state_dict (TessTorchFile *file, GError **error)
{
  const TessPickleValue *dict = find_state_dict (file), *key, *content;
  g_autoptr (GPtrArray) names = NULL;
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  if (!dict)
    return fail (file->path, error, TESS_ERROR_FORMAT,
                 _ ("%s: holds no tensors by name; save the network's state dict, torch.save(net.state_dict(), FILE)"));
  names = collect_names (file, dict, error);
  if (!names)
    return FALSE;
  while (strip (names, "module.") || strip (names, "_orig_mod.")) /* of data-parallel training and torch.compile */
    ;
  for (guint i = 0; i < names->len; i++)
    if (names->pdata[i])
      g_hash_table_add (known, names->pdata[i]);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *first = names->pdata[i] ? first_name (names->pdata[i]) : NULL;

    if (!names->pdata[i] || (first && g_hash_table_contains (known, first)))
      continue;
    tess_pickle_pair (dict, i, &key, &content);
    if (!add_tensor (file, g_strdup (names->pdata[i]), content, error))
      return FALSE;
  }
  return TRUE;
}

/**
 * tess_torch_file_open:
 *
 * Reads everything but the tensors' numbers. The state dict is found where nnU-Net v2 ("network_weights"), v1 and most
 * others ("state_dict", ...) keep it, or as the outermost dict. "module." and "_orig_mod." before all names are taken
 * away. Every tensor's place is checked against its storage, so that reading cannot leave it, and no tensor has more
 * elements than its storage holds.
 *
 * Returns: (transfer full): NULL with FORMAT (no such file, or damaged), UNSUPPORTED (another form, or a pickle that
 * wants more than data: what it asks for is named) or IO.
 */
TessTorchFile *
tess_torch_file_open (const char *path, GError **error)
{
  g_autoptr (TessTorchFile) file = g_new0 (TessTorchFile, 1);
  guint member;

  file->path = g_strdup (path);
  file->tensors = g_array_new (FALSE, TRUE, sizeof (TessTorchTensor));
  file->names = g_ptr_array_new_with_free_func (g_free);
  file->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  file->storages = g_hash_table_new_full (NULL, NULL, NULL, tess_torch_storage_free);
  if (!refuse_legacy (path, error))
    return NULL;
  file->zip = tess_zip_open (path, error);
  if (!file->zip || !find_pickle (file, &member, error) || !read_byte_order (file, error) ||
      !read_pickle (file, member, error) || !read_state_dict (file, error))
    return NULL;
  return g_steal_pointer (&file);
}

const char *
tess_torch_file_path (TessTorchFile *file)
{
  return file->path;
}

guint
tess_torch_file_n (TessTorchFile *file)
{
  return file->tensors->len;
}

const TessTorchTensor *
tess_torch_file_nth (TessTorchFile *file, guint i)
{
  g_return_val_if_fail (i < file->tensors->len, NULL);

  return &g_array_index (file->tensors, TessTorchTensor, i);
}

const TessTorchTensor *
tess_torch_file_find (TessTorchFile *file, const char *name)
{
  guint i = GPOINTER_TO_UINT (g_hash_table_lookup (file->by_name, name));

  return i > 0 ? tess_torch_file_nth (file, i - 1) : NULL;
}

const TessPickleValue *
tess_torch_file_value (TessTorchFile *file, const char *key)
{
  return tess_pickle_lookup (tess_pickle_root (file->pickle), key);
}
