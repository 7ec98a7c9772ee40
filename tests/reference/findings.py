#!/usr/bin/env python3
"""Tables of findings as Python's csv module writes and reads them, LUNA16's own table as it reads it, and where
SimpleITK finds world points on straight, mirrored, oblique and sheared grids.

usage: findings.py DATA_FOLDER > findings.json      (DATA_FOLDER holds luna/; needs numpy, SimpleITK)
"""
import base64
import collections
import csv
import hashlib
import io
import json
import math
import sys

import numpy as np
import SimpleITK as sitk

root = sys.argv[1]
rng = np.random.default_rng(7)

# --- tables: text, and what is in it (coordinates as written, LPS) ------------------------------------------------

ROWS = [
    ["1.2.840.1", -128.6994211, -175.3192718, -298.3875064, 5.651470635, "solid", 0.25],
    ["scan, with comma", 1e-7, 250.0, -3.5e2, 32.27003025, 'he said "yes"', 1.0],
    ["1.2.840.1", 0.1 + 0.2, -1 / 3, 12345.678901234567, 3.25, "two\nlines; and more", 0.0],
    ["폐 1", 0.0, -0.0, 7.0, None, "", 0.5],
]
NAMES = ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "class", "probability"]


def number(value, comma):
    if value is None:
        return ""
    text = repr(float(value))
    return text.replace(".", ",") if comma else text


def table(order=None, names=NAMES, comma=False, encoding="utf-8", first="", **dialect):
    order = order or range(len(NAMES))
    out = io.StringIO(newline="")
    writer = csv.writer(out, **dialect)
    writer.writerow([names[i] for i in order])
    for row in ROWS:
        cells = [row[0], *(number(v, comma) for v in row[1:5]), row[5], repr(row[6])]
        writer.writerow([cells[i] for i in order])
    return base64.b64encode((first + out.getvalue()).encode(encoding)).decode()


tables = [
    table(),
    table(lineterminator="\n", quoting=csv.QUOTE_ALL),
    table(lineterminator="\r", quoting=csv.QUOTE_ALL),
    table(order=[6, 3, 2, 5, 1, 4, 0], encoding="utf-8-sig"),
    table(names=["SeriesUID", "COORDX", "coordy", "CoordZ", "Diameter_MM", "class", "probability"]),
    table(delimiter=";", comma=True),
    table(delimiter=";", comma=True, first="sep=;\r\n"),
    table(delimiter=";", comma=True, first="sep=;\n", encoding="utf-8-sig", lineterminator="\n"),
    table(delimiter="\t", comma=True, dialect="excel-tab"),
    table(delimiter="\t", lineterminator="\n", first="\n\r\n"),
]
contents = [
    {"scan": r[0], "lps": r[1:4], "diameter": r[4], "class": r[5], "probability": repr(r[6])} for r in ROWS
]

# --- LUNA16's table -----------------------------------------------------------------------------------------------

with open(root + "/luna/annotations.csv", newline="") as file:
    luna = list(csv.DictReader(file))
counts = collections.Counter(r["seriesuid"] for r in luna)
most = counts.most_common(1)[0][0]
digest = hashlib.sha256()
for r in luna:
    digest.update(r["seriesuid"].encode())
    digest.update(np.array([float(r[k]) for k in ("coordX", "coordY", "coordZ", "diameter_mm")], "<f8").tobytes())
luna_is = {
    "findings": len(luna),
    "scans": len(counts),
    "sha256": digest.hexdigest(),  # of every row: its uid, then coordX, coordY, coordZ, diameter as float64
    "most": most,
    "most_n": counts[most],
    "most_lps": [[float(r[k]) for k in ("coordX", "coordY", "coordZ")] for r in luna if r["seriesuid"] == most],
    "smallest": min(float(r["diameter_mm"]) for r in luna),
    "largest": max(float(r["diameter_mm"]) for r in luna),
}

# --- places -------------------------------------------------------------------------------------------------------


def rotation(axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, k = [j for j in range(3) if j != axis]
    r = np.eye(3)
    r[i, i], r[i, k], r[k, i], r[k, k] = c, -s, s, c
    return r


oblique = rotation(0, 13) @ rotation(1, -27) @ rotation(2, 41)
shear = np.array([[1, 0.1, 0.3], [0, 1, -0.2], [0, 0, 1]])
directions = {
    "straight": np.eye(3),
    "mirrored": np.diag([1, -1, -1]),
    "turned": np.eye(3)[:, [2, 0, 1]] * [1, -1, 1],
    "oblique": oblique,
    "oblique mirrored": oblique @ np.diag([-1, 1, 1]),
    "sheared": oblique @ shear,
}
grids = []
for name, direction in directions.items():
    dims, spacing, origin = [37, 50, 23], np.array([0.7, 0.9, 2.5]), np.array([-61.25, 43.5, -210.0])
    image = sitk.Image(dims, sitk.sitkUInt8)
    unit = direction / np.linalg.norm(direction, axis=0)
    image.SetDirection(unit.ravel().tolist())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    lps = np.eye(4)
    lps[:3, :3] = unit * spacing
    lps[:3, 3] = origin
    points = []
    for _ in range(40):
        at = rng.uniform(-0.15, 1.15, 3) * dims - 0.5
        world = lps[:3, :3] @ at + origin
        index = image.TransformPhysicalPointToIndex(world.tolist())
        points.append(
            {
                "lps": world.tolist(),
                "index": list(image.TransformPhysicalPointToContinuousIndex(world.tolist())),
                "inside": all(0 <= i < n for i, n in zip(index, dims)),
            }
        )
    ras = np.diag([-1, -1, 1, 1]) @ lps
    grids.append({"name": name, "dims": dims, "affine": ras[:3].tolist(), "points": points})


def lines(entries):
    return "[\n" + ",\n".join(json.dumps(e, ensure_ascii=False) for e in entries) + "\n]"


print(f'{{"tables": {lines(tables)},\n"contents": {lines(contents)},\n"luna": {json.dumps(luna_is)},\n"grids": {lines(grids)}}}')
