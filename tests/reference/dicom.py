#!/usr/bin/env python3
"""Expected contents of real DICOM files, by pydicom, its decoders and numpy: dicom.py FOLDER_OF_DATA > dicom.json

Needs pydicom >= 3, pylibjpeg with its plugins, pyjpegls, numpy. A case: what to open, dims (x, y, z), channels, type of the
voxels, affine (RAS+), SHA-1 of the stored values as little-endian int32 (float32 where they are floats) with x fastest,
then y, z, channel; scaling; words that a warning has (from the notes of the data's README).
"""
import hashlib, json, os, sys
import numpy as np, pydicom
from pydicom.pixels import apply_color_lut

root = sys.argv[1]
LPS_TO_RAS = np.diag([-1., -1, 1, 1])


def frames_of(path):
    """(pixels, position, orientation, spacing, slope, intercept, order) of every frame."""
    d = pydicom.dcmread(path, force=True)
    if 'TransferSyntaxUID' not in d.file_meta:
        d.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    a = d.pixel_array  # YBR is RGB here already
    if d.PhotometricInterpretation == 'PALETTE COLOR':
        a = apply_color_lut(a, d)
    if d.PhotometricInterpretation == 'MONOCHROME1' and d.Modality not in ('CT', 'PT', 'NM', 'MR', 'RTDOSE'):
        a = (2 ** d.BitsStored - 1 - a.astype(int)).astype(a.dtype)  # white is the lowest value
    n = int(getattr(d, 'NumberOfFrames', 1))
    a = a.reshape((n,) + a.shape[-(3 if d.SamplesPerPixel == 3 or 'PALETTE' in d.PhotometricInterpretation else 2):])
    shared = d.SharedFunctionalGroupsSequence[0] if 'SharedFunctionalGroupsSequence' in d else None
    for i in range(n):
        own = d.PerFrameFunctionalGroupsSequence[i] if 'PerFrameFunctionalGroupsSequence' in d else None

        def find(sequence, name, otherwise=None):
            for g in (own, shared):
                if g is not None and sequence in g and name in g[sequence].value[0]:
                    return g[sequence].value[0][name].value
            return d[name].value if name in d else otherwise
        order = (find('FrameContentSequence', 'TemporalPositionIndex', 0), float(getattr(d, 'InstanceNumber', 0) or 0), i)
        if own is not None and 'FrameContentSequence' in own and 'DimensionIndexValues' in own.FrameContentSequence[0]:
            order = (order[0], tuple(np.atleast_1d(own.FrameContentSequence[0].DimensionIndexValues)), i)
        yield dict(pixels=a[i], position=find('PlanePositionSequence', 'ImagePositionPatient'),
                   orientation=find('PlaneOrientationSequence', 'ImageOrientationPatient'),
                   spacing=find('PixelMeasuresSequence', 'PixelSpacing', getattr(d, 'ImagerPixelSpacing', None)),
                   thickness=find('PixelMeasuresSequence', 'SliceThickness'),
                   between=find('PixelMeasuresSequence', 'SpacingBetweenSlices'),
                   slope=float(find('PixelValueTransformationSequence', 'RescaleSlope', 1)),
                   intercept=float(find('PixelValueTransformationSequence', 'RescaleIntercept', 0)), order=order)


