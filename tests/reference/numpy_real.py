#!/usr/bin/env python3
"""What NumPy, zipfile and PyTorch read from files of a folder of test files.

usage: numpy_real.py DATA_FOLDER > numpy_real.json      (DATA_FOLDER holds numpy/ and models/)
"""
import hashlib
import json
import os
import sys
import zipfile

import numpy as np
import torch

root = sys.argv[1]
arrays, archives = [], []
for name in sorted(os.listdir(os.path.join(root, "numpy"))):
    array = np.load(os.path.join(root, "numpy", name), allow_pickle=False)
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    arrays.append({"file": "numpy/" + name, "dtype": array.dtype.name, "shape": list(array.shape),
                   "sha256": hashlib.sha256(little.tobytes()).hexdigest()})
for name in ("models/meshnet.pth",):
    path = os.path.join(root, name)
    with zipfile.ZipFile(path) as archive:
        members = [{"name": m.filename, "sha256": hashlib.sha256(archive.read(m)).hexdigest(), "size": m.file_size}
                   for m in archive.infolist()]
    tensors = [{"name": k, "shape": list(v.shape)} for k, v in torch.load(path, map_location="cpu").items()]
    archives.append({"file": name, "members": members, "tensors": tensors})
print(json.dumps({"arrays": arrays, "archives": archives}, indent=0))
