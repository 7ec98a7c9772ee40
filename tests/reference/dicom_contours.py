#!/usr/bin/env python3
"""Structure sets (RTSTRUCT) and the small scans they were drawn on, with the masks scikit-image makes of the contours:
dicom_contours.py > dicom_contours.json

Needs pydicom >= 3, numpy, scikit-image. Contours are made in voxels of a slice, filled there by skimage.draw.polygon2mask
(several of one slice by exclusive or) and written in millimetres. A case: files (name, base64 of what pydicom wrote), the
structure set's name, dims, affine (RAS+) and for each region its name, colour, and SHA-1 of its mask, a byte a voxel, x
fastest; channels as overlaps demand.
"""
import base64, hashlib, io, json, sys
import numpy as np, pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage
from skimage.draw import polygon2mask

FRAME, SERIES, OTHER = '1.2.3.100', '1.2.3.200', '1.2.3.201'
W, H = 40, 32


def text(d):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = d.SOPClassUID, d.SOPInstanceUID
    d.file_meta = meta
    d.PatientName, d.PatientID = 'Secret^Person', 'SECRET-ID'
    out = io.BytesIO()
    pydicom.dcmwrite(out, d, enforce_file_format=True)
    return base64.b64encode(out.getvalue()).decode()


def scan(positions, orientation, spacing, thickness):
    files = {}
    for k, p in enumerate(positions):
        d = Dataset()
        d.SOPClassUID, d.SOPInstanceUID, d.Modality = CTImageStorage, '1.2.3.300.%d' % k, 'CT'
        d.SeriesInstanceUID, d.StudyInstanceUID, d.FrameOfReferenceUID = SERIES, '1.2.3', FRAME
        d.InstanceNumber, d.SeriesDescription = k + 1, 'Planning'
        d.ImagePositionPatient = ['%.6f' % v for v in p]
        d.ImageOrientationPatient = ['%.9f' % v for v in orientation]
        d.PixelSpacing, d.SliceThickness = list(spacing), thickness
        d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = H, W, 1, 'MONOCHROME2'
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 8, 8, 7, 0
        d.PixelData = bytes([k] * (W * H))
        files['scan/%02d.dcm' % k] = text(d)
    return files


def structure_set(regions, to_mm, series):
    """regions: (number, name, colour, [(slice, points in voxels, type)])."""
    d = Dataset()
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = RTStructureSetStorage, '1.2.3.400', 'RTSTRUCT'
    d.SeriesInstanceUID, d.StudyInstanceUID, d.StructureSetLabel = '1.2.3.500', '1.2.3', 'Plan A'
    d.SpecificCharacterSet = 'ISO_IR 192'
    r = Dataset()
    r.SeriesInstanceUID = series
    study = Dataset()
    study.RTReferencedSeriesSequence = [r]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, [study]
    d.ReferencedFrameOfReferenceSequence = [frame]
    d.StructureSetROISequence, d.ROIContourSequence = [], []
    for number, name, colour, contours in regions:
        s = Dataset()
        s.ROINumber, s.ROIName, s.ReferencedFrameOfReferenceUID = number, name, FRAME
        d.StructureSetROISequence.append(s)
        c = Dataset()
        c.ReferencedROINumber = number
        if colour:
            c.ROIDisplayColor = colour
        c.ContourSequence = []
        for z, points, kind in contours:
            one = Dataset()
            one.ContourGeometricType, one.NumberOfContourPoints = kind, len(points)
            one.ContourData = ['%.4f' % v for x, y in points for v in to_mm(x, y, z)]
            c.ContourSequence.append(one)
        d.ROIContourSequence.append(c)
    return text(d)


def blob(rng, x, y, r, n=17):
    a = np.sort(rng.uniform(0, 2 * np.pi, n))
    return [(x + r * f * np.cos(t), y + r * f * np.sin(t)) for t, f in zip(a, rng.uniform(.6, 1, n))]


