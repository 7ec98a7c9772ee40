/* Pickles as Python wrote them (tests/reference/numpy_pairs.py), and such as nobody should run. */
#include "tess-json.h"
#include "tess-pickle.h"
#include "tess-zip.h"

#include <math.h>
#include <string.h>

static const char *const plain[] = {TESS_PICKLE_PLAIN_GLOBALS, NULL};
static const TessPickleRules plain_rules = {.globals = plain};

static TessPickle *
parse (const void *data, gsize n, const TessPickleRules *rules, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, n);

  return tess_pickle_parse (bytes, "x.pkl", rules, error);
}

static GBytes *
decode (JsonObject *o)
{
  gsize n;
  guchar *data = g_base64_decode (json_object_get_string_member (o, "file"), &n);

  return g_bytes_new_take (data, n);
}

static gboolean equal (const TessPickleValue *value, JsonNode *node);

static gboolean
equal_object (const TessPickleValue *value, JsonObject *o)
{
  g_autoptr (GList) members = json_object_get_members (o);
  gboolean same = tess_pickle_kind (value) == TESS_PICKLE_DICT && tess_pickle_n (value) == g_list_length (members);

  for (GList *m = members; m && same; m = m->next) {
    const TessPickleValue *content = tess_pickle_lookup (value, m->data);

    same = content && equal (content, json_object_get_member (o, m->data));
  }
  return same;
}

/* A tuple is a list in JSON. */
static gboolean
equal_array (const TessPickleValue *value, JsonArray *array)
{
  gboolean same = (tess_pickle_kind (value) == TESS_PICKLE_LIST || tess_pickle_kind (value) == TESS_PICKLE_TUPLE) &&
                  tess_pickle_n (value) == json_array_get_length (array);

  for (guint i = 0; same && i < json_array_get_length (array); i++)
    same = equal (tess_pickle_nth (value, i), json_array_get_element (array, i));
  return same;
}

static gboolean
equal (const TessPickleValue *value, JsonNode *node)
{
  gboolean boolean;
  double real;
  gint64 n;

  if (JSON_NODE_HOLDS_OBJECT (node))
    return equal_object (value, json_node_get_object (node));
  if (JSON_NODE_HOLDS_ARRAY (node))
    return equal_array (value, json_node_get_array (node));
  if (JSON_NODE_HOLDS_NULL (node))
    return tess_pickle_kind (value) == TESS_PICKLE_NONE;
  switch (json_node_get_value_type (node)) {
  case G_TYPE_BOOLEAN:
    return tess_pickle_bool (value, &boolean) && boolean == json_node_get_boolean (node);
  case G_TYPE_INT64:
    return tess_pickle_kind (value) == TESS_PICKLE_INT && tess_pickle_int (value, &n) && n == json_node_get_int (node);
  case G_TYPE_DOUBLE:
    return tess_pickle_kind (value) == TESS_PICKLE_FLOAT && tess_pickle_number (value, &real) &&
           real == json_node_get_double (node);
  default:
    return tess_pickle_kind (value) == TESS_PICKLE_STRING && tess_pickle_is_text (value, json_node_get_string (node));
  }
}

static JsonNode *
reference (const char *name)
{
  g_autoptr (GError) error = NULL;
  JsonNode *root = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", name, NULL), &error);

  g_assert_no_error (error);
  return root;
}

static void
test_values (void)
{
  g_autoptr (JsonNode) root = reference ("numpy_pairs_2.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "values");

  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    g_autoptr (GBytes) bytes = decode (o);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPickle) pickle = tess_pickle_parse (bytes, "x.pkl", &plain_rules, &error);

    if (error)
      g_error ("%s: %s", json_object_get_string_member (o, "name"), error->message);
    if (!equal (tess_pickle_root (pickle), json_object_get_member (o, "value")))
      g_error ("%s is not what Python wrote", json_object_get_string_member (o, "name"));
  }
  g_assert_cmpuint (json_array_get_length (list), >, 100);
}

static void
test_bytes (void)
{
  g_autoptr (JsonNode) root = reference ("numpy_pairs_2.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "bytes");

  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    g_autoptr (GBytes) bytes = decode (o);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPickle) pickle = tess_pickle_parse (bytes, "x.pkl", &plain_rules, &error);
    const guint8 *data;
    gsize n;

    g_assert_no_error (error);
    data = tess_pickle_bytes (tess_pickle_root (pickle), &n);
    g_assert_cmpuint (n, ==, 256);
    for (guint k = 0; k < 256; k++)
      g_assert_cmpuint (data[k], ==, k);
  }
}

static void
assert_refused (const void *data, gsize n, int code, const char *names)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPickle) pickle = parse (data, n, &plain_rules, &error);

  g_assert_null (pickle);
  g_assert_nonnull (error);
  if (error->code != code || (names && !strstr (error->message, names)))
    g_error ("%s (expected %s, %d)", error->message, names ? names : "", code);
  g_assert_true (g_str_has_prefix (error->message, "x.pkl: "));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

