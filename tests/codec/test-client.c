/* The program's end: helpers that die, hang, talk nonsense or are missing; the real one's limits as the kernel has
 * them. */
#include "../formats/dicom-fixture.h"
#include "tess-codec-client.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *folder;

static char *
write_file (const char *name, const char *text, int mode)
{
  char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_chmod (path, mode);
  return path;
}

typedef struct {
  guint n_answers;
  GPtrArray *problems;
} Got;

static gboolean
on_answer (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  Got *got = user_data;

  g_assert_cmpuint (i, ==, got->n_answers + got->problems->len);
  if (problem)
    g_ptr_array_add (got->problems, g_strdup (problem->message));
  else
    got->n_answers++;
  return TRUE;
}

/* Scans two files with another program in the helper's place; both must end in the same words. */
static void
with_helper (const char *script, const char *words)
{
  g_autofree char *before = g_strdup (g_getenv ("TESSERA_CODEC")), *helper = write_file ("helper", script, 0700);
  g_autofree char *a = write_file ("a.dcm", "aaaaaaaaaaaaaaaa", 0600), *b = write_file ("b.dcm", "bbbb", 0600);
  const TessCodecJob jobs[] = {{.path = a}, {.path = b}};
  Got got = {.problems = g_ptr_array_new_with_free_func (g_free)};
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = 0.3, .memory = 1 << 30});
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  g_setenv ("TESSERA_CODEC", helper, TRUE);
  g_assert_true (tess_codec_scan (codec, jobs, 2, on_answer, &got, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (got.problems->len, ==, 2);
  for (guint i = 0; i < 2; i++) {
    const char *said = g_ptr_array_index (got.problems, i);

    if (!strstr (said, words) || !g_str_has_prefix (said, jobs[i].path) || strchr (said, '\n'))
      g_error ("said \"%s\"", said);
  }
  g_assert_cmpint (g_get_monotonic_time () - start, <, 30 * G_USEC_PER_SEC); /* not the 60 s it sleeps */
  g_ptr_array_unref (got.problems);
  g_setenv ("TESSERA_CODEC", before ? before : "", TRUE);
}

static void
test_death (void)
{
  with_helper ("#!/bin/sh\nkill -ABRT $$\n", "broke off");
  with_helper ("#!/bin/sh\nexit 0\n", "broke off");
  with_helper ("#!/bin/sh\nkill -KILL $$\n", "memory");
}

static void
test_hang (void)
{
  with_helper ("#!/bin/sh\nexec sleep 60\n", "longer than 0 seconds");
}

/* A length of 0x41414141 bytes; and bytes that are no JSON. */
static void
test_nonsense (void)
{
  with_helper ("#!/bin/sh\nprintf 'AAAAAAAA' >&3\nexec sleep 60\n", "broke off");
  with_helper (
      "#!/bin/sh\nprintf '\\004\\000\\000\\000{{{{' >&3\nprintf '\\004\\000\\000\\000null' >&3\nexec sleep 60\n",
      "damaged");
}

static void
test_missing (void)
{
  g_autofree char *before = g_strdup (g_getenv ("TESSERA_CODEC")), *a = write_file ("a.dcm", "a", 0600);
  Got got = {.problems = g_ptr_array_new_with_free_func (g_free)};
  g_autoptr (TessCodec) codec = tess_codec_new (NULL);
  g_autoptr (GError) error = NULL;

  g_setenv ("TESSERA_CODEC", "/nonexistent/tessera-codec", TRUE);
  g_assert_false (tess_codec_scan (codec, &(TessCodecJob){.path = a}, 1, on_answer, &got, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_ptr_array_unref (got.problems);
  g_setenv ("TESSERA_CODEC", before ? before : "", TRUE);
}

static gboolean
have_codec (void)
{
  if (g_getenv ("TESSERA_CODEC") && g_file_test (g_getenv ("TESSERA_CODEC"), G_FILE_TEST_IS_EXECUTABLE))
    return TRUE;
  g_test_skip ("built without GDCM");
  return FALSE;
}

/* Looks at the helper, a child of this process, while it waits for more. */
static gboolean
on_look (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  g_autofree char *list = g_strdup_printf ("/proc/self/task/%d/children", (int)getpid ()), *children = NULL;
  g_autofree char *path = NULL, *limits = NULL, *fds = NULL, *status = NULL, *status_text = NULL;
  g_autoptr (GDir) dir = NULL;
  guint n_fds = 0;

  if (!g_file_get_contents (list, &children, NULL, NULL) || !*children)
    return TRUE;
  g_strchomp (children);
  path = g_strdup_printf ("/proc/%s/limits", children);
  if (g_file_get_contents (path, &limits, NULL, NULL)) {
    g_assert_true (g_regex_match_simple ("Max file size +0 +0 ", limits, 0, 0));
    g_assert_true (g_regex_match_simple ("Max core file size +0 +0 ", limits, 0, 0));
    g_assert_true (g_regex_match_simple ("Max address space +300000000 +300000000 ", limits, 0, 0));
    *(gboolean *)user_data = TRUE;
  }
  status = g_strdup_printf ("/proc/%s/status", children);
  if (g_file_get_contents (status, &status_text, NULL, NULL)) {
    g_assert_true (g_regex_match_simple ("NoNewPrivs:\\s+1", status_text, 0, 0));
    g_assert_true (g_regex_match_simple ("Seccomp:\\s+2", status_text, 0, 0));
  }
  fds = g_strdup_printf ("/proc/%s/fd", children);
  dir = g_dir_open (fds, 0, NULL);
  while (dir && g_dir_read_name (dir))
    n_fds++;
  g_assert_cmpuint (n_fds, <=, 5); /* 0, 1, 2, the socket, the file before it is closed */
  return TRUE;
}

static void
test_limits (void)
{
  g_autofree char *a = write_file ("a.dcm", "aaaaaaaaaaaaaaaaaaaaaaaa", 0600);
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = 10, .memory = 300000000});
  g_autoptr (GError) error = NULL;
  gboolean looked = FALSE;

  if (!have_codec ())
    return;
  g_assert_true (tess_codec_scan (codec, &(TessCodecJob){.path = a}, 1, on_look, &looked, NULL, &error));
  g_assert_no_error (error);
  if (!looked)
    g_test_skip ("no /proc to look at the helper in");
}

/* Too little memory to start in is a sentence, too. */
static void
test_memory (void)
{
  g_autofree char *a = write_file ("a.dcm", "aaaaaaaaaaaaaaaaaaaaaaaa", 0600);
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = 10, .memory = 1 << 20});
  Got got = {.problems = g_ptr_array_new_with_free_func (g_free)};
  g_autoptr (GError) error = NULL;

  if (have_codec ()) {
    tess_codec_scan (codec, &(TessCodecJob){.path = a}, 1, on_answer, &got, NULL, &error);
    g_assert_cmpuint (got.n_answers, ==, 0);
    g_assert_true (error || got.problems->len == 1);
  }
  g_ptr_array_unref (got.problems);
}

