#include "tess-json.h"

#include <glib/gstdio.h>
#include <math.h>

static JsonObject *
parse_object (const char *text, JsonNode **keep)
{
  g_autoptr (GError) error = NULL;
  JsonObject *object;

  *keep = tess_json_parse (text, -1, "f.json", &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (*keep, "f.json", &object, &error));
  return object;
}

static void
assert_fails (gboolean result, GError **error, const char *part)
{
  g_assert_false (result);
  g_assert_error (*error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_true (g_str_has_prefix ((*error)->message, "f.json: "));
  g_assert_null (strchr ((*error)->message, '\n'));
  if (!strstr ((*error)->message, part))
    g_error ("\"%s\" is not in: %s", part, (*error)->message);
  g_clear_error (error);
}

static void
test_getters (void)
{
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *o = parse_object ("{\"s\": \"x\", \"i\": 7, \"w\": 3.0, \"d\": 2.5, \"b\": true, \"o\": {}, \"a\": [1, "
                                "2.5], \"n\": null, \"big\": 1e300}",
                                &node);
  const char *s = NULL;
  gint64 i = -1, is[2] = {0};
  double d = -1, ds[2] = {0};
  gboolean b = FALSE;
  JsonObject *child = NULL;
  JsonArray *array = NULL;

  g_assert_true (tess_json_string (o, "f.json", "s", &s, &error) && g_str_equal (s, "x"));
  g_assert_true (tess_json_int (o, "f.json", "i", 0, 7, &i, &error) && i == 7);
  g_assert_true (tess_json_int (o, "f.json", "w", 0, 7, &i, &error) && i == 3);
  g_assert_true (tess_json_double (o, "f.json", "d", &d, &error) && d == 2.5);
  g_assert_true (tess_json_double (o, "f.json", "i", &d, &error) && d == 7);
  g_assert_true (tess_json_bool (o, "f.json", "b", &b, &error) && b);
  g_assert_true (tess_json_object (o, "f.json", "o", &child, &error) && child);
  g_assert_true (tess_json_array (o, "f.json", "a", &array, &error) && json_array_get_length (array) == 2);
  g_assert_true (tess_json_doubles (o, "f.json", "a", ds, 2, &error) && ds[1] == 2.5);

  assert_fails (tess_json_string (o, "f.json", "none", &s, &error), &error, "\"none\" is missing");
  assert_fails (tess_json_string (o, "f.json", "i", &s, &error), &error, "\"i\" is not a text");
  assert_fails (tess_json_int (o, "f.json", "i", 8, 9, &i, &error), &error, "from 8 to 9");
  assert_fails (tess_json_int (o, "f.json", "d", 0, 9, &i, &error), &error, "\"d\" is not");
  assert_fails (tess_json_int (o, "f.json", "b", 0, 9, &i, &error), &error, "\"b\" is not");
  assert_fails (tess_json_int (o, "f.json", "big", G_MININT64, G_MAXINT64, &i, &error), &error, "\"big\" is not");
  assert_fails (tess_json_double (o, "f.json", "s", &d, &error), &error, "\"s\" is not a number");
  assert_fails (tess_json_bool (o, "f.json", "i", &b, &error), &error, "true or false");
  assert_fails (tess_json_object (o, "f.json", "a", &child, &error), &error, "object");
  assert_fails (tess_json_array (o, "f.json", "o", &array, &error), &error, "list");
  assert_fails (tess_json_doubles (o, "f.json", "a", ds, 3, &error), &error, "3 numbers");
  assert_fails (tess_json_ints (o, "f.json", "a", 0, 9, is, 2, &error), &error, "2 numbers");
  assert_fails (tess_json_string (o, "f.json", "n", &s, &error), &error, "\"n\" is not");

  i = 5;
  g_assert_true (tess_json_int_opt (o, "f.json", "none", 0, 9, &i, &error) && i == 5);
  g_assert_true (tess_json_int_opt (o, "f.json", "n", 0, 9, &i, &error) && i == 5);
  g_assert_true (tess_json_int_opt (o, "f.json", "i", 0, 9, &i, &error) && i == 7);
  assert_fails (tess_json_int_opt (o, "f.json", "s", 0, 9, &i, &error), &error, "\"s\" is not");
  g_assert_true (
      tess_json_string_opt (o, "f.json", "n", &s, &error) && tess_json_double_opt (o, "f.json", "n", &d, &error) &&
      tess_json_bool_opt (o, "f.json", "n", &b, &error) && tess_json_object_opt (o, "f.json", "n", &child, &error) &&
      tess_json_array_opt (o, "f.json", "n", &array, &error));
}

static void
test_refuses (void)
{
  static const char *const bad[] = {"", "   ", "{", "[1,", "{\"a\": 1", "nonsense", "{\"a\": \"\xff\"}", "{]"};
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) deep = g_string_new (NULL);
  g_autoptr (JsonNode) array = NULL;
  JsonObject *object;
  char *large;
  gsize n = ((gsize)64 << 20) + 1;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_fails (tess_json_parse (bad[i], -1, "f.json", &error) != NULL, &error, "not JSON");
  for (int i = 0; i < 100000; i++)
    g_string_append_c (deep, '[');
  assert_fails (tess_json_parse (deep->str, -1, "f.json", &error) != NULL, &error, "nested");
  /* json-glib takes comments and single quotes: a quote in one must not hide the brackets behind it. */
  assert_fails (tess_json_parse ("/*\"*/[1]", -1, "f.json", &error) != NULL, &error, "unexpected character '/'");
  assert_fails (tess_json_parse ("//\"\n[1]", -1, "f.json", &error) != NULL, &error, "unexpected character '/'");
  assert_fails (tess_json_parse ("['\"',1]", -1, "f.json", &error) != NULL, &error, "unexpected character");
  g_string_assign (deep, "["); /* wide is not deep */
  for (int i = 0; i < 500; i++)
    g_string_append (deep, "[[]],");
  g_string_append (deep, "1]");
  array = tess_json_parse (deep->str, -1, "f.json", &error);
  g_assert_no_error (error);
  g_clear_pointer (&array, json_node_unref);
  g_string_assign (deep, "[\"");
  for (int i = 0; i < 200; i++)
    g_string_append_c (deep, '[');
  g_string_append (deep, "\"]"); /* in a string, brackets do not nest */
  array = tess_json_parse (deep->str, -1, "f.json", &error);
  g_assert_no_error (error);
  assert_fails (tess_json_root (array, "f.json", &object, &error), &error, "object");
  large = g_malloc (n);
  memset (large, ' ', n);
  assert_fails (tess_json_parse (large, (gssize)n, "f.json", &error) != NULL, &error, "64 MB");
  g_free (large);
  assert_fails (tess_json_parse ("{\"a\": 1}\0x", 10, "f.json", &error) != NULL, &error, "not JSON");
}

