#include "tess-case-cache.h"

#include "tess-thread.h"

#include <string.h>

typedef struct {
  TessCase *decoded; /* NULL: not here */
  gboolean loading;  /* some thread is decoding it */
  guint64 last_use;  /* clock of the last get */
  guint64 size;      /* bytes it took when it was decoded last; 0 = never was */
  guint32 labels[8]; /* bits of the labels it holds */
} Entry;

struct _TessCaseCache {
  TessDataset *dataset;
  char *constants_dir;
  guint64 budget;

  TessMutex mutex; /* guards everything below */
  TessCond loaded;
  Entry *entries; /* one a case */
  guint64 clock, bytes, peak, loads, largest;
};

/* budget_bytes: what unused cases may add up to; cases in use are held whatever they take. constants_dir: see
 * tess_case_load. References the dataset. */
TessCaseCache *
tess_case_cache_new (TessDataset *dataset, const char *constants_dir, guint64 budget_bytes)
{
  TessCaseCache *cache = g_new0 (TessCaseCache, 1);

  cache->dataset = tess_dataset_ref (dataset);
  cache->constants_dir = g_strdup (constants_dir);
  cache->budget = budget_bytes;
  cache->entries = g_new0 (Entry, dataset->cases->len);
  tess_mutex_init (&cache->mutex);
  tess_cond_init (&cache->loaded);
  return cache;
}

/* No thread may be inside a get. Cases still referenced elsewhere live on. */
void
tess_case_cache_free (TessCaseCache *cache)
{
  for (guint i = 0; i < cache->dataset->cases->len; i++)
    g_clear_pointer (&cache->entries[i].decoded, tess_case_unref);
  tess_mutex_clear (&cache->mutex);
  tess_cond_clear (&cache->loaded);
  tess_dataset_unref (cache->dataset);
  g_free (cache->constants_dir);
  g_free (cache->entries);
  g_free (cache);
}

/* Drops the least recently used cases nobody holds until `coming` more bytes fit, or none is left. A case only the
 * cache holds cannot gain a holder meanwhile: references to it are handed out under the mutex. */
static void
make_room (TessCaseCache *cache, guint64 coming)
{
  while (cache->bytes > cache->budget || coming > cache->budget - cache->bytes) {
    Entry *oldest = NULL;

    for (guint i = 0; i < cache->dataset->cases->len; i++) {
      Entry *entry = &cache->entries[i];

      if (entry->decoded && g_atomic_int_get (&entry->decoded->ref_count) == 1 &&
          (!oldest || entry->last_use < oldest->last_use))
        oldest = entry;
    }
    if (!oldest)
      return;
    cache->bytes -= oldest->decoded->bytes;
    g_clear_pointer (&oldest->decoded, tess_case_unref);
  }
}

static void
note_labels (Entry *entry, const TessCase *decoded)
{
  for (guint l = 1; decoded->class_count && l < decoded->n_labels; l++)
    if (decoded->class_count[l] > 0)
      entry->labels[l / 32] |= 1u << l % 32;
}

gboolean
tess_case_cache_labels (TessCaseCache *cache, const guint *cases, guint n, gboolean present[256])
{
  gboolean all = TRUE;

  memset (present, 0, 256 * sizeof *present);
  tess_mutex_lock (&cache->mutex);
  for (guint i = 0; i < n; i++) {
    const Entry *entry = &cache->entries[cases[i]];

    all &= entry->size > 0;
    for (guint l = 0; l < 256; l++)
      present[l] |= (entry->labels[l / 32] >> l % 32 & 1) != 0;
  }
  tess_mutex_unlock (&cache->mutex);
  return all;
}

/* Decodes case `index` unless it is here; waits while another thread decodes it. When that fails there, this thread
 * tries itself and so has its own error. Room is made before decoding (by the size the case had, else by the largest
 * seen), so that a budget holds while cases come and go, and again after. */
TessCase *
tess_case_cache_get (TessCaseCache *cache, guint index, GError **error)
{
  Entry *entry;
  TessCase *decoded;

  g_return_val_if_fail (index < cache->dataset->cases->len, NULL);
  entry = &cache->entries[index];
  tess_mutex_lock (&cache->mutex);
  while (entry->loading)
    tess_cond_wait (&cache->loaded, &cache->mutex);
  entry->last_use = ++cache->clock;
  if (entry->decoded) {
    decoded = tess_case_ref (entry->decoded);
    tess_mutex_unlock (&cache->mutex);
    return decoded;
  }
  entry->loading = TRUE;
  make_room (cache, entry->size ? entry->size : cache->largest);
  tess_mutex_unlock (&cache->mutex);

  decoded = tess_case_load (cache->dataset, index, cache->constants_dir, NULL, error);

  tess_mutex_lock (&cache->mutex);
  entry->loading = FALSE;
  if (decoded) {
    entry->decoded = tess_case_ref (decoded);
    entry->size = decoded->bytes;
    note_labels (entry, decoded);
    cache->largest = MAX (cache->largest, decoded->bytes);
    cache->loads++;
    cache->bytes += decoded->bytes;
    cache->peak = MAX (cache->peak, cache->bytes);
    make_room (cache, 0);
  }
  tess_cond_broadcast (&cache->loaded);
  tess_mutex_unlock (&cache->mutex);
  return decoded;
}

gboolean
tess_case_cache_peek (TessCaseCache *cache, guint index)
{
  gboolean here;

  g_return_val_if_fail (index < cache->dataset->cases->len, FALSE);
  tess_mutex_lock (&cache->mutex);
  here = cache->entries[index].decoded != NULL;
  tess_mutex_unlock (&cache->mutex);
  return here;
}

static guint64
read_locked (TessCaseCache *cache, const guint64 *field)
{
  guint64 value;

  tess_mutex_lock (&cache->mutex);
  value = *field;
  tess_mutex_unlock (&cache->mutex);
  return value;
}

guint64
tess_case_cache_bytes (TessCaseCache *cache)
{
  return read_locked (cache, &cache->bytes);
}

/* The most it ever held, in-use cases included. */
guint64
tess_case_cache_peak (TessCaseCache *cache)
{
  return read_locked (cache, &cache->peak);
}

guint64
tess_case_cache_loads (TessCaseCache *cache)
{
  return read_locked (cache, &cache->loads);
}