def regions_of(rng, slices):
    """A blob; a ring by two contours; a ring by a keyhole; two pieces that overlap the blob; points only."""
    body, ring, key, pieces = [], [], [], []
    for z in slices:
        body.append((z, blob(rng, 15.3, 14.7, 12.4), 'CLOSED_PLANAR'))
        outer, inner = blob(rng, 28.1, 10.2, 9, 23), blob(rng, 28.1, 10.2, 4.6, 11)
        ring += [(z, outer, 'CLOSED_PLANAR'), (z, inner, 'CLOSED_PLANAR')]
        outer, inner = blob(rng, 10.4, 20.6, 9, 23), blob(rng, 10.4, 20.6, 4.6, 11)
        key.append((z, outer + [outer[0]] + [inner[0]] + inner[::-1] + [outer[0]], 'CLOSED_PLANAR'))
        pieces += [(z, blob(rng, 8.2, 8.9, 5), 'CLOSED_PLANAR'), (z, blob(rng, 35.5, 27.1, 7), 'CLOSED_PLANAR')]
    pieces.append((slices[0], [(3, 3)], 'POINT'))
    pieces.append((slices[0], [(3, 3), (9, 9)], 'OPEN_PLANAR'))
    return [(1, 'Body', [255, 0, 10], body), (2, 'Ring', [0, 128, 255], ring), (7, '종양', None, key),
            (300, 'Pieces', [1, 2, 3], pieces)]


def masks(regions, n):
    out = []
    for number, name, colour, contours in regions:
        m = np.zeros((n, H, W), bool)
        for z, points, kind in contours:
            if kind == 'CLOSED_PLANAR':  # skimage: (row, column)
                m[z] ^= polygon2mask((H, W), [(y, x) for x, y in points])
        out.append(dict(name=name, value=number, colour=colour or [], count=int(m.sum()),
                        sha1=hashlib.sha1(m.astype(np.uint8).tobytes()).hexdigest(), mask=m))
    return out


def channels(found):
    """Each region in the first channel where it overlaps nothing."""
    taken = []
    for r in found:
        for c in taken:
            if not (c & r['mask']).any():
                c |= r['mask']
                break
        else:
            taken.append(r['mask'].copy())
    return len(taken)


def case(name, seed, positions, orientation, spacing, series=SERIES, warns=()):
    rng = np.random.default_rng(seed)
    o = np.array(orientation)
    normal = np.cross(o[:3], o[3:])

    def to_mm(x, y, z):
        return np.array(positions[z]) + x * spacing[1] * o[:3] + y * spacing[0] * o[3:]
    regions = regions_of(rng, range(1, len(positions)))
    found = masks(regions, len(positions))
    files = scan(positions, orientation, spacing, 3)
    files['contours/rt.dcm'] = structure_set(regions, to_mm, series)
    n = channels(found)
    for r in found:
        del r['mask']
    return dict(name=name, files=files, dims=[W, H, len(positions)], channels=n, regions=found, warnings=list(warns))


def main():
    c, s = np.cos(.3), np.sin(.3)
    axial, oblique = [1., 0, 0, 0, 1, 0], [c, s, 0, -s * .8, c * .8, .6]
    normal = np.cross(oblique[:3], oblique[3:])
    tilt = [list(np.array([-3.25, 8.5, 12]) + k * (2.5 * normal + .4 * np.array(oblique[3:]))) for k in (0, 1, 2, 4, 5)]
    flat = [[-20.5, 11.25, -40 + 3. * k] for k in range(4)]
    open_lines = ['2 points and open lines enclose nothing']
    cases = [case('axial', 1, flat, axial, (.8, .7), warns=open_lines),
             case('tilted, oblique, a slice missing', 2, tilt, oblique, (.9, 1.1), warns=open_lines),
             case('another series of the frame', 3, flat, axial, (.8, .7), OTHER, ['same frame of reference (CT, Planning)'])]
    # without the scan: a square of 20 mm, a point a millimetre, on planes 4 mm apart
    square = [(float(k), 0.) for k in range(20)] + [(20., float(k)) for k in range(20)] + \
             [(20. - k, 20.) for k in range(20)] + [(0., 20. - k) for k in range(20)]
    rt = structure_set([(0, 'Square', None, [(z, square, 'CLOSED_PLANAR') for z in range(3)])],
                       lambda x, y, z: (x + 5, y - 7, 4. * z - 10), SERIES)
    cases.append(dict(name='no scan', files={'contours/rt.dcm': rt}, dims=[23, 23, 3], channels=1, warnings=[
        'series 1.2.3.200) is not beside them; the labels are on a grid of their own, 1 x 1 x 4 mm', 'numbered anew'],
        regions=[dict(name='Square', value=1, colour=[], count=3 * 20 * 20)]))
    json.dump(dict(cases=cases), sys.stdout, ensure_ascii=False, separators=(',', ':'))
    print()


main()
