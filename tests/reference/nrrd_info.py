#!/usr/bin/env python3
"""What pynrrd reads from every NRRD file of a folder of test files, and where SimpleITK puts it in space.

usage: nrrd_info.py DATA_FOLDER > nrrd_info.json      (pynrrd 1.1.3, SimpleITK 2.5.7)

sha256: of the voxels in little endian, x fastest, then y, z and the other axes.
"""
import hashlib
import json
import os
import sys

import nrrd
import numpy as np
import SimpleITK as sitk


def affine(path):
    """Voxel -> world RAS+, as SimpleITK says (its world is LPS)."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    reader.ReadImageInformation()
    n = reader.GetDimension()
    a = np.eye(4)
    spacing, origin = np.ones(3), np.zeros(3)
    direction = np.eye(3)
    m = min(n, 3)
    spacing[:m] = reader.GetSpacing()[:m]
    origin[:m] = reader.GetOrigin()[:m]
    direction[:m, :m] = np.array(reader.GetDirection()).reshape(n, n)[:m, :m]
    a[:3, :3] = direction * spacing
    a[:3, 3] = origin
    return (np.diag([-1, -1, 1, 1]) @ a).tolist()


def affine_of_header(header):
    """The same from pynrrd's numbers, for a file SimpleITK does not open."""
    sides = header["space"].split("-")
    vectors = [v for v in header["space directions"] if np.isfinite(v).all()]
    a = np.eye(4)
    a[:3, :3] = np.array(vectors).T
    a[:3, 3] = header.get("space origin", np.zeros(3))
    return (np.diag([1 if s in ("right", "anterior", "superior") else -1 for s in sides] + [1]) @ a).tolist()


def describe(path):
    data, header = nrrd.read(path)
    try:
        a = affine(path)
    except RuntimeError:
        a = affine_of_header(header)
    shape = list(data.shape) + [1, 1]
    voxels = np.asarray(data, dtype=data.dtype.newbyteorder("<")).tobytes(order="F")
    keys = [k for k in header if k.startswith("Segment") and k.endswith("_LabelValue")]
    labels = []
    for key in keys:
        n = key[: -len("LabelValue")]
        colour = [round(float(v) * 255) for v in header[n + "Color"].split()]
        labels.append({"value": int(header[key]), "name": header[n + "Name"], "colour": colour})
    return {
        "dims": shape[:3],
        "channels": int(np.prod(shape[3:])),
        "dtype": data.dtype.newbyteorder("=").name,
        "affine": a,
        "sha256": hashlib.sha256(voxels).hexdigest(),
        "labels": labels,
    }


if __name__ == "__main__":
    root = sys.argv[1]
    out = []
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if not name.endswith((".nrrd", ".nhdr")):
                continue
            path = os.path.join(folder, name)
            entry = {"file": os.path.relpath(path, root)}
            try:
                entry.update(describe(path))
            except nrrd.NRRDError as error:
                entry["fails"] = str(error)
            out.append(entry)
    print("[\n" + ",\n".join(json.dumps(e) for e in out) + "\n]")
