#!/usr/bin/env python3
"""Small NRRD files written by pynrrd, SimpleITK and slicerio, and what is in them.

usage: nrrd_files.py > nrrd_files.json      (pynrrd 1.1.3, SimpleITK 2.5.7, slicerio)

files: name -> contents in base64; the first is the one to open. affine: RAS+, from SimpleITK reading the file where it
can, else from the numbers the file was made with. sha256: of the voxels in little endian, x fastest, channels slowest.
"""
import base64
import hashlib
import json
import os
import tempfile

import nrrd
import numpy as np
import SimpleITK as sitk
import slicerio

from nrrd_info import affine as sitk_affine

rng = np.random.default_rng(4)
out = []
DIRECTIONS = np.array([[1.8, 0.3, -0.1], [-0.2, 2.1, 0.6], [0.25, -0.5, 3.4]])
ORIGIN = np.array([-31.5, 12.25, 101.0625])


def values(shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return (rng.standard_normal(shape) * 10.0 ** rng.integers(-20, 20, shape)).astype(dtype)
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)
    a.flat[0], a.flat[-1] = info.min, info.max
    return a


def add(name, folder, planar, affine, **more):
    """planar: (x, y, z, channels) or less"""
    planar = np.asarray(planar)
    planar = planar.reshape(planar.shape + (1,) * (4 - planar.ndim))
    names = sorted(os.listdir(folder), key=lambda n: (not n.endswith((".nhdr", ".nrrd")), n))
    out.append(
        {
            "name": name,
            "files": [[n, base64.b64encode(open(os.path.join(folder, n), "rb").read()).decode()] for n in names],
            "dims": list(planar.shape[:3]),
            "channels": planar.shape[3],
            "dtype": planar.dtype.newbyteorder("=").name,
            "affine": np.asarray(affine).tolist(),
            "sha256": hashlib.sha256(planar.astype(planar.dtype.newbyteorder("<")).tobytes(order="F")).hexdigest(),
            **more,
        }
    )


def ras(flip=(-1, -1, 1), directions=DIRECTIONS, origin=ORIGIN):
    a = np.eye(4)
    a[:3, :3] = np.array(directions).T
    a[:3, 3] = origin
    return np.diag(list(flip) + [1]) @ a


def put(name, data, header, planar=None, affine=None, detached=False, file="f", **more):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, file + (".nhdr" if detached else ".nrrd"))
        nrrd.write(path, data, header, detached_header=detached, compression_level=9)
        if affine is None:
            affine = sitk_affine(path)
        add(name, folder, data if planar is None else planar, affine, **more)


space = {"space": "left-posterior-superior", "space directions": DIRECTIONS, "space origin": ORIGIN}
for dtype in "u1 i1 u2 i2 u4 i4 u8 i8 f4 f8".split():
    for order in "<>":
        put(f"{order}{dtype}", values((3, 2, 2), order + dtype), {**space, "encoding": "raw"})
for encoding in ("gzip", "bzip2", "ascii"):
    for dtype in ("i2", "f4", "u1", "f8", "i4" if encoding == "ascii" else "i8"):  # pynrrd's text has 17 digits
        put(f"{encoding} {dtype}", values((4, 3, 2), dtype), {**space, "encoding": encoding})
for encoding in ("raw", "gzip", "bzip2", "ascii"):
    put(f"detached {encoding}", values((4, 3, 2), "i2"), {**space, "encoding": encoding}, detached=True)
for name in ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior", "RAS", "LPS", "LAS"):
    put(f"space {name}", values((4, 3, 2), "u1"), {**space, "space": name, "encoding": "gzip"})
put("space scanner-xyz", values((4, 3, 2), "u1"), {**space, "space": "scanner-xyz", "encoding": "raw"}, warned=True)

data = values((5, 4, 3), "i2")
put("spacings", data, {"spacings": [0.5, 0.75, 2.5], "encoding": "raw"})
put("spacings and mins", data, {"spacings": [0.5, 0.75, 2.5], "axis mins": [10, -20, 30], "encoding": "raw"})
put("spacings and mins at cells", data, {"spacings": [0.5, 0.75, 2.5], "axis mins": [10, -20, 30],
    "centers": ["cell"] * 3, "encoding": "raw"})
put("nothing about space", data, {"encoding": "raw"})
put("two axes", values((5, 4), "u2"), {"spacings": [0.5, 0.75], "encoding": "raw"})

