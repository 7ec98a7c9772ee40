#pragma once

#include <glib.h>

/* One classic slice, as a file; fields left 0 or NULL are left out of it where DICOM allows. */
typedef struct {
  const char *series, *modality, *image_type, *photometric, *description, *charset;
  int columns, rows, instance, temporal, is_signed, stored, mosaic;
  const double *position, *orientation; /* 3, 6 */
  double spacing[2], thickness, between, slope, intercept;
  const guint16 *pixels; /* columns x rows, 16 bits each */
  int allocated;         /* 0: 16; else pixels are columns x rows x allocated bits */
  gboolean deflated;     /* the data set is */
} DicomSlice;

char *dicom_temp_dir (void);
void dicom_remove (const char *folder);
void dicom_write (const char *folder, const char *name, const DicomSlice *slice);
GBytes *dicom_bytes (const DicomSlice *slice);
