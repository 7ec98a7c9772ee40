#include "tess-thread.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

struct _TessThread {
  pthread_t id;
  char name[16]; /* the kernel's limit */
  int nice;
  TessThreadFunc func;
  gpointer data;
};

static void *
thread_main (void *user_data)
{
  TessThread *thread = user_data;

  pthread_setname_np (pthread_self (), thread->name);
  if (thread->nice) {
    /* On Linux this is the thread's own value, and threads made by it (OpenMP's team) inherit it. */
    int old;

    errno = 0;
    old = getpriority (PRIO_PROCESS, (id_t)gettid ());
    if (errno == 0)
      setpriority (PRIO_PROCESS, (id_t)gettid (), old + thread->nice);
  }
  thread->func (thread->data);
  return NULL;
}

TessThread *
tess_thread_new (const char *name, int nice, TessThreadFunc func, gpointer data)
{
  TessThread *thread = g_new0 (TessThread, 1);
  int result;

  g_strlcpy (thread->name, name ? name : "tessera", sizeof thread->name);
  thread->nice = nice;
  thread->func = func;
  thread->data = data;
  result = pthread_create (&thread->id, NULL, thread_main, thread);
  if (result != 0) /* as g_thread_new and g_malloc do */
    g_error ("no memory for a thread: %s", g_strerror (result));
  return thread;
}

void
tess_thread_join (TessThread *thread)
{
  if (!thread)
    return;
  pthread_join (thread->id, NULL);
  g_free (thread);
}

struct _TessQueue {
  TessMutex mutex;
  TessCond not_full, not_empty;
  guint capacity, first, length;
  gboolean closed;
  gpointer items[];
};

TessQueue *
tess_queue_new (guint capacity)
{
  TessQueue *queue;

  capacity = MAX (capacity, 1);
  queue = g_malloc0 (sizeof (TessQueue) + sizeof (gpointer) * (gsize)capacity);
  tess_mutex_init (&queue->mutex);
  tess_cond_init (&queue->not_full);
  tess_cond_init (&queue->not_empty);
  queue->capacity = capacity;
  return queue;
}

void
tess_queue_free (TessQueue *queue)
{
  if (!queue)
    return;
  tess_cond_clear (&queue->not_empty);
  tess_cond_clear (&queue->not_full);
  tess_mutex_clear (&queue->mutex);
  g_free (queue);
}

/* @item must not be NULL (that is how an empty queue answers). On FALSE the item stays the caller's. */
gboolean
tess_queue_push (TessQueue *queue, gpointer item)
{
  gboolean pushed = FALSE;

  g_return_val_if_fail (item != NULL, FALSE);
  tess_mutex_lock (&queue->mutex);
  while (!queue->closed && queue->length == queue->capacity)
    tess_cond_wait (&queue->not_full, &queue->mutex);
  if (!queue->closed) {
    queue->items[(queue->first + queue->length) % queue->capacity] = item;
    queue->length++;
    pushed = TRUE;
    tess_cond_signal (&queue->not_empty);
  }
  tess_mutex_unlock (&queue->mutex);
  return pushed;
}

/* With the mutex held. */
static gpointer
take (TessQueue *queue)
{
  gpointer item;

  if (queue->length == 0)
    return NULL;
  item = queue->items[queue->first];
  queue->first = (queue->first + 1) % queue->capacity;
  queue->length--;
  tess_cond_signal (&queue->not_full);
  return item;
}

gpointer
tess_queue_pop (TessQueue *queue)
{
  gpointer item;

  tess_mutex_lock (&queue->mutex);
  while (!queue->closed && queue->length == 0)
    tess_cond_wait (&queue->not_empty, &queue->mutex);
  item = take (queue);
  tess_mutex_unlock (&queue->mutex);
  return item;
}

gpointer
tess_queue_try_pop (TessQueue *queue)
{
  gpointer item;

  tess_mutex_lock (&queue->mutex);
  item = take (queue);
  tess_mutex_unlock (&queue->mutex);
  return item;
}

guint
tess_queue_length (TessQueue *queue)
{
  guint length;

  tess_mutex_lock (&queue->mutex);
  length = queue->length;
  tess_mutex_unlock (&queue->mutex);
  return length;
}

void
tess_queue_close (TessQueue *queue)
{
  tess_mutex_lock (&queue->mutex);
  queue->closed = TRUE;
  tess_cond_broadcast (&queue->not_full);
  tess_cond_broadcast (&queue->not_empty);
  tess_mutex_unlock (&queue->mutex);
}