nothing = np.full(3, np.nan)
for channels, kind in ((3, "RGB-color"), (3, "vector"), (4, "RGBA-color"), (5, "list"), (2, "complex"), (3, "3-vector"),
                       (6, "3D-symmetric-matrix")):
    planar = values((4, 3, 2, channels), "u1" if "color" in kind else "f4")
    put(f"{kind} first", np.moveaxis(planar, 3, 0), {**space, "kinds": [kind] + ["domain"] * 3, "encoding": "raw",
        "space directions": np.vstack([nothing, DIRECTIONS])}, planar, ras())
planar = values((4, 3, 2, 3), "i2")
for at in range(4):
    kinds, directions = ["domain"] * 3, list(DIRECTIONS)
    kinds.insert(at, "list")
    directions.insert(at, nothing)
    for encoding in ("raw", "gzip", "bzip2"):
        put(f"list at {at} {encoding}", np.moveaxis(planar, 3, at), {**space, "kinds": kinds, "encoding": encoding,
            "space directions": np.array(directions)}, planar, ras())
put("time without a space", planar, {"spacings": [1, 2, 3, np.nan], "kinds": ["space"] * 3 + ["time"], "encoding": "raw"},
    planar, np.diag([-1, -2, 3, 1]))
planar = values((3, 2, 2, 2 * 4), "i2")  # channel = time + 4 * vector
for encoding in ("gzip", "bzip2"):
    put(f"vectors in time {encoding}", np.moveaxis(planar.reshape((3, 2, 2, 4, 2), order="F"), 4, 0),
        {**space, "kinds": ["vector"] + ["domain"] * 3 + ["list"], "encoding": encoding,
         "space directions": np.vstack([nothing, DIRECTIONS, nothing])}, planar, ras())

for pixel in ("UInt8", "Float32"):
    for name, extra in (("f.nrrd", True), ("f.nrrd", False), ("f.nhdr", True)):
        q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        a = values((2, 3, 4), "u1" if pixel == "UInt8" else "f4")
        image = sitk.GetImageFromArray(a)
        image.SetSpacing((0.7, 1.1, 2.3))
        image.SetOrigin((5.5, -6.25, 7.125))
        image.SetDirection(q.flatten().tolist())
        with tempfile.TemporaryDirectory() as folder:
            sitk.WriteImage(image, os.path.join(folder, name), useCompression=extra)
            m = np.eye(4)
            m[:3, :3] = q * [0.7, 1.1, 2.3]
            m[:3, 3] = image.GetOrigin()
            add(f"SimpleITK {name} {pixel} {extra}", folder, a.transpose(), np.diag([-1, -1, 1, 1]) @ m)
vector = sitk.GetImageFromArray(values((2, 3, 4, 3), "u1"), isVector=True)
with tempfile.TemporaryDirectory() as folder:
    sitk.WriteImage(vector, os.path.join(folder, "v.nrrd"), useCompression=True)
    add("SimpleITK vectors", folder, sitk.GetArrayFromImage(vector).transpose(2, 1, 0, 3), np.diag([-1, -1, 1, 1]))

# Slicer segmentations: one layer, and two that overlap.
names = [("liver", [0.8, 0.4, 0.2]), ("left - kidney", [0, 1, 0.5]), ("tumour", [1, 0, 0])]
for layers in (1, 2):
    v = np.zeros((2, 5, 4, 3) if layers == 2 else (5, 4, 3), "u1")
    if layers == 2:
        v[0, 1:4, 1:3, :] = 1
        v[0, 4, 3, 2] = 2
        v[1, 2, 2, 1] = 1
        where = [(0, 1), (0, 2), (1, 1)]
    else:
        v[1:4, 1:3, :] = 1
        v[4, 3, 2] = 2
        v[2, 2, 1] = 9
        where = [(0, 1), (0, 2), (0, 9)]
    ijk = np.diag([-1.0, -1, 1, 1]) @ ras()
    segmentation = {"voxels": v, "ijkToLPS": ijk, "segments": [
        {"id": f"S{i}", "name": name, "color": colour, "labelValue": where[i][1], "layer": where[i][0]}
        for i, (name, colour) in enumerate(names)]}
    with tempfile.TemporaryDirectory() as folder:
        slicerio.write_segmentation(os.path.join(folder, "s.seg.nrrd"), segmentation)
        for layer in range(layers):
            add(f"slicerio {layers} {layer}", folder, v[layer] if layers == 2 else v, ras(),
                entry=f"layer{layer}" if layers == 2 else "",
                labels=[{"value": where[i][1], "name": n, "colour": [int(c * 255 + 0.5) for c in colour]}
                        for i, (n, colour) in enumerate(names) if where[i][0] == layer])

print("[\n" + ",\n".join(json.dumps(e) for e in out) + "\n]")
