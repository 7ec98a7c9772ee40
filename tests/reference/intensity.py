#!/usr/bin/python3
"""Writes intensity.json: what batchgeneratorsv2's transforms make of patches, with given numbers.

Run in an environment with batchgeneratorsv2 (0.3.6), batchgenerators and scikit-image:
  python intensity.py > intensity.json
"""
import json

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform

# Blur sigma and scale: along x, y, z. gamma: [exponent, inverted].
CASES = [
    {"name": "blur", "size": [11, 9, 8], "blur": [0.5, 0.8, 1.0]},
    {"name": "blur-small", "size": [9, 3, 4], "blur": [0.9, 0.6, 1.0]},
    {"name": "blur-slices", "size": [16, 13, 1], "blur": [0.7, 0.9]},
    {"name": "brightness", "size": [8, 7, 5], "brightness": 0.8125},
    {"name": "contrast", "size": [10, 9, 8], "contrast": 1.21},
    {"name": "less-contrast", "size": [10, 9, 8], "contrast": 0.77},
    {"name": "low-resolution", "size": [12, 10, 9], "scale": [0.61, 0.61, 0.61]},
    {"name": "low-resolution-halves", "size": [12, 10, 6], "scale": [0.5, 0.5, 0.5]},
    {"name": "low-resolution-flat", "size": [14, 11, 4], "scale": [0.72, 0.72, 1.0]},
    {"name": "low-resolution-slices", "size": [17, 15, 1], "scale": [0.55, 0.55]},
    {"name": "gamma", "size": [10, 9, 8], "gamma": 1.43},
    {"name": "gamma-below", "size": [10, 9, 8], "gamma": 0.71},
    {"name": "gamma-inverted", "size": [10, 9, 8], "gamma_inverted": 0.83},
    {"name": "gamma-constant", "size": [4, 3, 2], "gamma": 1.3, "constant": 2.5},
    {"name": "all", "size": [12, 10, 9], "blur": [0.66, 0.51, 0.93], "brightness": 1.17, "contrast": 0.83,
     "scale": [0.83, 0.83, 0.83], "gamma_inverted": 1.31, "gamma": 0.77},
]


def patch(size):
    """Integers over eight, exact in float32; index order [z, y, x]."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in reversed(size)], indexing="ij")
    return (((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * z * z) % 41) / 8 - 2).astype(np.float32)


def run(case):
    x = patch(case["size"])
    if "constant" in case:
        x[:] = case["constant"]
    if case["size"][2] == 1:
        x = x[0]
    x = torch.from_numpy(x)[None].clone()
    channels = np.array([True])
    if "blur" in case:
        t = GaussianBlurTransform((0.5, 1.0), False, False, p_per_channel=1)
        x = t._apply_to_image(x, apply_to_channel=channels, sigmas=[list(reversed(case["blur"]))])
    if "brightness" in case:
        t = MultiplicativeBrightnessTransform((0.75, 1.25), False)
        x = t._apply_to_image(x, apply_to_channel=[0], multipliers=torch.tensor([case["brightness"]]))
    if "contrast" in case:
        t = ContrastTransform((0.75, 1.25), True, False)
        x = t._apply_to_image(x, apply_to_channel=torch.tensor([0]), multipliers=torch.tensor([case["contrast"]]))
    if "scale" in case:
        t = SimulateLowResolutionTransform((0.5, 1.0), False, True, None)
        x = t._apply_to_image(x, apply_to_channel=[0], scales=torch.tensor([list(reversed(case["scale"]))]))
    for name, inverted in (("gamma_inverted", True), ("gamma", False)):
        if name in case:
            t = GammaTransform((0.7, 1.5), float(inverted), False, 1.0, 1.0)
            x = t._apply_to_image(x, apply_to_channel=torch.tensor([0]), retain_stats=torch.tensor([True]),
                                  invert_image=torch.tensor([inverted]), gamma=torch.tensor([case[name]]))
    return x.numpy().reshape(-1)


def main():
    rows = []
    for case in CASES:
        rows.append(json.dumps(case | {"image": [float(f"{v:.8g}") for v in run(case)]}))
    print('{"cases": [\n' + ",\n".join(rows) + "\n]}")


main()
