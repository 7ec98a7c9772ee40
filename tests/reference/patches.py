#!/usr/bin/python3
"""Expected values for tests/prep/test-reconstruct.c and tests/cli/test-patches.c: patches cut on a regular grid, patch
i's values raised by i, put back by the weighted mean (images) or the weighted vote (labels). NumPy only.

Axis order in the file: (x, y, z), voxels flattened with x fastest. Run: patches.py > patches.json"""
import itertools
import json
import sys

import numpy as np

rng = np.random.default_rng(20240)


def starts(dim, size, stride):
    if dim <= size:
        return [-((size - dim) // 2)]
    out = list(range(0, dim - size + 1, stride))
    if out[-1] != dim - size:
        out.append(dim - size)
    return out


def gaussian(size):
    axes = []
    for n in size:
        i = np.arange(n, dtype=np.float64)
        axes.append(np.exp(-((i - (n - 1) / 2) ** 2) / (2 * (n / 8) ** 2)))
    w = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return (w / w.max()).astype(np.float32)


def boxes(dim, size, stride):
    axes = [starts(d, s, t) for d, s, t in zip(dim, size, stride)]
    for z, y, x in itertools.product(axes[2], axes[1], axes[0]):
        yield (x, y, z)


def cut(volume, lo, size):
    pad = max(size)
    padded = np.pad(volume, pad, mode="edge")
    return padded[tuple(slice(l + pad, l + pad + s) for l, s in zip(lo, size))]


def inside(lo, size, dim):
    volume = tuple(slice(max(l, 0), min(l + s, d)) for l, s, d in zip(lo, size, dim))
    patch = tuple(slice(v.start - l, v.stop - l) for v, l in zip(volume, lo))
    return volume, patch


def mean(volume, size, stride, weights):
    num = np.zeros(volume.shape)
    den = np.zeros(volume.shape)
    for i, lo in enumerate(boxes(volume.shape, size, stride)):
        patch = cut(volume, lo, size).astype(np.float64) + i
        v, p = inside(lo, size, volume.shape)
        num[v] += weights[p].astype(np.float64) * patch[p]
        den[v] += weights[p]
    return num / den


def vote(volume, size, stride, weights):
    tally = np.empty(volume.shape, dtype=object)
    for at in np.ndindex(volume.shape):
        tally[at] = {}
    for i, lo in enumerate(boxes(volume.shape, size, stride)):
        patch = cut(volume, lo, size).astype(np.int64) + i
        v, p = inside(lo, size, volume.shape)
        for at in np.ndindex(patch[p].shape):
            votes = tally[v][at]
            label = int(patch[p][at])
            votes[label] = votes.get(label, 0.0) + float(weights[p][at])
    out = np.empty(volume.shape, dtype=np.int64)
    for at in np.ndindex(volume.shape):
        best = max(tally[at].values())
        out[at] = min(k for k, w in tally[at].items() if w == best)
    return out


CASES = [
    # dim, size, stride
    ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    ((7, 5, 3), (3, 3, 3), (2, 2, 2)),
    ((11, 1, 5), (4, 3, 2), (3, 2, 1)),
    ((2, 13, 3), (5, 4, 8), (5, 3, 8)),
    ((7, 7, 7), (4, 4, 4), (4, 4, 4)),
    ((3, 2, 5), (9, 9, 9), (1, 2, 3)),
    ((10, 4, 6), (8, 4, 5), (1, 1, 1)),
    ((9, 8, 7), (5, 5, 5), (1, 1, 1)),
]

cases = []
for dim, size, stride in CASES:
    for smooth in (False, True):
        weights = gaussian(size) if smooth else np.ones(size, dtype=np.float32)
        image = (rng.normal(size=dim) * 50).astype(np.float32)
        labels = rng.integers(0, 4, size=dim)
        cases.append(
            {
                "dim": dim,
                "size": size,
                "stride": stride,
                "gaussian": smooth,
                "patches": len(list(boxes(dim, size, stride))),
                "image": [float(v) for v in image.ravel(order="F")],
                "mean": [float(v) for v in mean(image, size, stride, weights).ravel(order="F")],
                "labels": [int(v) for v in labels.ravel(order="F")],
                "vote": [int(v) for v in vote(labels, size, stride, weights).ravel(order="F")],
            }
        )
json.dump({"cases": cases}, sys.stdout, separators=(",", ":"))
