#!/usr/bin/python3
"""Writes meshnet.json: what PyTorch makes of the MeshNets in shared/data/models on shared/data/models/t1_crop.nii.gz.

A MeshNet is written out in torch.nn.functional: dilated convolution 3x3x3, batch norm with its running statistics,
ReLU; last a convolution of one voxel. The scan goes in as nibabel has it, axes x, y, z, scaled to 0 ... 1. Samples
are the logits at fixed voxels of a part of the scan; counts are the voxels whose largest logit is that class. The second
network's dilations stand nowhere: the ones here are a choice, the same in the test.

Run: python3 meshnet.py FOLDER_OF_MODELS   (PyTorch 2, NumPy; a minute)
"""
import gzip
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

MODELS = {'meshnet.pth': [1, 2, 4, 8, 16, 8, 4, 2, 1],
          'model.pth': [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1]}
CROPS = {'meshnet.pth': (72, 184), 'model.pth': (96, 152)}  # voxels of every axis


def scan(folder):
    with gzip.open(os.path.join(folder, 't1_crop.nii.gz')) as f:
        data = f.read()
    assert data[:4] == b'\x5c\x01\x00\x00' and np.frombuffer(data, '<i2', 1, 70)[0] == 2  # little endian, uint8
    nx, ny, nz = np.frombuffer(data, '<i2', 8, 40)[1:4].tolist()
    start = int(np.frombuffer(data, '<f4', 1, 108)[0])
    return np.frombuffer(data, np.uint8, nx * ny * nz, start).reshape(nz, ny, nx).transpose(2, 1, 0).astype(np.float32)


def logits(state, dilations, x):
    conv, norm = ('conv', 'bnorm') if 'model.0.conv.weight' in state else ('0', '1')
    for i, d in enumerate(dilations):
        c, n = 'model.%d.%s.' % (i, conv), 'model.%d.%s.' % (i, norm)
        x = F.conv3d(x, state[c + 'weight'], state[c + 'bias'], padding=d, dilation=d)
        x = F.batch_norm(x, state[n + 'running_mean'], state[n + 'running_var'], state[n + 'weight'],
                         state[n + 'bias'], eps=1e-5)
        x = F.relu(x, inplace=True)
    last = 'model.%d.' % len(dilations)
    return F.conv3d(x, state[last + 'weight'], state[last + 'bias'])


def main():
    folder, out = sys.argv[1], {}
    torch.set_num_threads(2)
    for name, dilations in MODELS.items():
        state = torch.load(os.path.join(folder, name), map_location='cpu', weights_only=True)
        lo, hi = CROPS[name]
        image = scan(folder)[lo:hi, lo:hi, lo:hi]
        image = (image - image.min()) / (image.max() - image.min())
        with torch.no_grad():
            y = logits(state, dilations, torch.from_numpy(np.ascontiguousarray(image))[None, None])[0].numpy()
        n = hi - lo
        at = [[(37 * k + 5) % n, (91 * k + n // 2) % n, (53 * k + n // 3) % n] for k in range(200)]
        out[name] = {'dilation': dilations, 'crop': [lo, hi],
                     'counts': np.bincount(y.argmax(0).ravel(), minlength=3).tolist(),
                     'samples': [{'xyz': p, 'logits': [round(float(v), 5) for v in y[:, p[0], p[1], p[2]]]} for p in at]}
        print(name, out[name]['counts'], flush=True)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'meshnet.json'), 'w') as f:
        json.dump(out, f, separators=(',', ':'))
        f.write('\n')


if __name__ == '__main__':
    main()
