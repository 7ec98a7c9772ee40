#pragma once

#include <glib.h>
#include <pthread.h>

G_BEGIN_DECLS

/* Mutex, condition and queue over pthread: ThreadSanitizer sees them, GLib's own it does not. */
typedef pthread_mutex_t TessMutex;
typedef pthread_cond_t  TessCond;
#define TESS_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define TESS_COND_INIT PTHREAD_COND_INITIALIZER

static inline void tess_mutex_init (TessMutex *m) { pthread_mutex_init (m, NULL); }
static inline void tess_mutex_clear (TessMutex *m) { pthread_mutex_destroy (m); }
static inline void tess_mutex_lock (TessMutex *m) { pthread_mutex_lock (m); }
static inline void tess_mutex_unlock (TessMutex *m) { pthread_mutex_unlock (m); }
static inline void tess_cond_init (TessCond *c) { pthread_cond_init (c, NULL); }
static inline void tess_cond_clear (TessCond *c) { pthread_cond_destroy (c); }
static inline void tess_cond_wait (TessCond *c, TessMutex *m) { pthread_cond_wait (c, m); }
static inline void tess_cond_signal (TessCond *c) { pthread_cond_signal (c); }
static inline void tess_cond_broadcast (TessCond *c) { pthread_cond_broadcast (c); }

typedef struct _TessThread TessThread;
typedef void (*TessThreadFunc) (gpointer data);

/* nice: added to the thread's priority before func runs (0 = none). Never fails but for lack of memory. */
TessThread *tess_thread_new  (const char *name, int nice, TessThreadFunc func, gpointer data);
void        tess_thread_join (TessThread *thread); /* frees */

/* Bounded first-in first-out queue of pointers. */
typedef struct _TessQueue TessQueue;

TessQueue *tess_queue_new      (guint capacity);
void       tess_queue_free     (TessQueue *queue); /* does not free what is left inside */
gboolean   tess_queue_push     (TessQueue *queue, gpointer item); /* blocks while full; FALSE once closed */
gpointer   tess_queue_pop      (TessQueue *queue);                /* blocks while empty; NULL once closed and empty */
gpointer   tess_queue_try_pop  (TessQueue *queue);
guint      tess_queue_length   (TessQueue *queue);
void       tess_queue_close    (TessQueue *queue); /* wakes everybody; pushes fail, pops drain */

G_END_DECLS
