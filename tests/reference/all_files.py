#!/usr/bin/env python3
"""What a reference library says of every volume below the folder of real test files, one line a file.

usage: all_files.py DATA_FOLDER > all_files.json      (needs nibabel, SimpleITK, pynrrd, pydicom, numpy, and dicom.py)

path: a file, or a folder of DICOM slices; with: files it needs that are no volumes themselves; by: who read it; dims
(x, y, z); channels; affine: voxel -> RAS+, by rows, left out where it is the identity; values: the first 20 digits of the
SHA-1 of the real values as little-endian float64, x fastest, then y, z, channel, -0 as 0 and every NaN as the same;
mean, tolerance: instead, where a lossy decoder may differ by a step; segments: instead, for each value the digest of where
it is in any channel, one byte a voxel; warns: words of a warning. Files that are no volume: fails (a kind of error), says
(words of the sentence). What must fail, and what a warning must say, is taken from the data's README.
"""
import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import warnings

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import SimpleITK as sitk

import dicom
import nrrd_info

root = sys.argv[1]
LPS = np.diag([-1.0, -1, 1, 1])
NIFTI = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
FAILS = {
    "nifti/dtype/not-nifti.nii": ("format", "not a NIfTI file"),
    "metaimage/list_pattern/BRNOR39e5p1List.mhd": ("unsupported", "ElementDataFile = LIST"),
    "metaimage/list_pattern/BRNOR39e5p1Pattern.mhd": ("unsupported", "BRNOR39e5p1-%03d.tif"),
    "nrrd/pynrrd/BallBinary30x30x30_nifti.nhdr": ("format", "352 bytes more"),  # pynrrd refuses it, too
    "dicom/ct_all_same_position": ("format", "4 slices all lie at one position"),
    "dicom/dicomdir/DICOMDIR": ("format", "give one as"),  # many series
    "dicom/pydicom/MR_truncated.dcm": ("format", "ends too early"),
    "dicom/pydicom/HTJ2KLossless_08_RGB.dcm": ("unsupported", "1.2.840.10008.1.2.4.201"),
    "dicom/pydicom/UN_sequence.dcm": ("unsupported", "holds no picture"),
    "dicom/pydicom/no_meta.dcm": ("format", "not a DICOM file"),
    "dicom/transfer_syntax_ct/no-pixel-data.dcm": ("unsupported", "holds no picture"),
}
WARNS = {
    "nifti/dtype/minimal.nii.gz": ["does not say how the scan lies"],
    "nifti/affine/shear.nii.gz": ["not at right angles"],
    "metaimage/mask_fixed.mhd": ["12 bytes more"],
    "metaimage/ramps/img_rgb8_peppers.mhd": ["img_RGB8_peppers.raw"],
}


def plain(values):
    values = np.array(values, dtype="<f8") + 0.0
    values[np.isnan(values)] = np.nan
    return values


def describe(by, channels, affine, **more):
    """channels: real values (channel, z, y, x)."""
    out = {"by": by, "dims": [int(n) for n in channels.shape[:0:-1]], "channels": int(channels.shape[0])}
    rows = [float(v) + 0.0 for v in np.asarray(affine)[:3].ravel()]
    if rows != [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]:
        out["affine"] = [int(v) if v == int(v) else v for v in rows]
    if not more:
        out["values"] = hashlib.sha1(np.ascontiguousarray(plain(channels)).tobytes()).hexdigest()[:20]
    return out | more


def from_x_fastest(data):
    """(x, y, z, more...), as an array in Fortran's order has it."""
    shape = (list(data.shape) + [1, 1])[:3]
    return data.reshape(shape + [-1], order="F").transpose(3, 2, 1, 0)


def by_nibabel(path):
    image = nib.load(path)
    if image.get_data_dtype().names:  # colours are channels
        raw = np.asarray(image.dataobj)
        data = np.stack([raw[c] for c in raw.dtype.names], axis=-1).astype(float)
        return describe("nibabel", from_x_fastest(data.reshape(raw.shape + (-1,))), image.affine) | {"colours": True}
    return describe("nibabel", from_x_fastest(image.get_fdata(dtype=np.float64)), image.affine)


def companions(path):
    """Names of the files that a header beside them needs."""
    folder, name = os.path.split(path)
    names = os.listdir(folder)
    if name.endswith((".hdr", ".hdr.gz")):
        wanted = name.replace(".hdr", ".img")
    elif name.endswith((".mhd", ".nhdr")):
        with open(path, errors="replace") as f:
            fields = [line.replace("=", ":").split(":", 1) for line in f if ":" in line or "=" in line]
        wanted = next(v.strip() for k, v in fields if k.strip().lower() in ("elementdatafile", "data file", "datafile"))
    else:
        return []
    return [n for n in names if n.lower() == wanted.lower() and not n.endswith(".nii.gz")]


