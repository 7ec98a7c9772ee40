#pragma once

// Radiotherapy structure sets (contours around regions).

#include "tess-codec-json.h"

#include <gdcmDataSet.h>

bool tess_codec_dicom_has_contours (const gdcm::DataSet &ds);
// Names, colours and the sizes of contours, as the member "structures".
void tess_codec_dicom_put_contours (TessCodecJson &json, const gdcm::DataSet &ds);
// The points those sizes count: x, y, z as doubles, native order. n: bytes; another number of points is a failure.
std::string tess_codec_dicom_contour_points (const gdcm::DataSet &ds, unsigned char *out, size_t n);
