#include "tess-residents.h"

#include "tess-thread.h"

/* Drawing a patch on a core and copying it counts as copying this many times its bytes. */
#define DRAWING_COST 4u

typedef struct {
  TessDeviceCase *held; /* NULL: not copied yet */
  gboolean in;          /* it has a place */
  guint wanted;         /* patches to be drawn from it */
  guint64 bytes;        /* of its place */
  guint64 last;         /* when it was last wanted */
  guint64 owed;         /* what patches drawn elsewhere have cost since, in bytes copied */
} Entry;

struct _TessResidents {
  const TessBackendIface *backend;
  TessDevice *device;
  guint n_cases;

  TessMutex mutex; /* guards everything below */
  Entry *entries;
  GPtrArray *leaving; /* TessDeviceCase that the device's thread frees */
  guint64 budget, used, clock, patch_cost;
};

TessResidents *
tess_residents_new (const TessBackendIface *backend, TessDevice *device, guint n_cases, guint64 budget_bytes,
                    guint64 patch_bytes)
{
  TessResidents *r = g_new0 (TessResidents, 1);

  r->backend = backend;
  r->device = device;
  r->n_cases = n_cases;
  r->budget = budget_bytes;
  r->patch_cost = MIN (patch_bytes, G_MAXUINT32) * DRAWING_COST;
  r->entries = g_new0 (Entry, n_cases);
  r->leaving = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_device_case_free);
  tess_mutex_init (&r->mutex);
  return r;
}

void
tess_residents_free (TessResidents *r)
{
  if (!r)
    return;
  for (guint i = 0; i < r->n_cases; i++)
    tess_device_case_free (r->entries[i].held);
  g_ptr_array_unref (r->leaving);
  g_free (r->entries);
  tess_mutex_clear (&r->mutex);
  g_free (r);
}

static void
leave (TessResidents *r, Entry *e)
{
  e->in = FALSE;
  r->used -= e->bytes;
  if (e->held)
    g_ptr_array_add (r->leaving, g_steal_pointer (&e->held));
}

static gboolean
may_leave (const Entry *e)
{
  return e->in && e->wanted == 0;
}

/* With the mutex held. None goes in vain. */
static gboolean
push_out (TessResidents *r, guint64 bytes)
{
  guint64 free_bytes = r->budget - r->used;

  for (guint i = 0; i < r->n_cases; i++)
    if (may_leave (&r->entries[i]))
      free_bytes += r->entries[i].bytes;
  if (bytes > free_bytes)
    return FALSE;
  while (bytes > r->budget - r->used) {
    Entry *oldest = NULL;

    for (guint i = 0; i < r->n_cases; i++)
      if (may_leave (&r->entries[i]) && (!oldest || r->entries[i].last < oldest->last))
        oldest = &r->entries[i];
    leave (r, oldest);
  }
  return TRUE;
}

/**
 * tess_residents_want:
 *
 * A case gets a place where there is room. Where there is none it pushes out those that were not wanted for longest,
 * but only once the patches drawn of it elsewhere have cost about as much as copying it will: so copies of cases never
 * cost more than the patches they save, in whatever order cases come.
 */
gboolean
tess_residents_want (TessResidents *r, guint case_index, const TessCase *c)
{
  Entry *e = &r->entries[case_index];
  guint64 bytes = tess_device_case_bytes (c);
  gboolean stays;

  tess_mutex_lock (&r->mutex);
  e->last = ++r->clock;
  if (!e->in && (bytes <= r->budget - r->used || (e->owed >= bytes && push_out (r, bytes)))) {
    e->in = TRUE;
    e->bytes = bytes;
    r->used += bytes;
  }
  stays = e->in;
  e->wanted += stays;
  e->owed = stays ? 0 : e->owed + r->patch_cost;
  tess_mutex_unlock (&r->mutex);
  return stays;
}

void
tess_residents_drop (TessResidents *r, guint case_index)
{
  tess_mutex_lock (&r->mutex);
  r->entries[case_index].wanted--;
  tess_mutex_unlock (&r->mutex);
}

/* Another program took the memory: what lies there is all that may. */
static void
shrink (TessResidents *r, Entry *e)
{
  tess_mutex_lock (&r->mutex);
  if (e->in)
    leave (r, e);
  r->budget = MIN (r->budget, r->used);
  tess_mutex_unlock (&r->mutex);
}

const TessDeviceCase *
tess_residents_get (TessResidents *r, guint case_index, const TessCase *c, GError **error)
{
  Entry *e = &r->entries[case_index];
  g_autoptr (GPtrArray) leaving = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_device_case_free);
  GError *local = NULL;
  TessDeviceCase *held;
  gboolean in;

  tess_mutex_lock (&r->mutex);
  g_ptr_array_extend_and_steal (leaving, g_steal_pointer (&r->leaving));
  r->leaving = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_device_case_free);
  held = e->held;
  in = e->in;
  tess_mutex_unlock (&r->mutex);
  g_ptr_array_set_size (leaving, 0); /* before something takes their place */
  if (held || !in)
    return held;

  held = tess_device_case_new (r->backend, r->device, c, &local);
  if (!held) {
    shrink (r, e);
    if (g_error_matches (local, TESS_ERROR, TESS_ERROR_NO_MEMORY))
      g_clear_error (&local);
    else
      g_propagate_error (error, local);
    return NULL;
  }
  tess_mutex_lock (&r->mutex);
  e->held = held;
  tess_mutex_unlock (&r->mutex);
  return held;
}
