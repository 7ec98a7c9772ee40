#!/usr/bin/python3
"""Writes networks.json: logits, gradients and parameters after ten steps of the ingradient U-Net, the squeeze-and-excitation
residual U-Net, the CASED network and a MeshNet, done by PyTorch in float64 with weights that both sides make from a hash
of their names.

The networks are written out with torch.nn.functional from their descriptions. The loss is cross-entropy plus soft Dice
of the foreground for each head, weighted. Of every gradient its 2-norm, its largest element and eight elements are kept,
of every parameter after ten steps (SGD with Nesterov's momentum, and Adam) the same with three.

Run: python3 networks.py   (PyTorch 2, NumPy; some minutes)
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

HEAD_WEIGHTS = [0.5, 0.3, 0.2]
STEPS, CLIP = 10, 12.0
OPTIMISERS = {
    'sgd': lambda P, rate: torch.optim.SGD(P, rate, momentum=0.9, nesterov=True, weight_decay=3e-5),
    'adam': lambda P, rate: torch.optim.Adam(P, rate, weight_decay=3e-5),
}
# Small where a network's float32 leaves its float64: at ten times these PyTorch's own does, by more than 1e-3, in the
# residual networks, whose small patches put max pools before norms over a few voxels.
RATES = {'se-residual-3-gated': {'sgd': 1e-3, 'adam': 1e-5}, 'se-residual-4': {'sgd': 1e-4, 'adam': 3e-6},
         'cased': {'sgd': 1e-2, 'adam': 1e-5}}
OTHER_RATES = {'sgd': 1e-2, 'adam': 1e-4}


def mixed(name, n):
    """n uint32 from the name."""
    seed = 2166136261
    for c in name.encode():
        seed = ((seed ^ c) * 16777619) & 0xffffffff
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def uniform(name, n):
    return mixed(name, n).astype(np.float64) / 2147483648.0 - 1.0


class Params(dict):
    def get_or_make(self, name, shape, scale, shift):
        if name not in self:
            u = uniform(name, int(np.prod(shape))) * scale + shift
            self[name] = torch.from_numpy(u.astype(np.float32).astype(np.float64).reshape(shape)).requires_grad_()
        return self[name]

    def conv(self, x, name, out, k=3, s=1, p=1, bias=True, up=False):
        shape = (x.shape[1], out) if up else (out, x.shape[1])
        w = self.get_or_make(name + '.weight', shape + (k,) * 3, (3.0 / (shape[1] * k ** 3)) ** 0.5, 0.0)
        b = self.get_or_make(name + '.bias', (out,), 0.1, 0.0) if bias else None
        return F.conv_transpose3d(x, w, b, s, p) if up else F.conv3d(x, w, b, s, p)

    def norm(self, x, name, slope, eps, on_std):
        g = self.get_or_make(name + '.weight', (x.shape[1],), 0.2, 1.0).view(1, -1, 1, 1, 1)
        b = self.get_or_make(name + '.bias', (x.shape[1],), 0.2, 0.0).view(1, -1, 1, 1, 1)
        axes = (2, 3, 4)
        mean, var = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
        x = (x - mean) / ((var.sqrt() + eps) if on_std else (var + eps).sqrt()) * g + b
        return F.leaky_relu(x, slope)


def ingradient(P, x, features, classes, single):
    full, skips, heads = x.shape[2:], [], {}

    def stage(x, side, s, out, stride):
        for i in range(2):
            n = '%s.%d.%d' % (side, s, i)
            x = P.norm(P.conv(x, n + '.conv', out, 3, stride if i == 0 else 1), n + '.norm', 0.01, 1e-5, False)
        return x
    for s, f in enumerate(features):
        x = stage(x, 'down', s, f, 1 if s == 0 else 2)
        skips.append(x)
    for s in range(len(features) - 2, -1, -1):
        x = P.conv(x, 'up.%d.conv' % s, features[s], 2, 2, 0, up=True)
        x = P.norm(x, 'up.%d.norm' % s, 0.01, 1e-5, False)
        x = stage(torch.cat([skips[s], x], 1), 'merge', s, features[s], 1)
        if s == 0 or not single:
            y = P.conv(x, 'head.%d' % s, classes)
            heads[s] = y if s == 0 else F.interpolate(y, full, mode='trilinear', align_corners=False)
    return [heads[s] for s in sorted(heads)]


def se_residual(P, x, depth, base, ratio, gated, classes):
    def conv_norm(x, prefix, i, out, slope):
        return P.norm(P.conv(x, '%s.conv%d' % (prefix, i), out, bias=False), '%s.norm%d' % (prefix, i), slope, 1e-3, True)

    def block(x, prefix, out):
        y = conv_norm(conv_norm(x, prefix, 1, out, 0.3), prefix, 2, out, 1.0)
        if ratio:
            s = F.relu(P.conv(y.mean((2, 3, 4), keepdim=True), prefix + '.squeeze', max(out // ratio, 1), 1, 1, 0))
            y = y * torch.sigmoid(P.conv(s, prefix + '.excite', out, 1, 1, 0))
        return F.leaky_relu(y + conv_norm(x, prefix, 3, out, 1.0), 0.3)

    def gate(low, skip, prefix):
        c = skip.shape[1]
        a = P.conv(skip, prefix + '.gate_skip', c, 2, 2, 0) + P.conv(low, prefix + '.gate_low', c, 1, 1, 0)
        return skip * F.interpolate(torch.sigmoid(P.conv(a, prefix + '.gate', 1, 1, 1, 0)), skip.shape[2:], mode='nearest')
    x = conv_norm(x, 'stem', 1, base, 0.3)
    skips = [x]
    for s in range(1, depth + 1):
        x = block(F.max_pool3d(x, 2), 'down.%d' % s, base << s)
        skips.append(x)
    for s in range(depth - 1, -1, -1):
        prefix, skip = 'up.%d' % s, skips[s]
        if s > 0 and gated:
            skip = gate(x, skip, prefix)
        x = P.conv(F.pad(x, (0, 1) * 3), prefix + '.up', base << s, 2, 2, 0, bias=False, up=True)
        x = P.norm(x, prefix + '.up_norm', 0.3, 1e-3, True)
        d, h, w = skip.shape[2:]
        x = torch.cat([skip, x[:, :, :d, :h, :w]], 1)
        x = block(x, prefix, base << s) if s > 0 else conv_norm(x, prefix, 1, base, 0.3)
    return [P.conv(x, 'head', classes, 1, 1, 0)]


def cased(P, x, classes):
    skips, n = [], 1
    for s in range(3):
        for _ in range(2):
            x, n = F.relu(P.conv(x, 'conv%d' % n, 32 << s, 3, 1, 0)), n + 1
        skips.append(x)
        x = F.max_pool3d(torch.cat([x, x], 1), 2)
    for out in (256, 128):
        x, n = F.relu(P.conv(x, 'conv%d' % n, out, 3, 1, 0)), n + 1
    for u in range(3):
        x = P.conv(x, 'deconv%d' % (u + 1), 128 >> u, 4, 2, 0, bias=False, up=True)[:, :, 1:-1, 1:-1, 1:-1]
        skip, size = skips[2 - u], x.shape[2:]
        d, h, w = [slice((n_skip - n_x) // 2, (n_skip + n_x) // 2) for n_skip, n_x in zip(skip.shape[2:], size)]
        x = torch.cat([skip[:, :, d, h, w], x], 1)
        for out in (128 >> u, max(64 >> u, 32)):
            x, n = F.relu(P.conv(x, 'conv%d' % n, out, 1, 1, 0)), n + 1
    return [P.conv(x, 'head', classes, 1, 1, 0)]


def meshnet(P, x, dilations, features, classes):
    for i, d in enumerate(dilations):
        name = 'model.%d.0' % i
        w = P.get_or_make(name + '.weight', (features, x.shape[1], 3, 3, 3), (3.0 / (x.shape[1] * 27)) ** 0.5, 0.0)
        x = F.relu(F.conv3d(x, w, P.get_or_make(name + '.bias', (features,), 0.1, 0.0), 1, d, d))
    return [P.conv(x, 'model.%d' % len(dilations), classes, 1, 1, 0)]


def head_loss(logits, labels, classes):
    m = [(a - b) // 2 for a, b in zip(labels.shape[1:], logits.shape[2:])]
    labels = labels[:, m[0]:m[0] + logits.shape[2], m[1]:m[1] + logits.shape[3], m[2]:m[2] + logits.shape[4]]
    p, g = logits.softmax(1), F.one_hot(labels, classes).permute(0, 4, 1, 2, 3).double()
    axes = (2, 3, 4)
    dice = (2 * (p * g).sum(axes) + 1e-5) / (p.sum(axes) + g.sum(axes) + 1e-5).clip(1e-8)
    return F.cross_entropy(logits, labels) - dice[:, 1:].mean()


CASES = {
    'ingradient': (2, (8, 16, 24), 2, 3, lambda P, x: ingradient(P, x, [4, 6, 8, 10], 3, False)),
    'ingradient-plain': (1, (8, 4, 12), 1, 2, lambda P, x: ingradient(P, x, [4, 6, 8], 2, True)),
    'se-residual-3-gated': (1, (13, 17, 14), 2, 3, lambda P, x: se_residual(P, x, 3, 8, 4, True, 3)),
    'se-residual-4': (2, (25, 33, 27), 1, 2, lambda P, x: se_residual(P, x, 4, 4, 16, False, 2)),
    'meshnet': (2, (10, 12, 9), 2, 3, lambda P, x: meshnet(P, x, [1, 2, 4, 8, 2, 1], 7, 3)),
    'cased': (1, (68, 76, 68), 1, 2, lambda P, x: cased(P, x, 2)),
}


def summary(v, n):
    v = v.detach().reshape(-1).numpy()
    return {'norm': float('%.7g' % np.sqrt((v * v).sum())), 'largest': float('%.7g' % abs(v).max()),
            'samples': [float('%.7g' % v[i * 7919 % len(v)]) for i in range(n)]}


def train(net, x, y, classes, make, rate):
    """The loss of every step and the parameters after the last."""
    P, losses = Params(), []
    net(P, x)
    optimiser = make(list(P.values()), rate)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = sum(w * head_loss(h, y, classes) for w, h in zip(HEAD_WEIGHTS, net(P, x)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(P.values()), CLIP)
        optimiser.step()
        losses.append(float('%.7g' % loss.item()))
    return {'losses': losses, 'params': {k: summary(p, 3) for k, p in P.items()}}


def main():
    out = {}
    for name, (batch, patch, channels, classes, net) in CASES.items():
        n = batch * int(np.prod(patch))
        image = uniform('image', n * channels).astype(np.float32).astype(np.float64).reshape((batch,) + patch + (channels,))
        x = torch.from_numpy(image).permute(0, 4, 1, 2, 3)
        y = torch.from_numpy((mixed('labels', n) % classes).astype(np.int64).reshape((batch,) + patch))
        P = Params()
        heads = net(P, x)
        loss = sum(w * head_loss(h, y, classes) for w, h in zip(HEAD_WEIGHTS, heads))
        loss.backward()
        entry = {'loss': float(loss.detach()), 'logits': []}
        for h in heads:
            v = h.detach().permute(0, 2, 3, 4, 1).reshape(-1).numpy()
            entry['logits'].append({'n': len(v), 'largest': float('%.7g' % abs(v).max()),
                                    'samples': [float('%.7g' % v[k * 7919 % len(v)]) for k in range(40)]})
        entry['gradients'] = {k: summary(p.grad, 8) for k, p in P.items()}
        for kind, make in OPTIMISERS.items():
            rate = RATES.get(name, OTHER_RATES)[kind]
            entry[kind] = {'rate': rate, **train(net, x, y, classes, make, rate)}
            print(name, kind, entry[kind]['losses'], flush=True)
        out[name] = entry
        print(name, entry['loss'], len(P), sum(p.numel() for p in P.values()), flush=True)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'networks.json'), 'w') as f:
        json.dump(out, f, separators=(',', ':'))
        f.write('\n')


if __name__ == '__main__':
    main()
