#!/usr/bin/env python3
"""Writes onnx_logits.json: what onnxruntime makes of the ONNX files that tests/cpu/test-cpu-onnx.c writes.

Every file must pass onnx.checker with full shape inference; the image is made from a hash of its name, as the test
makes it. The file's SHA-256 is kept, so that the test knows whether these are still its logits. A batch of two must give
the same for the first.

Run: python3 onnx_logits.py BUILD/tests/cpu/test-cpu-onnx   (onnx, onnxruntime, NumPy; seconds)
"""
import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime


def uniform(name, n):
    seed = 2166136261
    for c in name.encode():
        seed = ((seed ^ c) * 16777619) & 0xffffffff
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return (h.astype(np.float64) / 2147483648.0 - 1.0).astype(np.float32)


def run(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    *patch, flat = [int(v) for v in session.get_modelmeta().custom_metadata_map['patch'].split(',')]
    if flat:
        del patch[flat - 1]
    end = session.get_inputs()[0]
    assert end.name == 'image' and session.get_outputs()[0].name == 'logits'
    channels = end.shape[1]
    image = np.moveaxis(uniform('image', int(np.prod(patch)) * channels).reshape([1] + patch + [channels]), -1, 1)
    logits = session.run(['logits'], {'image': np.ascontiguousarray(image)})[0]
    two = session.run(['logits'], {'image': np.ascontiguousarray(np.concatenate([image, image[:, :, ::-1]]))})[0]
    assert np.abs(two[0] - logits[0]).max() < 1e-5 * np.abs(logits).max()
    values = np.moveaxis(logits, 1, -1).ravel()
    with open(path, 'rb') as f:
        sha = hashlib.sha256(f.read()).hexdigest()
    print(os.path.basename(path), end.shape, logits.shape, float(np.abs(values).max()))
    return {'sha256': sha, 'n': values.size, 'largest': float(np.abs(values).max()),
            'samples': [float('%.8g' % values[k * 7919 % values.size]) for k in range(min(max(values.size, 64), 200))]}


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1]], env={**os.environ, 'TESSERA_ONNX_DIR': folder}, check=True)
        out = {os.path.basename(p)[:-5]: run(p) for p in sorted(glob.glob(os.path.join(folder, '*.onnx')))}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'onnx_logits.json'), 'w') as f:
        json.dump(out, f, separators=(',', ':'))
        f.write('\n')


if __name__ == '__main__':
    main()
