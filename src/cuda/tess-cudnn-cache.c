#include "tess-cudnn-cache.h"

#include "tess-atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <unistd.h>

/* tessera/cudnn/VERSION-CARD.txt of the user's cache folder:
 *
 *   tessera cudnn plans 1
 *   SHA-256 of what follows
 *   VERSION DEVICE
 *   CONVOLUTION = ENGINE KNOB:VALUE KNOB:VALUE ...
 *
 * A file that is damaged, of another cuDNN or card, or too large is as none; it is written anew. */

#define MAGIC "tessera cudnn plans 1\n"
#define MOST_BYTES ((gsize)1 << 20)
#define N_SUM 64 /* of a SHA-256 in hexadecimal */

struct _TessCudnnCache {
  char *path, *title; /* where it is kept, or NULL: nowhere; VERSION DEVICE */
  GHashTable *plans;  /* text of a convolution -> TessCudnnChoice */
  gboolean changed;
};

static char *
text_of (const TessCudnnConv *c, guint most)
{
  return g_strdup_printf ("%d n%" PRId64 " f%" PRId64 "x%" PRId64 "x%" PRId64 " c%" PRId64 "x%" PRId64 "x%" PRId64
                          " %" PRId64 "-%" PRId64 " k%dx%dx%d s%dx%dx%d p%dx%dx%d g%dx%dx%d t%d,%d,%d e%d m%u",
                          (int)c->pass, c->n, c->fine[0], c->fine[1], c->fine[2], c->coarse[0], c->coarse[1],
                          c->coarse[2], c->fine_channels, c->coarse_channels, c->kernel[0], c->kernel[1], c->kernel[2],
                          c->stride[0], c->stride[1], c->stride[2], c->pad[0], c->pad[1], c->pad[2], c->gap[0],
                          c->gap[1], c->gap[2], (int)c->fine_type, (int)c->coarse_type, (int)c->weight_type,
                          c->exact ? 1 : 0, most);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* The whole file, or NULL: none, unreadable, or larger than one of ours can be. */
static char *
read_file (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  g_autofree char *text = NULL;
  gsize n = 0;
  gssize got = -1;

  if (fd < 0)
    return NULL;
  text = g_malloc (MOST_BYTES + 1);
  while (n <= MOST_BYTES) {
    got = read (fd, text + n, MOST_BYTES + 1 - n);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    n += (gsize)got;
  }
  close (fd);
  if (got != 0 || n > MOST_BYTES || memchr (text, '\0', n) != NULL)
    return NULL;
  text[n] = '\0';
  return g_steal_pointer (&text);
}

static gboolean
parse_number (const char *text, gint64 *number)
{
  return g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, number, NULL);
}

/* "ENGINE KNOB:VALUE ..." */
static gboolean
parse_choice (const char *text, TessCudnnChoice *choice)
{
  g_auto (GStrv) words = g_strsplit (text, " ", TESS_CUDNN_MAX_KNOBS + 2);

  *choice = (TessCudnnChoice){0};
  if (words[0] == NULL || !parse_number (words[0], &choice->engine) || choice->engine < 0)
    return FALSE;
  for (guint i = 1; words[i] != NULL; i++) {
    char *colon = strchr (words[i], ':');

    if (colon == NULL || choice->n_knobs == TESS_CUDNN_MAX_KNOBS)
      return FALSE;
    *colon = '\0';
    if (!parse_number (words[i], &choice->knob[choice->n_knobs]) ||
        !parse_number (colon + 1, &choice->value[choice->n_knobs]) || choice->knob[choice->n_knobs] < 0 ||
        choice->knob[choice->n_knobs] >= CUDNN_KNOB_TYPE_COUNTS)
      return FALSE;
    choice->n_knobs++;
  }
  return TRUE;
}

/* What stands in the file and is not yet known. */
static void
merge_file (TessCudnnCache *cache)
{
  g_autofree char *text = read_file (cache->path), *sum = NULL;
  g_auto (GStrv) lines = NULL;
  const char *body;

  if (text == NULL || !g_str_has_prefix (text, MAGIC) || strlen (text) <= strlen (MAGIC) + N_SUM)
    return;
  body = text + strlen (MAGIC) + N_SUM + 1;
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, body, -1);
  if (strncmp (text + strlen (MAGIC), sum, N_SUM) != 0 || body[-1] != '\n')
    return;
  lines = g_strsplit (body, "\n", -1);
  if (g_strcmp0 (lines[0], cache->title) != 0)
    return;
  for (guint i = 1; lines[i] != NULL; i++) {
    char *is = strstr (lines[i], " = ");
    TessCudnnChoice choice;

    if (is == NULL || !parse_choice (is + 3, &choice))
      continue;
    *is = '\0';
    if (!g_hash_table_contains (cache->plans, lines[i]))
      g_hash_table_insert (cache->plans, g_strdup (lines[i]), g_memdup2 (&choice, sizeof choice));
  }
}

