#!/usr/bin/env python3
"""Arrays as NumPy writes them, and what is in them: numpy_files.json, read by tests/formats/test-numpy.c.

Every element type in both byte orders and both memory orders, the three versions of the format, shapes of two to
five axes, and archives stored and deflated. Run with NumPy installed; prints JSON.
"""
import base64
import io
import json
import warnings

import numpy as np

warnings.simplefilter("ignore")
rng = np.random.default_rng(4)
TYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
NAMES = {"?": "uint8"}


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version, allow_pickle=False)
    return out.getvalue()


def numbers(code, shape):
    dtype = np.dtype(code)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    array = rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)
    array.flat[0], array.flat[-1] = info.min, info.max
    return array


def planes(array, last):
    """(channel, z, y, x) of an array by the rule of axes."""
    while array.ndim > 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 5:
        array = array.reshape((-1,) + array.shape[2:])
    if array.ndim == 4 and last:
        array = np.moveaxis(array, -1, 0)
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def bits(array):
    """Little-endian bytes of the numbers, in memory order of a volume."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        array = array.astype("u1")
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def describe(name, data, array, last=False):
    voxels = planes(array, last)
    dtype = np.dtype("u1") if array.dtype.kind == "b" else array.dtype
    return {"name": name, "file": base64.b64encode(data).decode(), "dims": list(voxels.shape[:0:-1]),
            "channels": voxels.shape[0], "dtype": dtype.newbyteorder("=").name, "bits": bits(voxels)}


arrays = []
for code in TYPES:
    for order in "<>":
        for fortran in (False, True):
            array = numbers(order + code if code != "?" else code, (2, 3, 4))
            array = np.asfortranarray(array) if fortran else array
            arrays.append(describe(f"{order}{code}{'F' if fortran else 'C'}", npy(array), array))
for version in ((1, 0), (2, 0), (3, 0)):
    array = numbers("<f4", (3, 2, 2))
    arrays.append(describe(f"version{version[0]}", npy(array, version), array))
for shape, last in (((5, 7), False), ((1, 5, 7), False), ((2, 4, 3, 5), False), ((6, 5, 4, 3), True),
                    ((1, 3, 3, 4), False), ((2, 3, 4, 2, 3), False), ((1, 1, 3, 4, 5), False), ((1, 2, 3, 4, 5), False),
                    ((40, 2, 3, 20), False)):
    for fortran in (False, True):
        array = numbers("<i2", shape)
        array = np.asfortranarray(array) if fortran else array
        arrays.append(describe(f"shape{'x'.join(map(str, shape))}{'F' if fortran else 'C'}", npy(array), array, last))

archives = []
for save, kind in ((np.savez, "stored"), (np.savez_compressed, "deflated")):
    image, labels = numbers("<f4", (4, 5, 6)), rng.integers(0, 4, (4, 5, 6)).astype("u1")
    out = io.BytesIO()
    save(out, image=image, labels=np.asfortranarray(labels))
    archives.append({"name": kind, "file": base64.b64encode(out.getvalue()).decode(),
                     "arrays": {"image": describe("", b"", image), "labels": describe("", b"", labels)}})
print(json.dumps({"numpy": np.__version__, "arrays": arrays, "archives": archives}, indent=0))
