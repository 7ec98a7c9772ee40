/* tessera-cli train as a script sees it: exit codes, what goes to which stream, the JSON. */
#include "train-fixture.h"

#include <string.h>
#include <sys/wait.h>

static TrainFixture fixture;
static const char *cli;

static int
run (char **out, char **said, const char *first, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  va_list more;
  int status;

  g_ptr_array_add (argv, (gpointer)cli);
  g_ptr_array_add (argv, (gpointer) "train");
  va_start (more, first);
  for (const char *arg = first; arg; arg = va_arg (more, const char *))
    g_ptr_array_add (argv, (gpointer)arg);
  va_end (more);
  g_ptr_array_add (argv, NULL);
  status = train_run_program ((char **)argv->pdata, out, said);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static guint
count (const char *text, const char *what)
{
  guint n = 0;

  for (const char *p = text; (p = strstr (p, what)); p++)
    n++;
  return n;
}

static void
test_usage (void)
{
  static const char *const wrong[][4] = {
      {"--epochs", "0"},
      {"--epochs", "-3"},
      {"--minutes", "0"},
      {"--minutes", "nan"},
      {"--val-fraction", "nan"},
      {"--device", "1"},
      {"--device", "-2"},
      {"--fold", "x"},
      {"--fold", "-1"},
      {"--val-fraction", "1"},
      {"--cache", "much"},
      {"--cache", "0"},
      {"--cache", "5X"},
      {"--memory", "much"},
      {"--memory", "0"},
      {"--recompute", "perhaps"},
      {"--nonsense", "1"},
      {"--epochs", "2", "--minutes", "1"},
      {"--fold", "0", "--val-fraction", "0.2"},
  };
  g_autofree char *folder = train_fixture_path (&fixture, "never");

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autofree char *out = NULL, *said = NULL;

    g_assert_cmpint (run (&out, &said, "--dataset", fixture.dataset, "--run", folder, "--backend", "cpu", "--quiet",
                          wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3], NULL),
                     ==, 2);
    g_assert_true (g_str_has_prefix (said, "tessera-cli: "));
    g_assert_cmpuint (count (said, "\n"), ==, 1);
    g_assert_cmpstr (out, ==, "");
  }
  {
    g_autofree char *out = NULL, *said = NULL;

    g_assert_cmpint (run (&out, &said, "--dataset", fixture.dataset, NULL), ==, 2);
    g_assert_nonnull (strstr (said, "--run"));
  }
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));
}

static void
test_json (void)
{
  g_autofree char *folder = train_fixture_path (&fixture, "json"), *out = NULL, *said = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *o, *dice;
  const char *text;

  g_assert_cmpint (run (&out, &said, "--dataset", fixture.dataset, "--run", folder, "--plan", fixture.plan_path,
                        "--backend", "cpu", "--precision", "f32", "--epochs", "2", "--fold", "all", "--json", NULL),
                   ==, 0);
  node = tess_json_parse (out, -1, "output", &error);
  g_assert_no_error (error);
  o = json_node_get_object (node);
  g_assert_true (tess_json_string (o, "output", "model", &text, &error));
  g_assert_true (g_file_test (text, G_FILE_TEST_EXISTS));
  g_assert_cmpstr (json_object_get_string_member (o, "state"), ==, "done");
  g_assert_cmpint (json_object_get_int_member (o, "epochs"), ==, 2);
  g_assert_cmpint (json_object_get_int_member (o, "iterations"), ==, 12);
  g_assert_true (tess_json_object (o, "output", "dice", &dice, &error));
  for (guint i = 1; i < fixture.plan->n_labels; i++)
    g_assert_true (json_object_has_member (dice, fixture.plan->labels[i].name));
  /* on the other stream: the backend, and one line an epoch */
  g_assert_cmpuint (count (said, "cpu"), >=, 1);
  g_assert_cmpuint (count (said, "epoch 1/2: "), ==, 1);
  g_assert_cmpuint (count (said, "epoch 2/2: "), ==, 1);
  g_assert_null (strchr (said, '\r'));
}

