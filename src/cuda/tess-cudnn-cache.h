#pragma once

#include "tess-cudnn.h"

G_BEGIN_DECLS

/* Which plans were chosen for convolutions on one kind of card with one cuDNN, kept from run to run. A hint: the plans
 * are made anew from it, and what cannot be made is planned. Belongs to its device's thread. */
typedef struct _TessCudnnCache TessCudnnCache;

/* device: what tells kinds of cards apart, one line. */
TessCudnnCache *tess_cudnn_cache_new  (const TessCudnn *cudnn, const char *device);
void            tess_cudnn_cache_free (TessCudnnCache *cache);
/* most: of how many plans the choice was, as the answer depends on it. */
gboolean        tess_cudnn_cache_find (TessCudnnCache *cache, const TessCudnnConv *conv, guint most, TessCudnnChoice *choice);
void            tess_cudnn_cache_keep (TessCudnnCache *cache, const TessCudnnConv *conv, guint most, const TessCudnnChoice *choice);
void            tess_cudnn_cache_save (TessCudnnCache *cache); /* where there is news */

G_END_DECLS