def stack(paths, step=None):
    """Volume (channel, z, y, x), affine, slope, intercept."""
    f = [x for p in paths for x in frames_of(p)]
    if f[0]['position'] is None:
        o, along, origin = [1, 0, 0, 0, 1, 0], range(len(f)), np.zeros(3)
    else:
        o, origin = [float(v) for v in f[0]['orientation']], None
        normal = np.cross(o[:3], o[3:])
        if step:  # frames of one position, stacked
            along = [k * step for k in range(len(f))]
        else:
            along = [float(np.dot(np.array(x['position'], float), normal)) for x in f]
    rounded = np.round(np.array(along, float), 2)
    places = np.unique(rounded)
    m = len(f) // len(places)
    volume = []
    for p in places:
        here = sorted((k for k in range(len(f)) if rounded[k] == p), key=lambda k: f[k]['order'])[:m]
        volume.append([f[k]['pixels'] for k in here])
    first = f[int(np.argmin(along))]
    last = f[int(np.argmax(along))]
    s = [float(v) for v in first['spacing']] if first['spacing'] is not None else [1., 1.]
    if origin is None:
        origin = np.array(first['position'], float)
    if len(places) > 1 and not step and first['position'] is not None:
        z = (np.array(last['position'], float) - origin)
        gaps = np.diff(sorted(set(np.round(along, 6)))) if m == 1 else np.diff(places)
        z = z / (max(along) - min(along)) * (np.median(gaps) if np.ptp(gaps) > .02 else (max(along) - min(along)) / (len(places) - 1))
    else:
        gap = step or float(first['between'] or first['thickness'] or 1)
        normal = np.cross(o[:3], o[3:])
        z = normal / np.linalg.norm(normal) * gap
    affine = np.eye(4)
    affine[:3, 0] = np.array(o[:3]) * s[1]
    affine[:3, 1] = np.array(o[3:]) * s[0]
    affine[:3, 2] = z
    affine[:3, 3] = origin
    v = np.array(volume)  # z, time, y, x[, colour]
    v = v.transpose(1, 4, 0, 2, 3).reshape((-1,) + v.shape[:1] + v.shape[2:4]) if v.ndim == 5 else v.transpose(1, 0, 2, 3)
    return v, LPS_TO_RAS @ affine, f[0]['slope'], f[0]['intercept']


def case(path, warns=(), files=None, step=None, tolerance=0, uid=None):
    full = os.path.join(root, path)
    if files is None:
        files = [os.path.join(full, n) for n in sorted(os.listdir(full))] if os.path.isdir(full) else [full]
    v, affine, slope, intercept = stack(files, step)
    kind = np.float32 if v.dtype.kind == 'f' else np.int32
    out = dict(path=path, dims=[int(k) for k in v.shape[:0:-1]], channels=int(v.shape[0]), dtype=str(v.dtype),
               affine=affine[:3].ravel().tolist(), slope=slope, intercept=intercept, warnings=list(warns),
               sha1=hashlib.sha1(np.ascontiguousarray(v.astype(kind)).tobytes()).hexdigest())
    if tolerance:  # lossy decoders differ by a step: compare the mean instead
        out['sha1'] = ''
        out['mean'] = float(v.mean())
        out['tolerance'] = tolerance
    if uid:
        out['path'] += '::' + uid
    return out


def nrrd(path):
    with open(path, 'rb') as f:
        head, data = f.read().split(b'\n\n', 1)
    fields = dict(l.split(': ', 1) for l in head.decode().splitlines() if ': ' in l)
    import gzip
    return np.frombuffer(gzip.decompress(data), '<i2').reshape([int(k) for k in fields['sizes'].split()][::-1])


