#!/usr/bin/python3
"""What nibabel reads from every NIfTI file of a folder of test files.

usage: nifti_info.py DATA_FOLDER > nifti_info.json      (DATA_FOLDER holds nifti/)
"""
import json
import os
import sys
import warnings

import nibabel as nib
import numpy as np

root = sys.argv[1]
warnings.simplefilter("ignore")
nib.imageglobals.logger.disabled = True
out = []
for folder, _, names in sorted(os.walk(os.path.join(root, "nifti"))):
    for name in sorted(names):
        if not name.endswith((".nii", ".nii.gz", ".hdr", ".hdr.gz")):
            continue
        path = os.path.join(folder, name)
        entry = {"file": os.path.relpath(path, root)}
        try:
            img = nib.load(path)
            dtype = img.get_data_dtype()
            if dtype.names:  # colours: channels
                raw = np.asarray(img.dataobj)
                data = np.stack([raw[name].astype(np.float64) for name in dtype.names], -1)
                dtype = np.dtype(np.uint8)
            else:
                data = img.get_fdata(dtype=np.float64)
        except Exception:
            entry["fails"] = "format"
            out.append(entry)
            continue
        shape = list(data.shape) + [1, 1, 1]
        finite = data[np.isfinite(data)]
        entry.update(
            dims=shape[:3],
            channels=int(np.prod(data.shape[3:], dtype=np.int64)),
            dtype=dtype.newbyteorder("=").name,
            affine=[[float(v) for v in row] for row in img.affine],
            orientation="".join(nib.aff2axcodes(img.affine)),
            not_finite=int(data.size - finite.size),
            min=float(finite.min()),
            max=float(finite.max()),
            mean=float(finite.mean()),
            std=float(finite.std()),
            label=int(img.header["intent_code"]) == 1002
            or any(b"<LabelTable>" in bytes(e.get_content()) for e in img.header.extensions if e.get_code() in (0, 30)),
        )
        out.append(entry)
print("[\n" + ",\n".join(json.dumps(e) for e in out) + "\n]")
