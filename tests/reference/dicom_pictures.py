#!/usr/bin/env python3
"""Kinds of DICOM pictures of which there is no real file, made by pydicom, and what pydicom and numpy read from them.

usage: dicom_pictures.py > dicom_pictures.json

Needs pydicom >= 3 and numpy. A case: name, base64 of the file, dims (x, y, z), channels, and the real values, x fastest, then
y, z, channel; tolerance in steps (colour conversions round); words that a warning has.
"""
import base64, io, json, sys
import numpy as np, pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

rng = np.random.default_rng(3)
H, W = 5, 7


def new(kind, photometric, samples, bits, signed=0, uid=SecondaryCaptureImageStorage):
    d = Dataset()
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = uid, '1.2.3.4', kind
    d.SeriesInstanceUID, d.StudyInstanceUID = '1.2.3.5', '1.2.3'
    d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = H, W, samples, photometric
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = bits, bits, bits - 1, signed
    if samples == 3:
        d.PlanarConfiguration = 0
    d.ImagePositionPatient, d.ImageOrientationPatient, d.PixelSpacing = [0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 1]
    d.SliceThickness, d.PatientName = 1, 'Secret^Person'
    return d


def case(name, d, values, tolerance=0, warns=()):
    """values: (z, y, x) or (z, y, x, channel)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = d.SOPClassUID, d.SOPInstanceUID
    d.file_meta = meta
    out = io.BytesIO()
    pydicom.dcmwrite(out, d, enforce_file_format=True)
    values = values if values.ndim == 4 else values[..., None]
    return dict(name=name, file=base64.b64encode(out.getvalue()).decode(), dims=list(values.shape[2::-1]),
                channels=values.shape[3], values=np.moveaxis(values, 3, 0).ravel().tolist(), tolerance=tolerance,
                warnings=list(warns))


def read(d):
    """pydicom's pixel array, of what is written."""
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return d.pixel_array


def planar(name, dtype):
    d = new('OT', 'RGB', 3, 8 * np.dtype(dtype).itemsize)
    d.PlanarConfiguration, d.NumberOfFrames = 1, 2
    d.PixelData = rng.integers(0, np.iinfo(dtype).max, (2, 3, H, W)).astype(dtype).tobytes()
    return case(name, d, read(d), warns=['distance between slices is not given'])


def ybr():
    d = new('OT', 'YBR_FULL', 3, 8)
    d.PixelData = rng.integers(0, 256, (H, W, 3)).astype(np.uint8).tobytes() + b'\0'
    d.PixelData = d.PixelData[:H * W * 3 + H * W * 3 % 2]
    return case('YBR_FULL', d, convert_color_space(d_raw(d), 'YBR_FULL', 'RGB')[None], tolerance=1)


def d_raw(d):
    return np.frombuffer(d.PixelData, np.uint8)[:H * W * 3].reshape(H, W, 3)


def palette(name, bits, first):
    d = new('OT', 'PALETTE COLOR', 1, 8)
    n = 40
    for colour in ('Red', 'Green', 'Blue'):
        setattr(d, colour + 'PaletteColorLookupTableDescriptor', [n, first, bits])
        table = rng.integers(0, 2 ** bits, n).astype('<u2' if bits == 16 else 'u1')
        setattr(d, colour + 'PaletteColorLookupTableData', table.tobytes())
    v = rng.integers(0, n + first + 10, (H, W)).astype(np.uint8)  # some below and above the table
    d.PixelData = v.tobytes() + b'\0' * (v.size % 2)
    return case(name, d, apply_color_lut(v, d)[None])


def inverted(name, bits, signed):
    d = new('DX', 'MONOCHROME1', 1, bits, signed)
    kind = np.dtype('%s%d' % ('i' if signed else 'u', bits // 8))
    v = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, (H, W)).astype(kind)
    d.PixelData = v.tobytes() + b'\0' * (v.nbytes % 2)
    most = -1 if signed else np.iinfo(kind).max
    return case(name, d, (most - v.astype(int))[None], warns=['MONOCHROME1'])


def kept():
    d = new('CT', 'MONOCHROME1', 1, 16)  # numbers that mean something are left alone
    v = rng.integers(0, 3000, (H, W)).astype(np.uint16)
    d.PixelData = v.tobytes()
    return case('MONOCHROME1 of a CT', d, v[None])


def enhanced():
    """3 slices, top first, by 2 times, times varying fastest in the file; slopes of their own."""
    d = new('MR', 'MONOCHROME2', 1, 16, uid=EnhancedMRImageStorage)
    del d.ImagePositionPatient, d.ImageOrientationPatient, d.PixelSpacing, d.SliceThickness
    v = rng.integers(0, 4000, (6, H, W)).astype(np.uint16)
    d.NumberOfFrames, d.PixelData = 6, v.tobytes()
    d.PerFrameFunctionalGroupsSequence, real = [], np.zeros((3, H, W, 2))
    shared = Dataset()
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [2, 1.5], 4, 4
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    d.SharedFunctionalGroupsSequence = [shared]
    for i in range(6):
        z, t = 2 - i // 2, i % 2
        content, place, scale, group = Dataset(), Dataset(), Dataset(), Dataset()
        content.TemporalPositionIndex, content.DimensionIndexValues = t + 1, [z + 1, t + 1]
        place.ImagePositionPatient = [0, 0, 4 * z]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = .5 + .25 * i, i, 'US'
        group.FrameContentSequence, group.PlanePositionSequence = [content], [place]
        group.PixelValueTransformationSequence = [scale]
        d.PerFrameFunctionalGroupsSequence.append(group)
        real[z, :, :, t] = v[i] * (.5 + .25 * i) + i
    return case('enhanced, time fastest', d, real, warns=['differs from slice to slice'])


json.dump(dict(cases=[planar('RGB by planes', np.uint8), planar('RGB by planes, 16 bits', np.uint16), ybr(),
                      palette('palette, 8-bit entries', 8, 0), palette('palette, 16-bit entries, first 5', 16, 5),
                      inverted('MONOCHROME1', 8, 0), inverted('MONOCHROME1, signed', 16, 1), kept(), enhanced()]),
          sys.stdout, separators=(',', ':'))
print()
