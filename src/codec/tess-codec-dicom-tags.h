#pragma once

// Values of DICOM elements as plain C++ values; absent or malformed ones are empty.

#include <gdcmDataSet.h>
#include <gdcmSequenceOfItems.h>

#include <string>
#include <vector>

std::string tess_dicom_text (const gdcm::DataSet &ds, uint16_t group, uint16_t element); // padding removed
std::vector<double> tess_dicom_numbers (const gdcm::DataSet &ds, uint16_t group, uint16_t element); // DS and IS
// US, UL, AT: integers of `size` bytes, in the machine's order; FD: doubles.
std::vector<long long> tess_dicom_integers (const gdcm::DataSet &ds, uint16_t group, uint16_t element, size_t size);
std::vector<double> tess_dicom_doubles (const gdcm::DataSet &ds, uint16_t group, uint16_t element);
bool tess_dicom_integer (const gdcm::DataSet &ds, uint16_t group, uint16_t element, size_t size, long long *value);
bool tess_dicom_number (const gdcm::DataSet &ds, uint16_t group, uint16_t element, double *value);
gdcm::SmartPointer<gdcm::SequenceOfItems> tess_dicom_sequence (const gdcm::DataSet &ds, uint16_t group, uint16_t element);
// The first item of a sequence; false when there is none.
bool tess_dicom_item (const gdcm::DataSet &ds, uint16_t group, uint16_t element, gdcm::DataSet *item);