/**
 * tess_cudnn_cache_new:
 * @device: name, compute capability and what else decides which plan is fast
 *
 * Reads what earlier runs have kept. Not with TESSERA_CUDA_PLAN_CACHE=0: then it is empty and keeps nothing.
 *
 * Returns: (transfer full): never fails
 */
TessCudnnCache *
tess_cudnn_cache_new (const TessCudnn *cudnn, const char *device)
{
  TessCudnnCache *cache = g_new0 (TessCudnnCache, 1);
  g_autofree char *sum = NULL, *name = NULL, *line = g_strdelimit (g_strdup (device), "\r\n", ' ');

  cache->title = g_strdup_printf ("%zu %s", cudnn->GetVersion (), line);
  cache->plans = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (g_strcmp0 (g_getenv ("TESSERA_CUDA_PLAN_CACHE"), "0") == 0)
    return cache;
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, cache->title, -1);
  name = g_strdup_printf ("%zu-%.16s.txt", cudnn->GetVersion (), sum);
  cache->path = g_build_filename (g_get_user_cache_dir (), "tessera", "cudnn", name, NULL);
  merge_file (cache);
  return cache;
}

void
tess_cudnn_cache_free (TessCudnnCache *cache)
{
  if (cache == NULL)
    return;
  tess_cudnn_cache_save (cache);
  g_hash_table_unref (cache->plans);
  g_free (cache->path);
  g_free (cache->title);
  g_free (cache);
}

gboolean
tess_cudnn_cache_find (TessCudnnCache *cache, const TessCudnnConv *conv, guint most, TessCudnnChoice *choice)
{
  g_autofree char *text = text_of (conv, most);
  const TessCudnnChoice *found = g_hash_table_lookup (cache->plans, text);

  if (found != NULL)
    *choice = *found;
  return found != NULL;
}

/* ------------------------------------------------------------------------------------------------ writing */

void
tess_cudnn_cache_keep (TessCudnnCache *cache, const TessCudnnConv *conv, guint most, const TessCudnnChoice *choice)
{
  if (cache->path == NULL)
    return;
  g_hash_table_replace (cache->plans, text_of (conv, most), g_memdup2 (choice, sizeof *choice));
  cache->changed = TRUE;
}

static GString *
write_body (TessCudnnCache *cache)
{
  GString *body = g_string_new (cache->title);
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (cache->plans), (GCompareFunc)strcmp);

  g_string_append_c (body, '\n');
  for (GList *l = keys; l != NULL; l = l->next) {
    const TessCudnnChoice *c = g_hash_table_lookup (cache->plans, l->data);

    g_string_append_printf (body, "%s = %" PRId64, (const char *)l->data, c->engine);
    for (guint i = 0; i < c->n_knobs; i++)
      g_string_append_printf (body, " %" PRId64 ":%" PRId64, c->knob[i], c->value[i]);
    g_string_append_c (body, '\n');
  }
  return body;
}

/* Atomic. What another program has written meanwhile stays. Where nothing can be written nothing is kept, and a file
 * that would become too large goes: the next choices begin it anew. */
void
tess_cudnn_cache_save (TessCudnnCache *cache)
{
  g_autoptr (GError) why = NULL;
  g_autofree char *folder = NULL, *sum = NULL;
  GString *body, *text;

  if (!cache->changed)
    return;
  cache->changed = FALSE;
  merge_file (cache);
  body = write_body (cache);
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, body->str, -1);
  text = g_string_new (MAGIC);
  g_string_append_printf (text, "%s\n%s", sum, body->str);
  folder = g_path_get_dirname (cache->path);
  if (text->len > MOST_BYTES) {
    g_hash_table_remove_all (cache->plans);
    g_unlink (cache->path);
  } else if (!tess_make_directory (folder, &why) || !tess_file_set_contents (cache->path, text->str, text->len, &why))
    g_debug ("cuDNN: plans are not kept: %s", why->message);
  g_string_free (body, TRUE);
  g_string_free (text, TRUE);
}
