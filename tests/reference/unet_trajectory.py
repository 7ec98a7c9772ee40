#!/usr/bin/python3
"""Writes unet_trajectory.safetensors: ten SGD steps of a small plain U-Net, done by PyTorch in float64.

The network is nnU-Net's PlainConvUNet written out in torch.nn (same names, same order of modules), the loss is Dice +
cross-entropy with deep supervision, the optimiser torch.optim.SGD with Nesterov momentum after clip_grad_norm_. The
initial weights are float32, so that both sides start from the same numbers.

Run: /usr/bin/python3 unet_trajectory.py   (PyTorch 1.13, NumPy 1.24)
"""
import json
import os
import struct

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

CHANNELS, CLASSES, BATCH, PATCH = 2, 3, 2, (8, 12, 16)
FEATURES = [4, 6, 8, 8]
KERNELS = [(1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)]
STRIDES = [(1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 1, 2)]
CONVS_ENCODER, CONVS_DECODER = [2, 2, 1, 2], [1, 2, 2]
STEPS, RATE, MOMENTUM, DECAY, CLIP = 10, 0.01, 0.99, 3e-5, 1.0
HEAD_WEIGHTS = [2 / 3, 1 / 3, 0.0]  # 1, 1/2, 1/4; the coarsest 0; sum 1


class Block(nn.Module):
    def __init__(self, cin, cout, kernel, stride):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, kernel, stride, tuple((k - 1) // 2 for k in kernel), bias=True)
        self.norm = nn.InstanceNorm3d(cout, eps=1e-5, affine=True)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class Stage(nn.Module):
    def __init__(self, n, cin, cout, kernel, stride):
        super().__init__()
        self.convs = nn.Sequential(*[Block(cin if i == 0 else cout, cout, kernel, stride if i == 0 else (1, 1, 1))
                                     for i in range(n)])

    def forward(self, x):
        return self.convs(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [CHANNELS] + FEATURES
        self.stages = nn.Sequential(*[nn.Sequential(Stage(CONVS_ENCODER[s], widths[s], widths[s + 1], KERNELS[s], STRIDES[s]))
                                      for s in range(len(FEATURES))])


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        stages, ups, heads = [], [], []
        for u in range(len(FEATURES) - 1):
            s = len(FEATURES) - 2 - u
            ups.append(nn.ConvTranspose3d(FEATURES[s + 1], FEATURES[s], STRIDES[s + 1], STRIDES[s + 1], bias=True))
            stages.append(Stage(CONVS_DECODER[u], 2 * FEATURES[s], FEATURES[s], KERNELS[s], (1, 1, 1)))
            heads.append(nn.Conv3d(FEATURES[s], CLASSES, 1, bias=True))
        self.stages = nn.ModuleList(stages)
        self.transpconvs = nn.ModuleList(ups)
        self.seg_layers = nn.ModuleList(heads)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x):
        skips = []
        for stage in self.encoder.stages:
            x = stage(x)
            skips.append(x)
        out = []
        for u in range(len(FEATURES) - 1):
            x = self.decoder.transpconvs[u](x)
            x = self.decoder.stages[u](torch.cat([x, skips[-2 - u]], 1))
            out.append(self.decoder.seg_layers[u](x))
        return out[::-1]


def head_loss(logits, labels):
    labels = F.interpolate(labels[:, None].double(), logits.shape[2:], mode='nearest-exact')[:, 0].long()
    ce = F.cross_entropy(logits, labels)
    p = logits.softmax(1)
    g = F.one_hot(labels, CLASSES).permute(0, 4, 1, 2, 3).double()
    axes = (2, 3, 4)  # per sample
    dice = (2 * (p * g).sum(axes) + 1e-5) / (p.sum(axes) + g.sum(axes) + 1e-5).clip(1e-8)
    return ce - dice[:, 1:].mean()


def write(path, metadata, tensors):
    header, at = {'__metadata__': metadata}, 0
    kinds = {'float32': 'F32', 'float64': 'F64', 'uint8': 'U8'}
    for name, a in tensors.items():
        header[name] = {'dtype': kinds[str(a.dtype)], 'shape': list(a.shape), 'data_offsets': [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for a in tensors.values():
            f.write(np.ascontiguousarray(a).tobytes())


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    net = UNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                nn.init.uniform_(module.bias, -0.1, 0.1)
            elif isinstance(module, nn.InstanceNorm3d):  # away from 1 and 0, so that both matter
                nn.init.uniform_(module.weight, 0.8, 1.2)
                nn.init.uniform_(module.bias, -0.1, 0.1)

    # Two boxes of one class each in noise.
    labels = np.zeros((BATCH,) + PATCH, np.uint8)
    labels[0, 2:6, 3:9, 4:10] = 1
    labels[0, 1:4, 1:4, 10:15] = 2
    labels[1, 3:8, 5:11, 1:7] = 1
    labels[1, 0:3, 2:8, 9:13] = 2
    image = rng.normal(0, 0.5, (BATCH,) + PATCH + (CHANNELS,))
    image[..., 0] += labels
    image[..., 1] -= labels == 2
    image = image.astype(np.float32)

    tensors = {'init.' + k: v.detach().numpy().copy() for k, v in net.named_parameters()}
    tensors['image'] = image  # N, D, H, W, C
    tensors['labels'] = labels[..., None]

    net = net.double()
    x = torch.from_numpy(image).double().permute(0, 4, 1, 2, 3)
    y = torch.from_numpy(labels.astype(np.int64))
    optimiser = torch.optim.SGD(net.parameters(), RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
    losses, norms = [], []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = net(x)
        if step == 0:
            tensors['logits'] = logits[0].detach().permute(0, 2, 3, 4, 1).numpy().astype(np.float32)
        loss = sum(w * head_loss(z, y) for w, z in zip(HEAD_WEIGHTS, logits))
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), CLIP)))
        optimiser.step()
        losses.append(float(loss))
    for k, v in net.named_parameters():
        tensors['final.' + k] = v.detach().numpy().astype(np.float32)
    tensors['losses'] = np.array(losses)
    tensors['norms'] = np.array(norms)
    print('losses', losses)
    print('norms', norms)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'unet_trajectory.safetensors')
    write(path, {'made_by': 'unet_trajectory.py, PyTorch ' + torch.__version__}, tensors)
    print(os.path.getsize(path), 'bytes')


main()
