#!/usr/bin/env python3
"""Orientation letters (nibabel.aff2axcodes) of the geometries of tests/formats/corpus-geometry.c.

usage: corpus.py > corpus.json      (needs numpy and nibabel)

For every tilt 48 entries: orders of the axes by lexicographic rank, then signs from +++ to --- with the last axis
fastest. Where two axes lie at exactly 45 degrees the last bit of a number decides what nibabel answers, so both of its
answers are kept: for the angle a little smaller and a little larger.
"""
import itertools
import json

import nibabel as nib
import numpy as np


def rotation(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, k = [j for j in range(3) if j != axis]
    r = np.eye(3)
    r[i, i], r[i, k], r[k, i], r[k, k] = c, -s, s, c
    return r


oblique = rotation(0, 13) @ rotation(1, -7) @ rotation(2, 21)
tilts = {
    "straight": [np.eye(3)],
    "oblique": [oblique],
    "shear": [oblique @ np.array([[1, 0, 0.1], [0, 1, 0.2], [0, 0, 1]])],
    "tie": [rotation(2, 44.999), rotation(2, 45.001)],
    "below": [rotation(0, 44.99)],
    "above": [rotation(1, 45.01)],
}


def letters(turn, order, signs, bend=np.eye(3)):
    affine = np.eye(4)
    axes = turn @ (np.eye(3)[:, order] * signs) @ bend
    affine[:3, :3] = axes / np.linalg.norm(axes, axis=0) * [0.75, 1.5, 3.25]
    return "".join(nib.aff2axcodes(affine))


out = {}
tilts["tilted"] = [oblique]  # as slices of a tilted gantry: the third axis leans towards the others
for name, turns in tilts.items():
    bend = np.array([[1, 0, 0.1], [0, 1, -0.2], [0, 0, 1]]) if name == "tilted" else np.eye(3)
    out[name] = " ".join(
        "/".join(letters(t, order, signs, bend) for t in turns)
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    )
print(json.dumps(out, indent=0))
