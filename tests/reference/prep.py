#!/usr/bin/python3
"""Expected values for tests/prep/test-fingerprint.c: spacing, shape and foreground intensities of small data sets, and
normalised voxels. NumPy only; the target spacing follows nnU-Net's determine_fullres_target_spacing.

Axis order in the file: (x, y, z), voxels flattened with x fastest. Run: prep.py > prep.json"""
import json
import sys

import numpy as np

rng = np.random.default_rng(99)


def flat(a):
    return [float(v) for v in np.asarray(a).ravel(order="F")]


def target(spacings, sizes):
    t = np.percentile(spacings, 50, 0)
    size = np.percentile(sizes, 50, 0)
    w = int(np.argmax(t))
    others = [i for i in range(3) if i != w]
    if t[w] > 3 * max(t[others]) and size[w] * 3 < min(size[others]):
        t[w] = max(np.percentile(spacings[:, w], 10), max(t[others]) + 1e-5)
    return t


cases = []
foreground = [[], []]
for dim, spacing in [((6, 5, 4), (1.0, 0.9, 2.5)), ((5, 7, 3), (1.25, 0.8, 3.0)), ((4, 4, 6), (1.1, 1.0, 2.0)),
                     ((3, 6, 5), (0.7, 1.5, 2.25))]:
    images = [(rng.normal(size=dim) * 300 - 100).astype(np.float32), rng.gamma(2, 50, size=dim).astype(np.float32)]
    images[1][0, 0, 0] = np.nan
    label = rng.integers(0, 3, size=dim)
    label[0, 0, 0] = 1
    for c in range(2):
        v = images[c][label > 0].astype(np.float64)
        foreground[c] += list(v[np.isfinite(v)])
    cases.append({"dim": dim, "spacing": spacing, "label": [int(v) for v in label.ravel(order="F")],
                  "images": [[None if np.isnan(v) else float(v) for v in im.ravel(order="F")] for im in images]})

spacings = np.array([c["spacing"] for c in cases])
sizes = np.array([c["dim"] for c in cases])
median = np.median(spacings, axis=0)
shapes = np.round(spacings / median * sizes)
intensity = [[float(np.mean(v)), float(np.std(v)), float(np.percentile(v, 0.5)), float(np.percentile(v, 99.5))]
             for v in foreground]

thick = []
for n in range(11):
    thick.append(([200 + 7 * n, 180 + 5 * n, 12 + n % 4], [0.5 + 0.01 * n, 0.55, 3.0 + 0.37 * ((n * 7) % 11)]))
thick_spacings = np.array([s for _, s in thick])
thick_sizes = np.array([d for d, _ in thick])

v = np.array([-2000, -900.5, -100, 0, 12.25, 700, 5000], dtype=np.float32)
lower, upper, mean, std = intensity[0][2], intensity[0][3], intensity[0][0], intensity[0][1]
normalised = {
    "values": flat(v),
    "zscore": flat((v - mean) / max(std, 1e-8)),
    "ct": flat((np.clip(v, lower, upper) - mean) / max(std, 1e-8)),
}
json.dump(
    {
        "cases": cases,
        "median_spacing": flat(median),
        "median_shape": flat(np.median(shapes, axis=0)),
        "max_shape": flat(shapes.max(axis=0)),
        "intensity": intensity,
        "thick": [{"dim": d, "spacing": s} for d, s in thick],
        "thick_target": flat(target(thick_spacings, thick_sizes)),
        "normalised": normalised,
    },
    sys.stdout,
    separators=(",", ":"),
)
