#!/usr/bin/python3
"""Expected values of tests/image/test-metrics.c, from scipy.ndimage and numpy.

Run:  /usr/bin/python3 tests/reference/metrics.py > tests/reference/metrics.json
Label maps are run-length coded, x fastest: [value, count, value, count, ...].
"""
import json
import sys

import numpy as np
from scipy import ndimage

rng = np.random.default_rng(20240607)
CROSS = ndimage.generate_binary_structure(3, 1)


def runs(a):  # a[x, y, z]
    flat = a.ravel(order="F").astype(int)
    cut = np.flatnonzero(np.diff(flat)) + 1
    out = []
    for part in np.split(flat, cut):
        out += [int(part[0]), len(part)]
    return out


def ellipsoid(dim, centre, radius):
    g = np.indices(dim)
    return sum(((g[i] - centre[i]) / radius[i]) ** 2 for i in range(3)) <= 1.0


def surface(m):
    return m & ~ndimage.binary_erosion(m, CROSS, border_value=0)


def clean(v):
    return None if v is None or not np.isfinite(v) else float(v)


def metrics(r, p, spacing, voxel):
    tp, fp, fn = int((r & p).sum()), int((~r & p).sum()), int((r & ~p).sum())
    any_ = tp + fp + fn > 0
    hd = None
    if r.any() and p.any():
        sr, sp = surface(r), surface(p)
        to_r = ndimage.distance_transform_edt(~sr, sampling=spacing)
        to_p = ndimage.distance_transform_edt(~sp, sampling=spacing)
        hd = np.percentile(np.concatenate([to_r[sp], to_p[sr]]), 95)
    return {
        "tp": tp, "fp": fp, "fn": fn,
        "dice": clean(2 * tp / (2 * tp + fp + fn)) if any_ else None,
        "iou": clean(tp / (tp + fp + fn)) if any_ else None,
        "hd95": clean(hd),
        "volume_reference": float((tp + fn) * voxel),
        "volume_prediction": float((tp + fp) * voxel),
    }


def rotation(a, b, c):
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    return (np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]]) @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
            @ np.array([[1, 0, 0], [0, cc, -sc], [0, sc, cc]]))


cases = []


def case(name, r, p, matrix, offset, labels):
    matrix = np.asarray(matrix, float)
    spacing = np.linalg.norm(matrix, axis=0)
    voxel = abs(np.linalg.det(matrix))
    cases.append({
        "name": name, "dim": list(r.shape),
        "affine": np.column_stack([matrix, offset]).ravel().tolist(),
        "reference": runs(r), "prediction": runs(p),
        "labels": {str(v): metrics(r == v, p == v, spacing, voxel) for v in labels},
    })


dim = (30, 26, 22)
r = np.zeros(dim, int)
p = np.zeros(dim, int)
r[ellipsoid(dim, (12, 12, 10), (7, 8, 6))] = 1
p[ellipsoid(dim, (13.5, 12, 11), (7, 7, 7))] = 1
r[ellipsoid(dim, (12, 12, 10), (3, 3, 3))] = 2
p[ellipsoid(dim, (13, 11, 10), (3, 4, 2))] = 2
p[28:30, 24:26, 0:2] = 2  # far away, on the border
r[0:2, 0:3, 20:22] = 3
case("isotropic, nested labels, one absent in the prediction, one in both", r, p, np.eye(3), (0, 0, 0), [1, 2, 3, 4])

dim = (40, 33, 9)
r = ellipsoid(dim, (20, 16, 4), (16, 12, 5)).astype(int)
p = ellipsoid(dim, (22, 18, 5), (17, 11, 4)).astype(int)
case("anisotropic and rotated, touching the border", r, p, rotation(0.3, -0.2, 0.5) * [0.5, 0.72, 7.5], (-41.5, 20, 300),
     [1])

dim = (19, 23, 17)
r = rng.choice(3, dim, p=[0.9, 0.06, 0.04])
p = rng.choice(3, dim, p=[0.9, 0.06, 0.04])
case("scattered voxels, flipped axis", r, p, np.diag([-2.2, 1.1, 3.3]), (5, 6, 7), [1, 2])

dim = (25, 24, 1)
r = ellipsoid(dim, (12, 12, 0), (7, 8, 1)).astype(int)
p = ellipsoid(dim, (13, 10, 0), (9, 5, 1)).astype(int)
case("one slice", r, p, np.diag([0.8, 0.9, 5.0]), (0, 0, 0), [1])

dim = (9, 8, 7)
r = np.ones(dim, int)
p = np.zeros(dim, int)
p[4, 4, 3] = 1
case("everything against one voxel", r, p, np.diag([1.5, 1.0, 2.0]), (0, 0, 0), [1])

dim = (16, 18, 14)
r = ellipsoid(dim, (8, 9, 7), (5, 6, 4)).astype(int) * 300
p = ellipsoid(dim, (7, 9, 8), (5, 5, 5)).astype(int) * 300
case("sheared affine (column lengths), large label value", r, p, [[0.5, 0, 0.1], [0, 0.5, 0.8], [0, 0, 2.4]], (0, 0, 0), [300])

dim = (14, 12, 10)
r = ellipsoid(dim, (0, 0, 0), (8, 7, 6)).astype(int)
p = ellipsoid(dim, (13, 11, 9), (9, 8, 7)).astype(int)
case("opposite corners: surfaces at the volume's border", r, p, np.diag([1.0, 1.2, 1.4]), (0, 0, 0), [1])

for axis in range(3):  # the far face of a box is more than 5 % of the pooled surface, its rim less
    for lo, hi in ((9, 12), (3, 6)):
        r = np.zeros((15, 20, 20), int)
        p = np.zeros((15, 20, 20), int)
        r[3:12, 2:18, 2:18] = 1
        p[lo:hi, 2:18, 2:18] = 1
        case(f"boxes, face of axis {axis} far from {lo}..{hi}", np.moveaxis(r, 0, axis), np.moveaxis(p, 0, axis),
             np.diag([1.0, 1.2, 1.4]), (0, 0, 0), [1])

dim = (37, 11, 9)
mask = (rng.random(dim) < 0.004).astype(int)
spacing = (0.7, 1.3, 2.9)
distance = ndimage.distance_transform_edt(mask == 0, sampling=spacing)
transform = {"dim": dim, "spacing": spacing, "mask": runs(mask),
             "distance": [round(float(v), 9) for v in distance.ravel(order="F")]}

json.dump({"cases": cases, "transform": transform}, sys.stdout)
print()
