#pragma once

#include "tess-sampler.h"

G_BEGIN_DECLS

/* The native voxels of a case in a device's memory, for a backend with TESS_BACKEND_SAMPLES. */
typedef struct _TessDeviceCase TessDeviceCase;

/* Where a whole patch goes, in buffers of the device; offsets in bytes. */
typedef struct {
  TessBuffer *image; /* f32 {D,H,W,C} */
  TessBuffer *label; /* u8 {D,H,W}, NULL when not wanted */
  gsize       image_offset, label_offset;
  TessBuffer *scratch; /* tess_intensity_scratch() bytes of the patch's voxels, for all patches in turn; NULL where the key augments nothing */
} TessDevicePatch;

guint64         tess_device_case_room  (const TessBackendIface *backend, guint index); /* bytes a device may hold of cases now; 0: it draws none */
guint64         tess_device_case_bytes (const TessCase *c); /* what it takes there */
TessDeviceCase *tess_device_case_new   (const TessBackendIface *backend, TessDevice *device, const TessCase *c, GError **error);
void            tess_device_case_free  (TessDeviceCase *resident);
/* The patch that tess_sampler_draw() gives for the same plan, case and key. Queued: whatever is asked of the device
 * later finds it done. */
gboolean        tess_device_case_draw  (const TessDeviceCase *resident, const TessPlan *plan, const TessCase *c, const TessSampleKey *key,
                                        const TessDevicePatch *out, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessDeviceCase, tess_device_case_free)

G_END_DECLS