/* A finished run, asked to go on without a new length, has nothing to do; with more epochs it goes on. */
static void
test_resume (void)
{
  g_autofree char *folder = train_fixture_path (&fixture, "more"), *out = NULL, *said = NULL, *out2 = NULL,
                  *said2 = NULL;
  g_autofree char *out3 = NULL, *said3 = NULL;

  g_assert_cmpint (run (&out, &said, "--dataset", fixture.dataset, "--run", folder, "--plan", fixture.plan_path,
                        "--backend", "cpu", "--epochs", "1", "--val-fraction", "0.4", "--quiet", NULL),
                   ==, 0);
  g_assert_cmpstr (said, ==, "");
  g_assert_nonnull (strstr (out, "trained 1 epochs, 6 iterations"));
  g_assert_cmpint (run (&out2, &said2, "--dataset", fixture.dataset, "--run", folder, "--backend", "cpu", "--resume",
                        "--quiet", NULL),
                   ==, 0);
  g_assert_nonnull (strstr (out2, "trained 1 epochs, 6 iterations"));
  g_assert_cmpint (run (&out3, &said3, "--dataset", fixture.dataset, "--run", folder, "--backend", "cpu", "--resume",
                        "--threads", "2", "--epochs", "3", NULL),
                   ==, 0);
  g_assert_nonnull (strstr (out3, "trained 3 epochs, 18 iterations"));
  g_assert_cmpuint (count (said3, "epoch 1/3: "), ==, 0);
  g_assert_cmpuint (count (said3, "epoch 2/3: "), ==, 1);
}

/* memory_bytes of the JSON of a run of one epoch. */
static gint64
memory_of (const char *name, const char *recompute, const char *memory, char **said)
{
  g_autofree char *folder = train_fixture_path (&fixture, name), *out = NULL;
  g_autoptr (JsonNode) node = NULL;

  g_assert_cmpint (run (&out, said, "--dataset", fixture.dataset, "--run", folder, "--plan", fixture.plan_path,
                        "--backend", "cpu", "--precision", "f32", "--epochs", "1", "--json", "--recompute", recompute,
                        memory ? "--memory" : NULL, memory, NULL),
                   ==, 0);
  node = tess_json_parse (out, -1, "output", NULL);
  return json_object_get_int_member (json_node_get_object (node), "memory_bytes");
}

/* With less than it takes a run computes stages twice and says so; forbidden to, it says what would do. */
static void
test_memory (void)
{
  g_autofree char *plain = NULL, *twice = NULL, *limit = NULL, *folder = NULL, *out = NULL, *said = NULL;
  gint64 kept;

  for (guint s = 0; s < 3; s++) /* with one convolution a stage there is little to make again */
    fixture.plan->network.convs_encoder[s] = 2;
  g_assert_true (tess_plan_save (fixture.plan, fixture.plan_path, NULL));
  kept = memory_of ("kept", "off", NULL, &plain);
  g_assert_null (strstr (plain, "computed twice"));
  limit = g_strdup_printf ("%" G_GINT64_FORMAT, kept - 1);
  g_assert_cmpint (memory_of ("twice", "auto", limit, &twice), <, kept);
  g_assert_nonnull (strstr (twice, "computed twice"));

  folder = train_fixture_path (&fixture, "refused");
  g_assert_cmpint (run (&out, &said, "--dataset", fixture.dataset, "--run", folder, "--plan", fixture.plan_path,
                        "--backend", "cpu", "--precision", "f32", "--recompute", "off", "--memory", limit, "--quiet",
                        NULL),
                   ==, 1);
  g_assert_cmpuint (count (said, "\n"), ==, 1);
  g_assert_nonnull (strstr (said, "; recompute stages (--recompute auto), which needs "));
  g_assert_nonnull (strstr (said, ", or take a batch of 1, or take a patch of "));
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  int code;

  g_test_init (&argc, &argv, NULL);
  cli = g_getenv ("TESSERA_TEST_CLI");
  if (!cli) {
    g_printerr ("TESSERA_TEST_CLI names no program\n");
    return 1;
  }
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/cli/train/usage", test_usage);
  g_test_add_func ("/cli/train/json", test_json);
  g_test_add_func ("/cli/train/resume", test_resume);
  g_test_add_func ("/cli/train/memory", test_memory);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
