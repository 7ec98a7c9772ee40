#!/usr/bin/python3
"""Orientation codes (nibabel), inverses, statistics, percentiles, half floats (NumPy) and bfloat16 (PyTorch).

usage: image_core.py > image_core.json
"""
import json

import nibabel as nib
import numpy as np
import torch

rng = np.random.default_rng(7)
out = {"affines": [], "percentiles": [], "statistics": [], "halfs": [], "respace": []}


def clear(affine):
    """No axis has two nearly equal candidates: there nibabel's versions choose differently."""
    m = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    p, _, q = np.linalg.svd(m)
    r = np.sort(np.abs(p @ q), axis=0)
    return np.all(r[2] - r[1] > 0.05) and len(set(np.argmax(np.abs(p @ q), axis=0))) == 3


while len(out["affines"]) < 80:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q @ (np.eye(3) + rng.normal(size=(3, 3)) * rng.choice([0.0, 0.1, 0.3]))
    a = np.eye(4)
    a[:3, :3] = q * rng.uniform(0.2, 6, 3)
    a[:3, 3] = rng.uniform(-300, 300, 3)
    if not clear(a):
        continue
    out["affines"].append(
        {
            "affine": [float(v) for v in a[:3].ravel()],
            "codes": "".join(nib.aff2axcodes(a)),
            "inverse": [float(v) for v in np.linalg.inv(a)[:3].ravel()],
            "zooms": [float(v) for v in nib.affines.voxel_sizes(a)],
            "determinant": float(np.linalg.det(a)),
        }
    )
for n in (1, 2, 3, 10, 101, 400):
    for kind in range(3):
        v = [rng.normal(size=n), rng.integers(-3, 4, n), np.sort(rng.exponential(size=n))][kind].astype(np.float32)
        q = [0.0, 0.5, 5.0, 50.0, 66.6, 99.5, 100.0]
        out["percentiles"].append(
            {
                "values": [float(x) for x in v],
                "q": q,
                "expected": [float(x) for x in np.percentile(v.astype(np.float64), q)],
            }
        )
for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"):
    info = np.iinfo(dtype) if dtype[0] in "ui" else None
    lo, hi = (max(info.min, -(2**52)), min(info.max, 2**52)) if info else (-1e4, 1e4)
    v = rng.integers(lo, hi, 60, endpoint=True).astype(dtype) if info else rng.uniform(lo, hi, 60).astype(dtype)
    slope, inter = float(rng.uniform(0.1, 3)), float(rng.uniform(-1000, 1000))
    r = v.astype(np.float64) * slope + inter
    out["statistics"].append(
        {
            "dtype": dtype,
            "values": [x.item() for x in v],
            "slope": slope,
            "intercept": inter,
            "min": float(r.min()),
            "max": float(r.max()),
            "mean": float(r.mean()),
            "std": float(r.std()),
        }
    )
bits = np.concatenate(
    [
        rng.integers(0, 2**32, 300, dtype=np.uint64),
        np.array([0x33000000, 0x33000001, 0x38800000, 0x387FFFFF, 0x477FEFFF, 0x477FF000, 0x7F800000, 0x80000000, 0x33800000,
                  0x33C00000, 0x3F800000, 0x3F801000, 0x3F803000, 0xFF800000, 1, 0x7F7FFFFF], dtype=np.uint64),
        rng.integers(0x33000000, 0x47800000, 300, dtype=np.uint64),
    ]
).astype(np.uint32)
values = bits.view(np.float32)
bits, values = bits[~np.isnan(values)], values[~np.isnan(values)]
with np.errstate(over="ignore"):
    f16 = values.astype(np.float16)
bf16 = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
out["halfs"] = [[int(a), int(b), int(c)] for a, b, c in zip(bits, f16.view(np.uint16), bf16)]
out["half_values"] = [float(v) for v in np.arange(0, 0x7C00, 37, dtype=np.uint16).view(np.float16).astype(np.float64)]
for dim, old, new in [([10, 20, 30], [1, 1, 1], [2, 3, 7]), ([5, 7, 9], [0.5, 0.7, 3], [0.2, 1.4, 1.0]), ([1, 2, 3], [1, 1, 1], [9, 9, 9])]:
    out["respace"].append({"dim": dim, "old": old, "new": new, "expected": [max(1, round(d * o / n)) for d, o, n in zip(dim, old, new)]})
print(json.dumps(out))
