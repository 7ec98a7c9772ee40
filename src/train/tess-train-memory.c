#include "tess-train-memory.h"

#include <inttypes.h>
#include <string.h>

#include "tess-format.h"
#include "tess-planner.h"

/* Candidates for what would fit instead: patches from the plan's down, one step of one axis at a time. */
#define MAX_PATCHES 512
#define CLASS_STEP 8 /* voxels; networks whose patch need not be a multiple of anything large */

gboolean
tess_recompute_from_name (const char *name, TessRecompute *recompute)
{
  static const char *const names[] = {"auto", "on", "off"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0) {
      *recompute = (TessRecompute)i;
      return TRUE;
    }
  return FALSE;
}

/* ---- what would fit instead ---- */

typedef struct {
  const TessTrainMachine *machine;
  TessPlan *plan; /* changed while it is tried */
  guint64 limit;
  guint recompute;
} Search;

static gboolean
fits (Search *s)
{
  guint64 bytes = tess_plan_memory (s->plan, s->machine, s->recompute, NULL, NULL);

  return bytes > 0 && bytes <= s->limit;
}

/* The largest batch below the plan's, 0: none. */
static gint64
find_batch (Search *s)
{
  gint64 batch = s->plan->training.batch_size, low = 0, high = batch;

  while (high - low > 1) {
    s->plan->training.batch_size = low + (high - low) / 2;
    if (fits (s))
      low = s->plan->training.batch_size;
    else
      high = s->plan->training.batch_size;
  }
  s->plan->training.batch_size = batch;
  return low;
}

/* By how much a patch may shrink and how far; x, y, z. */
static void
find_steps (const TessPlan *plan, gint64 step[3], gint64 least[3])
{
  TessNetworkSpec spec;
  gint64 dhw[3], smallest[3];

  tess_plan_network_spec (plan, &spec);
  tess_network_divisor (&spec, dhw);
  tess_network_smallest (&spec, smallest);
  for (guint a = 0; a < 3; a++) {
    step[2 - a] = spec.architecture <= TESS_NETWORK_RESIDUAL_UNET ? dhw[a]
                  : spec.architecture == TESS_NETWORK_INGRADIENT  ? smallest[a]
                                                                  : CLASS_STEP;
    least[2 - a] = smallest[a];
  }
}

/* patches[0] is the plan's; each next one is smaller along its longest axis that can be. Returns their number. */
static guint
list_patches (const TessPlan *plan, gint64 patches[MAX_PATCHES][3])
{
  gint64 step[3], least[3];
  guint n = 1;

  find_steps (plan, step, least);
  memcpy (patches[0], plan->patch, sizeof patches[0]);
  for (; n < MAX_PATCHES; n++) {
    const gint64 *p = patches[n - 1];
    guint longest = 3;

    for (guint a = 0; a < 3; a++)
      if (p[a] - step[a] >= least[a] && (longest == 3 || p[a] > p[longest]))
        longest = a;
    if (longest == 3)
      break;
    memcpy (patches[n], p, sizeof patches[n]);
    patches[n][longest] -= step[longest];
  }
  return n;
}

/* The largest of those patches that fits with the plan's batch. */
static gboolean
find_patch (Search *s, gint64 patch[3])
{
  g_autofree gint64 (*patches)[3] = g_malloc (sizeof (gint64[MAX_PATCHES][3]));
  guint n = list_patches (s->plan, patches), low = 0, high = n;

  memcpy (patch, s->plan->patch, sizeof patches[0]);
  while (high - low > 1) { /* low: does not fit; high: fits, or none does */
    guint middle = low + (high - low) / 2;

    memcpy (s->plan->patch, patches[middle], sizeof patches[0]);
    if (fits (s))
      high = middle;
    else
      low = middle;
  }
  memcpy (s->plan->patch, patch, sizeof patches[0]);
  if (high < n)
    memcpy (patch, patches[high], sizeof patches[0]);
  return high < n;
}

/* What to do, of several things each of which is enough. */
static char *
advice (Search *s, guint64 recomputed)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  gint64 patch[3], batch = find_batch (s);
  char *text;

  if (recomputed > 0 && recomputed <= s->limit) {
    g_autofree char *bytes = tess_format_bytes (recomputed);

    g_ptr_array_add (parts, g_strdup_printf (_ ("recompute stages (--recompute auto), which needs %s"), bytes));
  }
  if (batch > 0)
    g_ptr_array_add (parts, g_strdup_printf (_ ("take a batch of %" PRId64), batch));
  if (find_patch (s, patch)) {
    g_autofree char *dims = tess_format_dims (patch, 3);

    g_ptr_array_add (parts, g_strdup_printf (_ ("take a patch of %s"), dims));
  }
  if (parts->len == 0)
    return g_strdup (_ ("free memory or allow more, for not even the smallest patch would fit"));
  g_ptr_array_add (parts, NULL);
  text = g_strjoinv (_ (", or "), (char **)parts->pdata);
  return text;
}

/* needed: the least that was allowed to be tried; recomputed: with all stages made again where that was not, else 0. */
static void
no_memory (const TessTrainMachine *machine, const TessPlan *plan, guint64 needed, guint64 limit, guint recompute,
           guint64 recomputed, GError **error)
{
  g_autoptr (TessPlan) copy = tess_plan_dup (plan);
  Search search = {.machine = machine, .plan = copy, .limit = limit, .recompute = recompute};
  g_autofree char *want = tess_format_bytes (needed), *have = tess_format_bytes (limit);
  g_autofree char *dims = tess_format_dims (plan->patch, 3), *what_to_do = advice (&search, recomputed);

  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("training with a patch of %s and a batch of %" PRId64 " needs %s of memory, and %s are there; %s"),
               dims, plan->training.batch_size, want, have, what_to_do);
}

/* The fewest stages between 1 and n, which is enough. */
static guint
fewest_stages (const TessTrainMachine *machine, const TessPlan *plan, guint n, guint64 limit, guint64 *bytes)
{
  guint low = 0, high = n;

  while (high - low > 1) {
    guint middle = low + (high - low) / 2;
    guint64 needed = tess_plan_memory (plan, machine, middle, NULL, NULL);

    if (needed > 0 && needed <= limit) {
      high = middle;
      *bytes = needed;
    } else {
      low = middle;
    }
  }
  return high;
}

gboolean
tess_train_memory_choose (const TessTrainMachine *machine, const TessPlan *plan, TessRecompute wish, guint64 limit,
                          guint *recompute, guint64 *bytes, GError **error)
{
  guint n_stages;
  guint64 kept = tess_plan_memory (plan, machine, 0, &n_stages, error), recomputed;

  *recompute = 0;
  *bytes = kept;
  if (kept == 0)
    return FALSE;
  if (wish != TESS_RECOMPUTE_ON && (limit == 0 || kept <= limit))
    return TRUE;
  recomputed = n_stages > 0 ? tess_plan_memory (plan, machine, n_stages, NULL, error) : kept;
  if (recomputed == 0)
    return FALSE;
  if (wish == TESS_RECOMPUTE_OFF) {
    no_memory (machine, plan, kept, limit, 0, recomputed, error);
    return FALSE;
  }
  *recompute = n_stages;
  *bytes = recomputed;
  if (limit > 0 && recomputed > limit) {
    no_memory (machine, plan, recomputed, limit, n_stages, 0, error);
    return FALSE;
  }
  if (wish == TESS_RECOMPUTE_AUTO)
    *recompute = fewest_stages (machine, plan, n_stages, limit, bytes);
  return TRUE;
}
