#!/usr/bin/python3
"""Two label maps and what numpy says of their difference, for tests/app/test-comparison.c."""
import json
import os

import numpy as np

rng = np.random.default_rng(7)
dim = (9, 8, 7)  # x, y, z
spacing = (0.8, 1.5, 3.0)


def blobs():
    x, y, z = np.meshgrid(*[np.arange(n) for n in dim], indexing="ij")
    labels = np.zeros(dim, np.uint8)
    for value in (1, 2, 5):
        centre = [rng.uniform(2, n - 3) for n in dim]
        radius = rng.uniform(1.5, 2.6)
        distance = sum((a - c) ** 2 for a, c in zip((x, y, z), centre))
        labels[distance < radius**2] = value
    return labels


reference, prediction = blobs(), blobs()
prediction[prediction == 5] = 0  # a label the prediction does not have
prediction[0, 0, 0] = 7  # and one the reference does not have
both, only_p, only_r = (reference > 0) & (prediction > 0), (reference == 0) & (prediction > 0), (reference > 0) & (prediction == 0)
difference = {"0": np.select([both & (reference == prediction), both, only_p, only_r], [1, 4, 2, 3], 0)}
rows = []
for value in (1, 2, 5, 7):
    r, p = reference == value, prediction == value
    difference[str(value)] = np.select([r & p, p, r], [1, 2, 3], 0)
    rows.append((value, 2 * (r & p).sum() / (r.sum() + p.sum()), (r & p).sum() / (r | p).sum()))
voxel = float(np.prod(spacing))
out = {
    "dim": dim,
    "spacing": spacing,
    "reference": reference.flatten("F").tolist(),
    "prediction": prediction.flatten("F").tolist(),
    "labels": [r[0] for r in rows],
    "dice": float(np.mean([r[1] for r in rows])),
    "iou": float(np.mean([r[2] for r in rows])),
    "volume_reference": float((reference > 0).sum() * voxel),
    "volume_prediction": float((prediction > 0).sum() * voxel),
    "difference": {k: v.flatten("F").tolist() for k, v in difference.items()},
}
with open(os.path.join(os.path.dirname(__file__), "app_comparison.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
