#!/usr/bin/python3
"""Affines that nibabel derives from NIfTI header fields: random quaternions, half turns, mirrored z, missing and
negative voxel sizes, odd codes, one to four dimensions.

usage: nifti_header.py > nifti_header.json
"""
import json

import nibabel as nib
import numpy as np

nib.imageglobals.logger.disabled = True
rng = np.random.default_rng(20)
out = []


def f32(values):
    return [float(np.float32(v)) for v in values]


for i in range(60):
    n_dims = int(rng.integers(1, 5)) if i % 3 == 2 else 3
    dim = [n_dims] + [int(v) for v in rng.integers(1, 6, n_dims)] + [1] * (7 - n_dims)
    q = rng.normal(size=4)
    if i % 5 == 1:
        q = np.array([1e-4 * (i % 2), *rng.normal(size=3)])  # nearly or exactly half a turn
    q /= np.linalg.norm(q) * (1 if q[0] >= 0 else -1)
    if i % 5 == 1:
        q[1:] *= 1 - 1e-7  # rounding must not make it longer than one
    pixdim = f32([[1, -1, 0, 2][int(rng.integers(0, 4))], *rng.uniform(0.3, 7, 3), 1, 1, 1, 1])
    if i % 7 == 3:
        pixdim[1 + i % 3] = 0.0
    if i % 7 == 5:
        pixdim[1 + i % 3] *= -1
    codes = [[0, 0], [1, 0], [0, 1], [2, 1], [1, 4], [7, 0], [3, 0], [1, 9]][i % 8]
    fields = {
        "dim": dim,
        "pixdim": pixdim,
        "quatern": f32(q[1:]),
        "qoffset": f32(rng.uniform(-200, 200, 3)),
        "srow": f32((rng.normal(size=(3, 4)) * [2, 2, 2, 100]).ravel()),
        "qform_code": codes[0],
        "sform_code": codes[1],
    }
    header = nib.Nifti1Header()
    raw = header.structarr
    raw["dim"] = dim
    raw["pixdim"] = pixdim
    raw["datatype"], raw["bitpix"] = 2, 8
    raw["quatern_b"], raw["quatern_c"], raw["quatern_d"] = fields["quatern"]
    raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"] = fields["qoffset"]
    raw["srow_x"], raw["srow_y"], raw["srow_z"] = np.reshape(fields["srow"], (3, 4))
    raw["qform_code"], raw["sform_code"] = codes
    raw["magic"] = b"n+1"
    checked = nib.Nifti1Header(header.binaryblock)  # as a file's header is checked and repaired
    fields["affine"] = [[float(v) for v in row] for row in checked.get_best_affine()[:3]]
    out.append(fields)
print("[\n" + ",\n".join(json.dumps(e) for e in out) + "\n]")
