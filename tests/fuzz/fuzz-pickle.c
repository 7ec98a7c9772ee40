/* Any bytes, read as a pickle of plain data, NumPy's and PyTorch's things; every value is looked at. */
#include "tess-numpy-private.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static gboolean
any (const TessPickleValue *id, gpointer user_data, GError **error)
{
  return TRUE;
}

/* A value may hold itself: `budget` bounds the walk. */
static void
look (const TessPickleValue *value, guint depth, guint *budget)
{
  const TessPickleValue *key, *content;
  volatile guint8 sum = 0;
  const guint8 *bytes;
  double numbers[16];
  gsize n;

  if (!value || depth > 50 || *budget == 0)
    return;
  (*budget)--;
  for (guint k = 1; k <= 16; k++)
    tess_numpy_value_doubles (value, numbers, k);
  bytes = tess_pickle_bytes (value, &n);
  for (gsize i = 0; bytes && i < n; i++)
    sum = (guint8)(sum + bytes[i]);
  if (tess_pickle_global (value))
    sum = (guint8)(sum + strlen (tess_pickle_global (value)));
  for (gsize i = 0; i < tess_pickle_n (value); i++)
    if (tess_pickle_pair (value, i, &key, &content)) {
      look (key, depth + 1, budget);
      look (content, depth + 1, budget);
    } else {
      look (tess_pickle_nth (value, i), depth + 1, budget);
    }
  look (tess_pickle_args (value), depth + 1, budget);
  look (tess_pickle_state (value), depth + 1, budget);
  tess_pickle_lookup (value, "spacing");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  const TessPickleRules rules = {tess_numpy_globals, any, NULL};
  g_autoptr (TessPickle) pickle = tess_pickle_parse (bytes, "x.pkl", &rules, NULL);
  guint budget = 2000;

  if (pickle)
    look (tess_pickle_root (pickle), 0, &budget);
  return 0;
}
