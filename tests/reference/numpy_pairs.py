#!/usr/bin/env python3
"""Pickles as Python and NumPy write them, and cases of nnU-Net (1 and 2) and ingradient with where SimpleITK puts their
voxels. numpy_pairs_1.json was made with NumPy 1.24, numpy_pairs_2.json with NumPy 2.4; both are read by
tests/base/test-pickle.c and tests/formats/test-numpy-pairs.c. Prints JSON.
"""
import base64
import collections
import json
import pickle

import numpy as np

try:
    import SimpleITK as sitk
except ImportError:
    sitk = None


def b64(data):
    return base64.b64encode(data).decode()


# --- values: what each pickle says, in JSON ----------------------------------------------------------------------------
VALUES = {
    "none": None, "true": True, "false": False, "small": 7, "byte": 200, "short": 40000, "int": -70000,
    "long": 2 ** 40, "minus": -(2 ** 62), "zero": 0, "float": 0.1, "minus float": -1.5e300,
    "text": "plain", "letters": "h\u00f6he \u6d77\U0001f9e0\n'\\", "empty": "", "list": [], "tuple": [],
    "nested": {"a": [1, [2, [3.5, "x"]]], "b": {"c": None}}, "long list": list(range(2500)),
}
values = []
for protocol in range(6):
    for name, value in VALUES.items():
        if name == "tuple":
            data = pickle.dumps((), protocol)
        elif name == "nested":
            data = pickle.dumps({"a": [1, (2, (3.5, "x"))], "b": collections.OrderedDict(c=None)}, protocol)
        elif name == "long list" and protocol not in (0, 2, 4):
            continue
        else:
            data = pickle.dumps(value, protocol)
        values.append({"name": f"{name} {protocol}", "protocol": protocol, "file": b64(data), "value": value})
binary = [{"protocol": p, "file": b64(pickle.dumps(kind(bytes(range(256))), p)), "kind": kind.__name__}
          for p in range(6) for kind in (bytes, bytearray)]

# --- numbers of NumPy ----------------------------------------------------------------------------------------------------
numbers = []
for protocol in range(6):
    for value in (np.float64(0.1), np.float32(1.5), np.float16(-2.25), np.int64(-3), np.uint8(200), np.bool_(True),
                  np.array([1.5, -2.0, 3.25]), np.array([[1, 2, 3], [4, 5, 6]], "i4"),
                  np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(4, dtype=">f8"), np.arange(3, dtype=">i2"),
                  [np.float64(3.0), np.float64(0.5), 0.25], (1, 2.5), np.eye(4)):
        numbers.append({"name": f"{value!r} {protocol}", "file": b64(pickle.dumps(value, protocol)),
                        "values": [float(v) for v in np.asarray(value, dtype=float).ravel()]})

# --- cases ---------------------------------------------------------------------------------------------------------------
SPACING, ORIGIN = (0.7, 0.9, 2.5), (-20.0, 35.5, -100.25)
ANGLE = 0.3
DIRECTION = (np.cos(ANGLE), -np.sin(ANGLE), 0.0, np.sin(ANGLE), np.cos(ANGLE), 0.0, 0.0, 0.0, 1.0)
SIZE_ZYX = np.array((12, 30, 40))


def scan():
    image = sitk.Image(*[int(n) for n in SIZE_ZYX[::-1]], sitk.sitkUInt8)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(DIRECTION)
    return image


def where(index_of):
    """Affine in RAS of a volume whose voxel (x, y, z) is the scan's voxel index_of (x, y, z), asked of SimpleITK."""
    image = scan()
    at = lambda p: np.array(image.TransformContinuousIndexToPhysicalPoint([float(v) for v in index_of(np.array(p, float))]))
    origin = at((0, 0, 0))
    columns = [at(p) - origin for p in np.eye(3)]
    m = np.column_stack(columns + [origin])
    m[:2] *= -1
    return m.tolist()


def prepared(forward, first, n, shape):
    """Voxel of an nnU-Net array (its axes: the scan's in the order `forward`, box `first`, `n`, resampled to `shape`)."""
    def index_of(xyz):
        array = xyz[::-1]
        box = (array + 0.5) / np.array(shape) * np.array(n)[list(forward)] - 0.5
        zyx = np.zeros(3)
        for a, o in enumerate(forward):
            zyx[o] = box[a] + np.array(first)[o]
        return zyx[::-1]
    return index_of


cases = []


def add(name, keys, properties, shape, affine, protocol=4, plans=None):
    cases.append({"name": name, "keys": keys, "pkl": b64(pickle.dumps(properties, protocol)), "shape": list(shape),
                  "affine": affine, "plans": plans})


if sitk:
    # ingradient: spacing, origin and direction as SimpleITK gives them
    whole = tuple(int(n) for n in SIZE_ZYX)
    for protocol in range(6):
        add(f"ingradient {protocol}", ["x", "y"],
            {"spacing": SPACING, "direction": DIRECTION, "origin": ORIGIN, "modality": "MRI"}, whole,
            where(lambda p: p), protocol)
    # nnU-Net 2
    first, n = (1, 3, 5), (10, 24, 30)
    for forward in ((0, 1, 2), (2, 0, 1)):
        shape = tuple(int(v) for v in np.round(np.array(n)[list(forward)] * 1.3))
        properties = {
            "sitk_stuff": {"spacing": SPACING, "origin": ORIGIN, "direction": DIRECTION},
            "spacing": [np.float64(v) for v in SPACING[::-1]],
            "shape_before_cropping": tuple(int(v) for v in SIZE_ZYX[list(forward)]),
            "bbox_used_for_cropping": [[first[o], first[o] + n[o]] for o in forward],
            "shape_after_cropping_and_before_resampling": tuple(n[o] for o in forward),
            "class_locations": {1: np.zeros((3, 4), np.int64), (1, 2): np.ones((2, 4), np.int64), 3: []},
        }
        plans = {"transpose_forward": list(forward), "configurations": {"3d_fullres": {"data_identifier": "IDENTIFIER"}}}
        add(f"nnunet2 {forward}", ["data", "seg"], properties, shape, where(prepared(forward, first, n, shape)), 5, plans)
    # nnU-Net 1: the order of axes shows in the sizes
    for forward in ((0, 1, 2), (1, 2, 0)):
        target = (1.1, 0.8, 0.8) if forward == (0, 1, 2) else (0.8, 0.8, 1.1)
        old = np.array(SPACING[::-1])
        shape = tuple(int(round(n[o] * old[o] / target[a])) for a, o in enumerate(forward))
        properties = collections.OrderedDict(
            original_size_of_raw_data=SIZE_ZYX, original_spacing=old, list_of_data_files=["a_0000.nii.gz"], seg_file=None,
            itk_origin=ORIGIN, itk_spacing=SPACING, itk_direction=DIRECTION,
            crop_bbox=[[first[o], first[o] + n[o]] for o in range(3)], classes=np.array([-1.0, 0.0, 1.0]),
            size_after_cropping=n, size_after_resampling=shape, spacing_after_resampling=np.array(target),
            class_locations=collections.OrderedDict())
        add(f"nnunet1 {forward}", ["data"], properties, shape, where(prepared(forward, first, n, shape)), 4)

print(json.dumps({"numpy": np.__version__, "values": values, "bytes": binary, "numbers": numbers, "cases": cases}))
