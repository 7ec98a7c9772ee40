#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One contiguous share [begin,end) of [0,n). */
typedef void (*TessParallelFunc) (gsize begin, gsize end, gpointer user_data);

void   tess_parallel_for         (gsize n, gsize min_per_thread, TessParallelFunc func, gpointer user_data);
void   tess_parallel_set_threads (guint n_threads); /* of the calling thread's loops; 0 = all cores */
guint  tess_parallel_get_threads (void);
guint  tess_parallel_n_cores     (void);
double tess_parallel_sum         (gsize n, double (*block) (gsize begin, gsize end, gpointer user_data), gpointer user_data);

G_END_DECLS