def by_simpleitk(path):
    with tempfile.TemporaryDirectory() as folder:  # under the name the header gives, where only capitals differ
        for name in companions(path):
            with open(path) as f:
                wanted = [line.split("=")[1].strip() for line in f if line.startswith("ElementDataFile")][0]
            shutil.copy(os.path.join(os.path.dirname(path), name), os.path.join(folder, wanted))
        image = sitk.ReadImage(shutil.copy(path, folder))
    data = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        data = np.moveaxis(data, -1, 0)
    n = image.GetDimension()
    m = min(n, 3)
    affine = np.eye(4)
    affine[:m, :m] = (np.array(image.GetDirection()).reshape(n, n) * np.array(image.GetSpacing()))[:m, :m]
    affine[:m, 3] = image.GetOrigin()[:m]
    data = data.reshape((image.GetNumberOfComponentsPerPixel(),) + (1,) * (3 - n) + data.shape[-n:])
    return describe("SimpleITK", data, LPS @ affine)


def by_pynrrd(path):
    seen = nrrd_info.describe(path)
    data, _ = nrrd.read(path)
    return describe("pynrrd", from_x_fastest(np.asfortranarray(data)), np.array(seen["affine"]))


def by_numpy(path):
    """Two axes are (y, x); where it lies is not known."""
    data = np.load(path)
    return describe("NumPy", data.reshape(1, 1, *data.shape), np.eye(4))


def by_pydicom(paths, step=None, tolerance=0):
    v, affine, slope, intercept = dicom.stack(paths, step)
    real = v.astype(np.float64) * slope + intercept
    more = {"mean": float(real.mean()), "tolerance": tolerance * abs(slope)} if tolerance else {}
    return describe("pydicom", real, affine, **more)


def by_pydicom_segments(path):
    d = pydicom.dcmread(path)
    shared, frames = d.SharedFunctionalGroupsSequence[0], d.PerFrameFunctionalGroupsSequence
    o = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    measures = shared.PixelMeasuresSequence[0]
    normal = np.cross(o[:3], o[3:])
    positions = np.array([f.PlanePositionSequence[0].ImagePositionPatient for f in frames], float)
    along = positions @ normal
    gap = float(getattr(measures, "SpacingBetweenSlices", measures.SliceThickness))
    z = np.round((along - along.min()) / gap).astype(int)
    masks, shape = {}, (int(z.max()) + 1, d.Rows, d.Columns)
    for i, f in enumerate(frames):
        k = int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks.setdefault(k, np.zeros(shape, np.uint8))[z[i]] |= d.pixel_array[i]
    affine = np.eye(4)
    affine[:3, 0] = o[:3] * float(measures.PixelSpacing[1])
    affine[:3, 1] = o[3:] * float(measures.PixelSpacing[0])
    affine[:3, 2] = normal * gap
    affine[:3, 3] = positions[np.argmin(along)]
    depth = max(sum(m.astype(int) for m in masks.values()).max(), 1)  # as many channels as segments overlap
    segments = {str(k): hashlib.sha1(m.tobytes()).hexdigest()[:20] for k, m in masks.items()}
    return describe("pydicom", np.zeros((depth,) + shape), LPS @ affine, segments=segments)


def dicom_cases():
    """Those of dicom.py, whose list knows what needs care, each with the digest of its real values."""
    out = {}

    def case(path, warns=(), files=None, step=None, tolerance=0, uid=None):
        if uid is None:
            full = os.path.join(root, path)
            names = sorted(os.path.join(full, n) for n in os.listdir(full)) if os.path.isdir(full) else [full]
            out[path] = by_pydicom(files or names, step, tolerance) | ({"warns": list(warns)} if warns else {})
        return {"path": path}

    dicom.case = case
    with contextlib.redirect_stdout(io.StringIO()):
        dicom.main()
    for name in ("liver.dcm", "partial_overlaps.dcm"):
        out["dicom/dcmqi/" + name] = by_pydicom_segments(os.path.join(root, "dicom/dcmqi", name))
    for folder, _, names in os.walk(os.path.join(root, "dicom/dicomdir")):
        for n in sorted(names):
            if n != "DICOMDIR":
                path = os.path.join(folder, n)
                out[os.path.relpath(path, root)] = by_pydicom([path])
    return out


def main():
    warnings.simplefilter("ignore")
    nib.imageglobals.logger.disabled = True
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    entries = {path: {"fails": kind, "says": words} for path, (kind, words) in FAILS.items()}
    entries |= {k: v for k, v in dicom_cases().items() if k not in FAILS}
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            file = os.path.relpath(path, root)
            read = (
                by_nibabel if name.endswith(NIFTI + (".mgz", ".mgh"))
                else by_simpleitk if name.endswith((".mha", ".mhd"))
                else by_pynrrd if name.endswith((".nrrd", ".nhdr"))
                else by_numpy if name.endswith(".npy")
                else None
            )
            if read and file not in entries:
                entries[file] = read(path) | ({"warns": WARNS[file]} if file in WARNS else {})
            if read and companions(path):
                entries[file]["with"] = companions(path)
    lines = [json.dumps({"path": path} | entries[path], separators=(",", ":")) for path in sorted(entries)]
    print("[\n" + ",\n".join(lines) + "\n]")


main()
