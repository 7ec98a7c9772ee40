#!/usr/bin/python3
"""Writes sampler.json: patches drawn by NumPy and SciPy as src/augment/tess-sampler.c describes it.

Everything is done again here: Philox numbers, place, rotation (scipy's Rotation), mapping, normalisation, interpolation
(scipy.ndimage.map_coordinates, order 1). Labels whose two best votes are nearly equal are written as 255 (not compared).
Run: /usr/bin/python3 sampler.py > sampler.json
"""
import json
import sys

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

PLACE, FOREGROUND, ROTATION, SCALE, MIRROR = 1, 2, 3, 4, 5
M32 = 0xFFFFFFFF


def philox(seed, epoch, sample, transform, index):
    c = [index, transform, sample, epoch]
    k0, k1 = seed & M32, seed >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M32, (p0 >> 32) ^ c[3] ^ k1, p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


# Random123's known answer.
assert philox(0, 0, 0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def unit(bits):
    return (bits >> 8) / 2.0**24


def uniform(bits, lo, hi):
    return lo + (hi - lo) * bits / 2.0**32


def below(bits, n):
    return bits * n >> 32


def scan(dim):
    """int16 channels and labels 0..3, index order [x, y, z]."""
    x, y, z = np.meshgrid(*[np.arange(d) for d in dim], indexing="ij")
    a = (7 * x + 13 * y + 29 * z + 3 * x * y + 5 * z * z) % 251 - 60
    b = (x * x + 2 * y * z + 11 * z) % 97
    label = (x // 5 + y // 4 + z // 3) % 4
    return [a.astype(np.float64), b.astype(np.float64)], label


def matrix(case, label):
    native, spacing = np.array(case["native_spacing"]), np.array(case["spacing"])
    dim, patch = np.array(case["dim"]), np.array(case["patch"])
    key = case["seed"], case["epoch"], case["sample"]
    ratio = spacing / native
    target = np.maximum(np.rint(dim * native / spacing).astype(int), 1)

    origin = np.array(case.get("origin", [0, 0, 0]))
    if case["random"]:
        r = philox(*key, PLACE, 0)
        voxel = None
        if case["foreground"]:
            f = philox(*key, FOREGROUND, 0)
            present = [c for c in range(1, 4) if (label == c).any()]
            wanted = present[below(f[0], len(present))]
            flat = np.flatnonzero((label == wanted).ravel(order="F"))
            index = flat[below(f[1], len(flat))]
            at = np.array(np.unravel_index(index, tuple(dim), order="F"))
            voxel = np.clip(np.floor((at + 0.5) / ratio).astype(int), 0, target - 1)
        for a in range(3):
            room = target[a] - patch[a]
            if room <= 0:
                origin[a] = -(-room // 2)
            elif voxel is not None:
                origin[a] = np.clip(voxel[a] - patch[a] // 2, 0, room)
            else:
                origin[a] = below(r[a], int(room) + 1)

    # Offsets from the patch's centre, in mm along the target axes.
    linear = np.eye(3)
    if case["augment"]:
        r, s, m = (philox(*key, t, 0) for t in (ROTATION, SCALE, MIRROR))
        linear = linear @ np.diag([-1.0 if unit(m[a]) < case["mirror"][a] else 1.0 for a in range(3)])
        if unit(s[0]) < case["scale_probability"]:
            linear = uniform(s[1], *case["scale"]) * linear
        if unit(r[0]) < case["rotation_probability"]:
            angles = [uniform(r[a + 1], -case["degrees"][a], case["degrees"][a]) for a in range(3)]
            linear = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ linear
    voxels = np.diag(1 / spacing) @ linear @ np.diag(spacing)
    centre = (patch - 1) / 2
    to_target = np.c_[voxels, origin + centre - voxels @ centre]
    return np.c_[np.diag(ratio) @ to_target[:, :3], ratio * (to_target[:, 3] + 0.5) - 0.5]


def draw(case):
    channels, label = scan(case["dim"])
    m = matrix(case, label)
    p = np.stack(np.meshgrid(*[np.arange(s) for s in case["patch"]], indexing="ij")).reshape(3, -1)
    at = m[:, :3] @ p + m[:, 3:]
    images = []
    for values, norm in zip(channels, ("zscore", "ct")):
        if norm == "zscore":
            values = (values - values.mean()) / values.std()
        else:
            values = (np.clip(values, 10.0, 80.0) - 40.0) / 16.0
        images.append(map_coordinates(values, at, order=1, mode="grid-constant", cval=0.0))
    votes = np.stack([map_coordinates((label == l).astype(np.float64), at, order=1, mode="grid-constant",
                                      cval=1.0 if l == 0 else 0.0) for l in range(4)])
    best = votes.argmax(0)
    top = np.sort(votes, 0)
    best[top[-1] - top[-2] < 1e-5] = 255

    def flat(v):  # x fastest
        return v.reshape(case["patch"]).ravel(order="F")

    case["matrix"] = [float(v) for v in m.ravel()]
    case["image"] = [round(float(v), 6) for i in images for v in flat(i)]
    case["label"] = [int(v) for v in flat(best)]
    return case


base = {
    "dim": [23, 19, 14], "native_spacing": [1.0, 1.0, 1.0], "spacing": [1.0, 1.0, 1.0], "patch": [10, 9, 7],
    "seed": 7, "epoch": 0, "sample": 0, "random": True, "foreground": False, "augment": False,
    "rotation_probability": 1.0, "degrees": [30.0, 20.0, 40.0], "scale_probability": 1.0, "scale": [0.7, 1.4],
    "mirror": [0.5, 0.5, 0.5],
}
cases = [
    dict(base, name="place"),
    dict(base, name="foreground", foreground=True, sample=3),
    dict(base, name="rotated and scaled", augment=True, sample=1, mirror=[0.0, 0.0, 0.0]),
    dict(base, name="mirrored", augment=True, sample=2, rotation_probability=0.0, scale_probability=0.0,
         mirror=[1.0, 0.0, 1.0]),
    dict(base, name="anisotropic, all", augment=True, epoch=2, sample=5, seed=2**40 + 11,
         native_spacing=[0.8, 1.1, 3.0], spacing=[0.8, 1.1, 3.0]),
    dict(base, name="respaced", native_spacing=[0.8, 1.1, 3.0], spacing=[1.0, 1.0, 2.2], sample=9),
    dict(base, name="respaced, all, foreground", native_spacing=[0.8, 1.1, 3.0], spacing=[1.3, 0.9, 2.5], sample=4,
         augment=True, foreground=True),
    dict(base, name="patch beyond the scan", dim=[6, 12, 4], patch=[10, 9, 7], augment=True, sample=6),
    dict(base, name="rarely augmented", augment=True, rotation_probability=0.2, scale_probability=0.2, sample=8),
    dict(base, name="fixed place outside", random=False, origin=[-3, 15, 2]),
]
json.dump([draw(c) for c in cases], sys.stdout)