def main():
    syntax = os.path.join(root, 'dicom/transfer_syntax_ct')
    cases = [
        case('dicom/ct_abdomen_every10th', ['1 mm thick and 10 mm apart']),
        case('dicom/ct_j2k_thick3_gap2', ['3 mm thick and 2 mm apart']),
        case('dicom/ct_missing_slice_tilted', ['1 slice is missing', 'tilt of 15.5 degrees']),
        case('dicom/ct_tiny_17'),
        case('dicom/dcmqi/ct-3slice', ['1.25 mm thick and 1 mm apart']),
        case('dicom/dcmqi/23x38x3/image'),
        case('dicom/dcmqi/23x38x3/multiframe/mf.dcm'),
        case('dicom/mr_enhanced_philips'),
        case('dicom/mr_enhanced_philips_fmri'),
        case('dicom/mr_ge_fmri_4d'),
        case('dicom/mr_multiframe_hyperfine/001.dcm', step=5.0),
        case('dicom/mr_rgb_j2k'),
        case('dicom/mr_two_slices'),
        case('dicom/pydicom/MR_small_jp2klossless.dcm'),
        case('dicom/pydicom/OT-PAL-8-face.dcm', ['size of its pixels']),
        case('dicom/pydicom/SC_rgb_rle_2frame.dcm', ['nothing of their position']),
        case('dicom/pydicom/SC_rgb_small_odd.dcm', ['nothing of its position']),
        case('dicom/pydicom/eCT_Supplemental.dcm'),
        case('dicom/pydicom/emri_small.dcm', ['nothing of their position']),
        case('dicom/pydicom/emri_small_big_endian.dcm'),
        case('dicom/pydicom/emri_small_jpeg_2k_lossless.dcm'),
        case('dicom/pydicom/emri_small_jpeg_ls_lossless.dcm'),
        case('dicom/pydicom/examples_palette.dcm', ['size of its pixels']),
        case('dicom/pydicom/examples_ybr_color.dcm', ['size of its pixels'], tolerance=1),
        case('dicom/pydicom/image_dfl.dcm'),
        case('dicom/pydicom/parametric_map_float.dcm'),
        case('dicom/transfer_syntax_ct/no-pixel-spacing.dcm', ['size of its pixels']),
    ]
    for name in sorted(os.listdir(syntax)):
        if name.startswith('no-'):
            continue
        lossy = any(k in name for k in ('Process1T', 'Process2', 'Process6', 'Process10', 'JPEG2000T', 'JPEGLSLossy', 'baseline'))
        files = None
        if 'Process6' in name or 'Process10' in name:  # not decoded by pydicom; the same coefficients in another order
            files = [os.path.join(syntax, n) for n in os.listdir(syntax) if 'Process2' in n]
        cases.append(case('dicom/transfer_syntax_ct/' + name, files=files, tolerance=1 if lossy else 0))
    # one of the many series of a study tree, by its uid
    by_uid = {}
    for folder, _, names in os.walk(os.path.join(root, 'dicom/dicomdir')):
        for n in sorted(names):
            if n != 'DICOMDIR':
                p = os.path.join(folder, n)
                by_uid.setdefault(str(pydicom.dcmread(p, stop_before_pixels=True).SeriesInstanceUID), []).append(p)
    several = sorted(u for u in by_uid if len(by_uid[u]) == 3)[:1] + sorted(u for u in by_uid if len(by_uid[u]) == 1)[:1]
    study = dict(series=sorted(by_uid), n_files=sum(map(len, by_uid.values())))
    for u in sorted(by_uid)[:6]:
        if len(by_uid[u]) == 1:
            cases.append(case('dicom/dicomdir', files=by_uid[u], uid=u))
            cases.append(case('dicom/dicomdir/DICOMDIR', files=by_uid[u], uid=u))
    segmentations = []
    for name in ('liver.dcm', 'partial_overlaps.dcm'):
        d = pydicom.dcmread(os.path.join(root, 'dicom/dcmqi', name))
        masks, counts = d.pixel_array, {}
        for i, g in enumerate(d.PerFrameFunctionalGroupsSequence):
            k = str(g.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            counts[k] = counts.get(k, 0) + int(masks[i].sum())
        segmentations.append(dict(path='dicom/dcmqi/' + name, counts=counts,
                                  names={str(s.SegmentNumber): s.SegmentLabel for s in d.SegmentSequence}))
    labels = nrrd(os.path.join(root, 'dicom/dcmqi/liver_seg.nrrd'))  # made with dcmqi of the same segmentation
    segmentations[0]['voxels'] = hashlib.sha1(np.ascontiguousarray(labels.astype(np.int32)).tobytes()).hexdigest()
    segmentations[0]['flipped'] = hashlib.sha1(np.ascontiguousarray(labels[::-1].astype(np.int32)).tobytes()).hexdigest()
    json.dump(dict(cases=cases, study=study, segmentations=segmentations), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
