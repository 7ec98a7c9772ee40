#pragma once

#include "tess-case.h"

G_BEGIN_DECLS

/* Decoded cases within a byte budget: least recently used go first, cases in use are never freed. Any thread; two
 * threads that ask for one case decode it once. */
typedef struct _TessCaseCache TessCaseCache;

TessCaseCache *tess_case_cache_new    (TessDataset *dataset, const char *constants_dir, guint64 budget_bytes);
void           tess_case_cache_free   (TessCaseCache *cache);
TessCase      *tess_case_cache_get    (TessCaseCache *cache, guint index, GError **error); /* new reference */
gboolean       tess_case_cache_peek   (TessCaseCache *cache, guint index); /* is it decoded now */
/* The labels (but background) that the cases were seen to hold. FALSE: not all of them have been decoded yet. */
gboolean       tess_case_cache_labels (TessCaseCache *cache, const guint *cases, guint n, gboolean present[256]);
guint64        tess_case_cache_bytes  (TessCaseCache *cache); /* held now */
guint64        tess_case_cache_peak   (TessCaseCache *cache);
guint64        tess_case_cache_loads  (TessCaseCache *cache); /* decodes so far */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessCaseCache, tess_case_cache_free)

G_END_DECLS
