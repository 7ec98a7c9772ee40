#include "tess-splits.h"

#include "tess-philox.h"

#include <math.h>
#include <string.h>

#define N_FOLDS 5u
#define FOLD_SEED 12345u

/* The 32-bit Mersenne Twister of Matsumoto & Nishimura (1998), seeded by one number: what NumPy's
 * RandomState (seed) uses. */
#define MT_N 624
#define MT_M 397

typedef struct {
  guint32 state[MT_N];
  guint next;
} Mt19937;

static void
mt_seed (Mt19937 *mt, guint32 seed)
{
  mt->state[0] = seed;
  for (guint32 i = 1; i < MT_N; i++)
    mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
  mt->next = MT_N;
}

static guint32
mt_next (Mt19937 *mt)
{
  guint32 y;

  if (mt->next == MT_N) {
    for (guint i = 0; i < MT_N; i++) {
      y = (mt->state[i] & 0x80000000u) | (mt->state[(i + 1) % MT_N] & 0x7fffffffu);
      mt->state[i] = mt->state[(i + MT_M) % MT_N] ^ (y >> 1) ^ (y & 1u ? 0x9908b0dfu : 0u);
    }
    mt->next = 0;
  }
  y = mt->state[mt->next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

/* Uniform in [0, max]: bits under the smallest mask that holds max, drawn again while above it. */
static guint32
mt_up_to (Mt19937 *mt, guint32 max)
{
  guint32 mask = max, value;

  for (guint shift = 1; shift < 32; shift *= 2)
    mask |= mask >> shift;
  do
    value = mt_next (mt) & mask;
  while (value > max);
  return value;
}

static int
compare_indices (gconstpointer a, gconstpointer b)
{
  guint ia = *(const guint *)a, ib = *(const guint *)b;

  return ia < ib ? -1 : ia > ib;
}

/* in_val[i] says where case i goes. */
static void
fill_split (TessSplit *split, const guint8 *in_val, guint n)
{
  *split = (TessSplit){.train = g_new (guint, n), .val = g_new (guint, n)};
  for (guint i = 0; i < n; i++)
    if (in_val[i])
      split->val[split->n_val++] = i;
    else
      split->train[split->n_train++] = i;
}

static gboolean
need_two_cases (const TessDataset *dataset, GError **error)
{
  if (dataset->cases->len >= 2)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: one case cannot be split into training and validation; add cases or use fold \"all\""),
               dataset->directory);
  return FALSE;
}

static gboolean
bad_fold (const char *origin, int fold, guint n_folds, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s: there is no fold %d; use 0 to %u, or \"all\""), origin,
               fold, n_folds - 1);
  return FALSE;
}

/* scikit-learn's KFold (n_folds, shuffle=True, random_state=FOLD_SEED): shuffle 0..n-1 by NumPy's legacy Fisher-Yates,
 * cut into runs of n / n_folds (the first n % n_folds one longer), run `fold` validates. */
static void
k_fold (guint n, guint n_folds, guint fold, TessSplit *split)
{
  g_autofree guint *order = g_new (guint, n);
  g_autofree guint8 *in_val = g_new0 (guint8, n);
  g_autofree Mt19937 *mt = g_new (Mt19937, 1);
  guint size = n / n_folds, longer = n % n_folds;
  guint begin = fold * size + MIN (fold, longer);

  for (guint i = 0; i < n; i++)
    order[i] = i;
  mt_seed (mt, FOLD_SEED);
  for (guint i = n - 1; i > 0; i--) {
    guint j = mt_up_to (mt, i), swap = order[i];

    order[i] = order[j];
    order[j] = swap;
  }
  for (guint i = begin; i < begin + size + (fold < longer); i++)
    in_val[order[i]] = 1;
  fill_split (split, in_val, n);
}

/* One id list of splits_final.json -> ascending indices without repeats. */
static gboolean
read_ids (const TessDataset *dataset, JsonObject *object, const char *path, const char *name, guint **indices, guint *n,
          GError **error)
{
  g_autoptr (GHashTable) by_id = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree guint *found = NULL;
  JsonArray *ids;
  guint n_found = 0;

  if (!tess_json_array (object, path, name, &ids, error))
    return FALSE;
  for (guint i = 0; i < dataset->cases->len; i++)
    g_hash_table_insert (by_id, tess_dataset_case (dataset, i)->id, GUINT_TO_POINTER (i + 1));
  found = g_new (guint, json_array_get_length (ids) + 1);
  for (guint i = 0; i < json_array_get_length (ids); i++) {
    JsonNode *node = json_array_get_element (ids, i);
    const char *id = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
    guint place = id ? GPOINTER_TO_UINT (g_hash_table_lookup (by_id, id)) : 0;

    if (place == 0) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: names the case \"%s\", which the dataset does not hold; add it or correct the file"), path,
                   id ? id : "?");
      return FALSE;
    }
    found[n_found++] = place - 1;
  }
  if (n_found == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: the list \"%s\" of a fold is empty; name its cases"),
                 path, name);
    return FALSE;
  }
  qsort (found, n_found, sizeof *found, compare_indices);
  *n = 0;
  for (guint i = 0; i < n_found; i++)
    if (*n == 0 || found[*n - 1] != found[i])
      found[(*n)++] = found[i];
  *indices = g_steal_pointer (&found);
  return TRUE;
}