/* What an attacker would write: refused by its name, whatever way it is spelt. */
static void
test_hostile (void)
{
#define REFUSE(bytes, name) assert_refused (bytes, sizeof bytes - 1, TESS_ERROR_UNSUPPORTED, name)
  REFUSE ("cos\nsystem\n(S'echo hello'\ntR.", "os.system");
  REFUSE ("cposix\nsystem\n(S'echo hello'\ntR.", "posix.system");
  REFUSE ("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.", "os.system");
  REFUSE ("\x80\x02"
          "c__builtin__\neval\nX\x03\x00\x00\x00"
          "1+1\x85R.",
          "__builtin__.eval");
  REFUSE ("c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR.", "__builtin__.getattr");
  REFUSE ("(S'echo hello'\nios\nsystem\n.", "os.system");
  REFUSE ("(c__builtin__\nset\no.", "OBJ");
  REFUSE ("(i__builtin__\nset\n.", "INST");
  REFUSE ("\x80\x02\x82\x01.", "EXT1");
  REFUSE ("\x80\x02\x83\x01\x00.", "EXT2");
  REFUSE ("\x80\x02\x84\x01\x00\x00\x00.", "EXT4");
  REFUSE ("\x80\x05\x97.", "NEXT_BUFFER");
  REFUSE ("\x80\x05N\x98.", "READONLY_BUFFER");
  REFUSE ("Pname\n.", "PERSID");
  REFUSE ("\x80\x02X\x01\x00\x00\x00"
          "aQ.",
          "BINPERSID");
  REFUSE ("cnumpy.core.multiarray\n_reconstruct\n.", "numpy.core.multiarray._reconstruct"); /* not in these rules */
  REFUSE ("ccollections\nOrderedDict.x\n.", "collections.OrderedDict.x");
  REFUSE ("c__builtin__\nset\n)}(X\x01\x00\x00\x00"
          "aNu\x92.",
          "NEWOBJ_EX");
  REFUSE ("L1000000000000000000000000L\n.", "64 bits");
  REFUSE ("\x80\x06N.", "protocol");
#undef REFUSE
}

static void
test_damaged (void)
{
#define DAMAGED(bytes) assert_refused (bytes, sizeof bytes - 1, TESS_ERROR_FORMAT, NULL)
  DAMAGED ("");
  DAMAGED (".");
  DAMAGED ("0.");
  DAMAGED ("(.");
  DAMAGED ("a.");
  DAMAGED ("]a.");
  DAMAGED ("](a.");
  DAMAGED ("(]e.");
  DAMAGED ("}(Nu.");
  DAMAGED ("}Ns.");
  DAMAGED ("N(NNe.");
  DAMAGED ("t.");
  DAMAGED ("N\x87.");
  DAMAGED ("h\x05.");
  DAMAGED ("g5\n.");
  DAMAGED ("gx\n.");
  DAMAGED ("q\x01.");
  DAMAGED ("I5");
  DAMAGED ("I5x\n.");
  DAMAGED ("F1.5x\n.");
  DAMAGED ("S'abc\n.");
  DAMAGED ("S'\\z'\n.");
  DAMAGED ("V\\u12\n.");
  DAMAGED ("X\xff\xff\xff\xff.");
  DAMAGED ("X\x02\x00\x00\x00\xff\xff.");
  DAMAGED ("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.");
  DAMAGED ("\x95\xff\x00\x00\x00\x00\x00\x00\x00N.");
  DAMAGED ("NNR.");
  DAMAGED ("NNb.");
  DAMAGED ("c_codecs\nencode\n(V\\u0100\nVlatin1\ntR.");
  DAMAGED ("\x7f.");
#undef DAMAGED
}

/* Every prefix of a good pickle is refused, and every changed byte gives a value or one sentence. */
static void
test_mutated (void)
{
  g_autoptr (JsonNode) root = reference ("numpy_pairs_1.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "values");
  guint n_read = 0, n_refused = 0;

  for (guint i = 0; i < json_array_get_length (list); i++) {
    g_autoptr (GBytes) bytes = decode (json_array_get_object_element (list, i));
    gsize n = g_bytes_get_size (bytes);
    g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), n);

    for (gsize cut = 0; cut < MIN (n, 300); cut++)
      assert_refused (data, cut, TESS_ERROR_FORMAT, NULL);
    for (gsize at = 0; at < MIN (n, 300); at++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TessPickle) pickle = NULL;
      guint8 was = data[at];

      data[at] = (guint8)(was * 7 + 13 + at);
      pickle = parse (data, n, &plain_rules, &error);
      data[at] = was;
      g_assert_true ((pickle != NULL) != (error != NULL));
      if (pickle)
        n_read++;
      else
        n_refused++;
    }
  }
  g_test_message ("%u changed pickles read, %u refused", n_read, n_refused);
  g_assert_cmpuint (n_read, >, 100);
  g_assert_cmpuint (n_refused, >, 100);
}