static void
test_text (void)
{
  static const double values[] = {0.1, 1.0 / 3.0, 1e300, -0.0, 5e-324, 123456789.0, 0.30000000000000004, 1e22};
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT), again = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *pretty = NULL;
  JsonObject *o = json_object_new (), *read;
  JsonArray *array = json_array_new ();
  const char *s;
  double back[G_N_ELEMENTS (values)];

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    json_array_add_double_element (array, values[i]);
  json_object_set_array_member (o, "v", array);
  json_object_set_string_member (o, "s", "a \"b\" \\ \n \t \x01 \xc3\xa4");
  json_object_set_double_member (o, "nan", NAN);
  json_object_set_double_member (o, "inf", INFINITY);
  json_object_set_int_member (o, "i", G_MININT64);
  json_object_set_boolean_member (o, "b", TRUE);
  json_object_set_null_member (o, "null");
  json_node_take_object (node, o);

  text = tess_json_to_text (node, FALSE);
  g_assert_null (strchr (text, '\n'));
  g_assert_nonnull (strstr (text, "\"nan\":null,\"inf\":null,\"i\":-9223372036854775808,\"b\":true,\"null\":null"));
  g_assert_nonnull (strstr (text, "[0.1,"));
  pretty = tess_json_to_text (node, TRUE);
  again = tess_json_parse (pretty, -1, "f.json", &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (again, "f.json", &read, NULL));
  g_assert_true (tess_json_doubles (read, "f.json", "v", back, G_N_ELEMENTS (values), &error));
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    g_assert_cmpint (memcmp (&back[i], &values[i], 8), ==, 0);
  g_assert_true (tess_json_string (read, "f.json", "s", &s, NULL) && g_str_equal (s, "a \"b\" \\ \n \t \x01 \xc3\xa4"));
}

static void
test_file (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tess-json-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "a.json", NULL),
                  *missing = g_build_filename (folder, "b.json", NULL);
  g_autoptr (JsonNode) node = tess_json_parse ("\xef\xbb\xbf{\"a\": [1, [2, 3]]}", -1, "x", NULL), again = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (node);
  g_assert_true (tess_json_save (path, node, &error));
  again = tess_json_load (path, &error);
  g_assert_no_error (error);
  g_assert_true (json_node_equal (node, again));
  g_assert_null (tess_json_load (missing, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (tess_json_load (folder, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/json/getters", test_getters);
  g_test_add_func ("/base/json/refuses", test_refuses);
  g_test_add_func ("/base/json/text", test_text);
  g_test_add_func ("/base/json/file", test_file);
  return g_test_run ();
}
