#!/usr/bin/env python3
"""Sheared volumes made upright: numpy's QR for the grid, scipy.ndimage.map_coordinates for the values.

usage: resample.py > resample.json

A case: dims and affine (RAS+) of the volume, its values (x fastest), whether they are labels; dims and affine of the upright
grid and what linear interpolation gives there, before rounding (labels: the largest of the interpolated indicators).
"""
import json

import numpy as np
from scipy.ndimage import map_coordinates

rng = np.random.default_rng(11)


def upright(affine, dims):
    """The same first axis, the same planes, at right angles, around all voxel centres."""
    m = affine[:3, :3]
    q, r = np.linalg.qr(m)
    axes = q * np.diag(r)  # an axis keeps its length along its own direction
    corners = np.array([[i * (dims[0] - 1), j * (dims[1] - 1), k * (dims[2] - 1)]
                        for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    at = corners @ (np.linalg.inv(axes) @ m).T
    lo, hi = np.floor(at.min(0) + 1e-6), np.ceil(at.max(0) - 1e-6)
    out = np.eye(4)
    out[:3, :3] = axes
    out[:3, 3] = affine[:3, 3] + axes @ lo
    return out, (hi - lo + 1).astype(int)


def case(dims, affine, dtype, labels=False):
    if labels:
        v = rng.integers(0, 4, dims).repeat(1, 0)
    elif np.dtype(dtype).kind == 'f':
        v = rng.normal(size=dims).round(4)
    else:
        v = rng.integers(-1000 if dtype == 'int16' else 0, 1000 if dtype == 'int16' else 256, dims)
    grid, n = upright(affine, dims)
    index = np.stack(np.meshgrid(*[np.arange(k) for k in n], indexing='ij'), -1).reshape(-1, 3)
    p = np.c_[index, np.ones(len(index))] @ (np.linalg.inv(affine) @ grid).T
    p = p[:, :3].round(9).T

    def linear(a, outside):
        return map_coordinates(a.astype(float), p, order=1, mode='constant', cval=outside).reshape(n)
    if labels:
        ways = np.array([linear(v == k, float(k == 0)) for k in range(4)])
        out = np.argmax(ways.round(9), 0)
    else:
        out = linear(v, v.min()).round(6)
    return dict(dims=list(dims), affine=affine[:3].ravel().tolist(), dtype=dtype, labels=labels,
                values=v.ravel('F').tolist(), upright=dict(dims=n.tolist(), affine=grid[:3].ravel().tolist()),
                expected=out.ravel('F').tolist())


def tilted(degrees, oblique=0., mirror=1, skew=0.):
    c, s = np.cos(oblique), np.sin(oblique)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.]])
    m = turn @ np.diag([.9 * mirror, .7, 2.5])
    m[:, 2] += turn @ [0, 2.5 * np.tan(np.radians(degrees)), 0]
    m[:, 1] += skew * m[:, 0]
    a = np.eye(4)
    a[:3, :3], a[:3, 3] = m, [-12.5, 30, 7.25]
    return a


print(json.dumps(dict(cases=[
    case((9, 8, 6), tilted(15.5), 'int16'),
    case((7, 9, 5), tilted(-22, .4), 'uint8'),
    case((6, 7, 5), tilted(18, -.3, -1, .2), 'float32'),
    case((9, 8, 6), tilted(12, .1), 'uint8', True),
    case((8, 7, 5), tilted(10, .2, 1, -.3), 'int16', True)]), separators=(',', ':')))