static void
test_limits (void)
{
  g_autoptr (GByteArray) deep = g_byte_array_new (), marks = g_byte_array_new (), many = g_byte_array_new ();

  for (guint i = 0; i < 200; i++)
    g_byte_array_append (deep, (const guint8 *)"]", 1);
  for (guint i = 0; i < 199; i++)
    g_byte_array_append (deep, (const guint8 *)"a", 1);
  g_byte_array_append (deep, (const guint8 *)".", 1);
  assert_refused (deep->data, deep->len, TESS_ERROR_UNSUPPORTED, "nested too deeply");
  for (guint i = 0; i < 2000; i++)
    g_byte_array_append (marks, (const guint8 *)"(", 1);
  assert_refused (marks->data, marks->len, TESS_ERROR_UNSUPPORTED, "nested too deeply");
  g_byte_array_set_size (many, 5 << 20);
  memset (many->data, ']', many->len);
  assert_refused (many->data, many->len, TESS_ERROR_UNSUPPORTED, "too many values");
}

/* A list that holds itself is a value like any other. */
static void
test_circle (void)
{
  static const char circle[] = "]q\x01h\x01"
                               "a.";
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPickle) pickle = parse (circle, sizeof circle - 1, &plain_rules, &error);
  const TessPickleValue *root;

  g_assert_no_error (error);
  root = tess_pickle_root (pickle);
  g_assert_cmpuint (tess_pickle_n (root), ==, 1);
  g_assert_true (tess_pickle_nth (root, 0) == root);
}

static gboolean
known_storage (const TessPickleValue *id, gpointer user_data, GError **error)
{
  guint *n = user_data;

  g_assert_cmpint (tess_pickle_kind (id), ==, TESS_PICKLE_TUPLE);
  g_assert_true (tess_pickle_is_text (tess_pickle_nth (id, 0), "storage"));
  g_assert_true (g_str_has_suffix (tess_pickle_global (tess_pickle_nth (id, 1)), "Storage"));
  (*n)++;
  return TRUE;
}

static void
check_tensor (const TessPickleValue *tensor, JsonArray *shape)
{
  const TessPickleValue *size = tess_pickle_nth (tess_pickle_args (tensor), 2);

  g_assert_cmpstr (tess_pickle_global (tensor), ==, "torch._utils._rebuild_tensor_v2");
  g_assert_cmpint (tess_pickle_kind (tess_pickle_nth (tess_pickle_args (tensor), 0)), ==, TESS_PICKLE_PERSISTENT);
  g_assert_cmpuint (tess_pickle_n (size), ==, json_array_get_length (shape));
  for (guint i = 0; i < json_array_get_length (shape); i++) {
    gint64 length;

    g_assert_true (tess_pickle_int (tess_pickle_nth (size, i), &length));
    g_assert_cmpint (length, ==, json_array_get_int_element (shape, i));
  }
}

/* A PyTorch file: names of tensors, shapes and storages by persistent ids, against torch.load. */
static void
test_real_weights (void)
{
  static const char *const globals[] = {TESS_PICKLE_PLAIN_GLOBALS, "torch._utils._rebuild_tensor_v2",
                                        "torch.FloatStorage", "torch.LongStorage", NULL};
  const char *shared = g_getenv ("TESSERA_SHARED_DATA");
  g_autoptr (JsonNode) root = reference ("numpy_real.json");
  JsonObject *o =
      json_array_get_object_element (json_object_get_array_member (json_node_get_object (root), "archives"), 0);
  JsonArray *tensors = json_object_get_array_member (o, "tensors");
  guint n_storages = 0, member;
  const TessPickleRules rules = {globals, known_storage, &n_storages};
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessZip) zip = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TessPickle) pickle = NULL;

  if (!shared || !g_file_test (shared, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  path = g_build_filename (shared, json_object_get_string_member (o, "file"), NULL);
  zip = tess_zip_open (path, &error);
  g_assert_no_error (error);
  for (member = 0; !g_str_has_suffix (tess_zip_peek_name (zip, member), "/data.pkl"); member++)
    ;
  bytes = tess_zip_load_member (zip, member, 1 << 20, &error);
  g_assert_no_error (error);
  g_assert_null (tess_pickle_parse (bytes, "x.pkl", &plain_rules, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  pickle = tess_pickle_parse (bytes, "x.pkl", &rules, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n_storages, ==, json_array_get_length (tensors));
  g_assert_cmpuint (tess_pickle_n (tess_pickle_root (pickle)), ==, json_array_get_length (tensors));
  for (guint i = 0; i < json_array_get_length (tensors); i++) {
    JsonObject *tensor = json_array_get_object_element (tensors, i);
    const TessPickleValue *value =
        tess_pickle_lookup (tess_pickle_root (pickle), json_object_get_string_member (tensor, "name"));

    check_tensor (value, json_object_get_array_member (tensor, "shape"));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/pickle/values", test_values);
  g_test_add_func ("/base/pickle/bytes", test_bytes);
  g_test_add_func ("/base/pickle/hostile", test_hostile);
  g_test_add_func ("/base/pickle/damaged", test_damaged);
  g_test_add_func ("/base/pickle/mutated", test_mutated);
  g_test_add_func ("/base/pickle/limits", test_limits);
  g_test_add_func ("/base/pickle/circle", test_circle);
  g_test_add_func ("/base/pickle/real-weights", test_real_weights);
  return g_test_run ();
}
