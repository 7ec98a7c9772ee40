#pragma once

#include "tess-device-case.h"

G_BEGIN_DECLS

/* Cases whose native voxels lie in a device's memory, within a budget of bytes: least recently used go first, and none
 * for one that is hardly drawn. patch_bytes: of a patch that the host would have to draw and copy instead. The loader's
 * threads ask whether a case is worth being there; the device's thread puts it there and draws from it. */
typedef struct _TessResidents TessResidents;

TessResidents *tess_residents_new  (const TessBackendIface *backend, TessDevice *device, guint n_cases, guint64 budget_bytes,
                                    guint64 patch_bytes);
void           tess_residents_free (TessResidents *residents); /* on the device's thread */
/* Any thread: a patch of a case is to be drawn. FALSE: by the host. TRUE: the case stays until tess_residents_drop(). */
gboolean       tess_residents_want (TessResidents *residents, guint case_index, const TessCase *c);
void           tess_residents_drop (TessResidents *residents, guint case_index);
/* The device's thread, of a case that is wanted: lent. NULL without an error: the device has no room for it after all. */
const TessDeviceCase *tess_residents_get (TessResidents *residents, guint case_index, const TessCase *c, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessResidents, tess_residents_free)

G_END_DECLS
