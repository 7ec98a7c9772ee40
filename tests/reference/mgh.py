#!/usr/bin/env python3
"""What nibabel makes of MGH files: real ones, one of every type, and headers of all 48 axis orders with straight,
oblique, 45-degree and sheared axes.

usage: mgh.py DATA_FOLDER > mgh.json      (DATA_FOLDER holds mgh/; needs nibabel)
"""
import base64
import hashlib
import itertools
import json
import os
import sys

import nibabel as nib
import numpy as np

root = sys.argv[1]
MGH = nib.freesurfer.mghformat.MGHImage


def describe(image):
    data = np.asarray(image.dataobj)
    shape = list(image.shape) + [1]
    little = data.astype(data.dtype.newbyteorder("<"))
    return {
        "dims": [int(n) for n in shape[:3]],
        "channels": int(shape[3]),
        "dtype": data.dtype.newbyteorder("=").name,
        "affine": [[float(v) for v in row] for row in image.affine[:3]],
        "orientation": "".join(nib.aff2axcodes(image.affine)),
        "sha256": hashlib.sha256(little.tobytes(order="F")).hexdigest(),
    }


def real_files():
    out = []
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith((".mgh", ".mgz", ".mgh.gz")):
                path = os.path.join(folder, name)
                out.append({"file": os.path.relpath(path, root)} | describe(nib.load(path)))
    return out


def rotation(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, k = [j for j in range(3) if j != axis]
    r = np.eye(3)
    r[i, i], r[i, k], r[k, i], r[k, k] = c, -s, s, c
    return r


oblique = rotation(0, 13) @ rotation(1, -7) @ rotation(2, 21)
tilts = {"straight": np.eye(3), "oblique": oblique, "tie": rotation(2, 45), "shear": oblique @ np.array([[1, 0, 0.1], [0, 1, 0.2], [0, 0, 1]])}


def type_files():
    out = []
    for k, dtype in enumerate([np.uint8, np.int16, np.int32, np.float32, np.uint16]):
        for frames in (1, 3):
            affine = np.eye(4)
            affine[:3, :3] = oblique * [1, 2, 3]
            affine[:3, 3] = [10 * k, -20, 30]
            values = np.arange(5 * 4 * 3 * frames) * 3 + (60000 if dtype == np.uint16 else 0 if dtype == np.uint8 else -100)
            data = (values % 256 if dtype == np.uint8 else values).astype(dtype).reshape((5, 4, 3, frames)[: 3 if frames == 1 else 4])
            image = MGH(data, affine)
            image.header["tr"], image.header["te"] = 2300, 2.5
            content = image.to_bytes()
            out.append({"content": base64.b64encode(content).decode()} | describe(MGH.from_bytes(content)))
    return out


def corpus():
    out = []
    for tilt, turn in tilts.items():
        for order in itertools.permutations(range(3)):
            for signs in itertools.product((1, -1), repeat=3):
                affine = np.eye(4)
                affine[:3, :3] = turn @ (np.eye(3)[:, order] * signs) * [0.75, 1.5, 3.25]
                affine[:3, 3] = [-91.5, 126.25, -72]
                content = MGH(np.zeros((4, 3, 2), np.uint8), affine).to_bytes()
                seen = MGH.from_bytes(content)
                out.append({"tilt": tilt, "header": base64.b64encode(content[:90]).decode(),
                            "affine": [[round(float(v), 7) for v in row] for row in seen.affine[:3]],
                            "orientation": "".join(nib.aff2axcodes(seen.affine))})
    return out


def lines(entries):
    return "[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]"


print(f'{{"files": {lines(real_files())},\n"types": {lines(type_files())},\n"corpus": {lines(corpus())}}}')