static gboolean
fold_from_file (const TessDataset *dataset, const char *path, int fold, TessSplit *split, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_load (path, error);
  JsonArray *folds = NULL;
  JsonNode *node;

  if (!root)
    return FALSE;
  if (JSON_NODE_HOLDS_ARRAY (root))
    folds = json_node_get_array (root);
  if (!folds || json_array_get_length (folds) == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: is not a list of folds; write [{\"train\": [...], \"val\": [...]}, ...] or remove the file"),
                 path);
    return FALSE;
  }
  if ((guint)fold >= json_array_get_length (folds))
    return bad_fold (path, fold, json_array_get_length (folds), error);
  node = json_array_get_element (folds, (guint)fold);
  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: fold %d is not an object; write {\"train\": [...], \"val\": [...]}"), path, fold);
    return FALSE;
  }
  *split = (TessSplit){0};
  if (read_ids (dataset, json_node_get_object (node), path, "train", &split->train, &split->n_train, error) &&
      read_ids (dataset, json_node_get_object (node), path, "val", &split->val, &split->n_val, error))
    return TRUE;
  tess_split_clear (split);
  return FALSE;
}

/* Fills *split; the caller clears it. Errors: USAGE (no such fold), MISMATCH (too few cases, unknown ids), FORMAT.
 * Source: nnU-Net v2, do_split and crossval_split. */
gboolean
tess_split_fold (const TessDataset *dataset, int fold, TessSplit *split, GError **error)
{
  guint n = dataset->cases->len, n_folds = MIN (N_FOLDS, n);
  g_autofree char *path = NULL;

  if (fold == -1) {
    *split = (TessSplit){.n_train = n, .n_val = n, .train = g_new (guint, n), .val = g_new (guint, n)};
    for (guint i = 0; i < n; i++)
      split->train[i] = split->val[i] = i;
    return TRUE;
  }
  if (fold < 0)
    return bad_fold (dataset->directory, fold, n_folds, error);
  path = g_build_filename (dataset->directory, "splits_final.json", NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return fold_from_file (dataset, path, fold, split, error);
  if (!need_two_cases (dataset, error))
    return FALSE;
  if ((guint)fold >= n_folds)
    return bad_fold (dataset->directory, fold, n_folds, error);
  k_fold (n, n_folds, (guint)fold, split);
  return TRUE;
}

/* round (fraction * n) cases, at least one and not all, validate: those first in an order shuffled by (seed, i). */
gboolean
tess_split_fraction (const TessDataset *dataset, double fraction, guint64 seed, TessSplit *split, GError **error)
{
  guint n = dataset->cases->len, n_val;
  g_autofree guint *order = NULL;
  g_autofree guint8 *in_val = NULL;

  if (!(fraction > 0.0 && fraction < 1.0)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("a validation share of %g is not possible; give a number between 0 and 1"), fraction);
    return FALSE;
  }
  if (!need_two_cases (dataset, error))
    return FALSE;
  n_val = CLAMP ((guint)floor (fraction * n + 0.5), 1, n - 1);
  order = g_new (guint, n);
  in_val = g_new0 (guint8, n);
  for (guint i = 0; i < n; i++)
    order[i] = i;
  for (guint i = n - 1; i > 0; i--) {
    guint j = tess_philox_below (tess_philox (seed, 0, i, 0, 0).v[0], i + 1), swap = order[i];

    order[i] = order[j];
    order[j] = swap;
  }
  for (guint i = 0; i < n_val; i++)
    in_val[order[i]] = 1;
  fill_split (split, in_val, n);
  return TRUE;
}

void
tess_split_clear (TessSplit *split)
{
  g_clear_pointer (&split->train, g_free);
  g_clear_pointer (&split->val, g_free);
  split->n_train = split->n_val = 0;
}