/* Voxels that claim two gigabytes: more than the helper may take, and a sentence all the same. */
static void
test_claims (void)
{
  static const double axial[6] = {1, 0, 0, 0, 1, 0};
  static const guint8 voxels[] = {0xe0, 0x7f, 0x10, 0, 'O', 'W', 0, 0, 32, 0, 0, 0};
  const guint16 pixels[16] = {0};
  const guint32 huge = 0x7ffffff0;
  g_autoptr (GBytes) bytes =
      dicom_bytes (&(DicomSlice){.columns = 4, .rows = 4, .orientation = axial, .pixels = pixels});
  gsize n = g_bytes_get_size (bytes);
  g_autofree char *changed = g_memdup2 (g_bytes_get_data (bytes, NULL), n);
  g_autofree char *path = g_build_filename (folder, "c.dcm", NULL);
  g_autoptr (TessCodec) codec = tess_codec_new (&(TessCodecLimits){.seconds = 10, .memory = 400 << 20});
  Got got = {.problems = g_ptr_array_new_with_free_func (g_free)};
  g_autoptr (GError) error = NULL;
  const char *said;

  memcpy ((char *)memmem (changed, n, voxels, sizeof voxels) + 8, &huge, 4);
  g_assert_true (g_file_set_contents (path, changed, (gssize)n, NULL));
  if (have_codec ()) {
    g_assert_true (tess_codec_scan (codec, &(TessCodecJob){.path = path}, 1, on_answer, &got, NULL, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (got.problems->len, ==, 1);
    said = g_ptr_array_index (got.problems, 0); /* "ends too early", had it been given them */
    g_assert_true (strstr (said, "more memory than a file of its size should") || strstr (said, "is damaged; copy"));
  }
  g_ptr_array_unref (got.problems);
}

/* Opening fails for one of many: the others are answered all the same, in order. */
static void
test_unopened (void)
{
  g_autofree char *a = write_file ("a.dcm", "aaaaaaaaaaaaaaaaaaaaaaaa", 0600);
  TessCodecJob jobs[21];
  Got got = {.problems = g_ptr_array_new_with_free_func (g_free)};
  g_autoptr (TessCodec) codec = tess_codec_new (NULL);
  g_autoptr (GError) error = NULL;

  if (have_codec ()) {
    for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
      jobs[i] = (TessCodecJob){.path = i % 3 == 0 ? "/nonexistent/file.dcm" : i % 3 == 1 ? folder : a};
    g_assert_true (tess_codec_scan (codec, jobs, G_N_ELEMENTS (jobs), on_answer, &got, NULL, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (got.problems->len, ==, G_N_ELEMENTS (jobs));
    for (guint i = 0; i < got.problems->len; i++)
      g_assert_true (g_str_has_prefix (g_ptr_array_index (got.problems, i), jobs[i].path));
  }
  g_ptr_array_unref (got.problems);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-codec-XXXXXX", NULL);
  g_test_add_func ("/codec/death", test_death);
  g_test_add_func ("/codec/hang", test_hang);
  g_test_add_func ("/codec/nonsense", test_nonsense);
  g_test_add_func ("/codec/missing", test_missing);
  g_test_add_func ("/codec/limits", test_limits);
  g_test_add_func ("/codec/memory", test_memory);
  g_test_add_func ("/codec/claims", test_claims);
  g_test_add_func ("/codec/unopened", test_unopened);
  result = g_test_run ();
  for (const char *const *name = (const char *const[]){"helper", "a.dcm", "b.dcm", NULL}; *name; name++) {
    g_autofree char *path = g_build_filename (folder, *name, NULL);

    g_remove (path);
  }
  g_rmdir (folder);
  g_free (folder);
  return result;
}
