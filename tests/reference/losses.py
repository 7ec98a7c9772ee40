#!/usr/bin/python3
"""Writes losses.json: losses and gradients as nnU-Net v2's own classes and PyTorch compute them, and ten steps of
torch.optim.Adam and AdamW.

Losses of nnU-Net: DC_and_CE_loss and DC_and_BCE_loss over MemoryEfficientSoftDiceLoss, wrapped in
DeepSupervisionWrapper, in float64. The others are written out in PyTorch: the average Dice (smooth 1, one sigmoid a
label), Tversky, focal. Gradients are autograd's.

Run: PYTHONPATH=DIR python3 losses.py   (DIR holds nnunetv2 2.8.1; PyTorch 2.15)
"""
import json
import os

import torch
import torch.nn.functional as F
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

BATCH, DHW = 2, (3, 3, 5)
NESTED = [[1, 2, 3], [2, 3], [3]]  # as BraTS has it


def numbers(t):
    return [float('%.9g' % x) for x in t.flatten().tolist()]


def to_regions(labels, regions, ignore):
    maps = [torch.isin(labels[:, 0], torch.tensor(r)) for r in regions]
    if ignore:
        maps.append(labels[:, 0] == ignore)
    return torch.stack(maps, 1)


def nnunet(batch_dice, background, ignore, regions):
    kw = {'batch_dice': batch_dice, 'smooth': 1e-5, 'do_bg': background, 'ddp': False}
    if regions:
        loss = DC_and_BCE_loss({}, kw, use_ignore_label=bool(ignore), dice_class=MemoryEfficientSoftDiceLoss)
        return lambda z, y: loss(z, to_regions(y, regions, ignore))
    loss = DC_and_CE_loss(kw, {}, ignore_label=ignore or None, dice_class=MemoryEfficientSoftDiceLoss)
    return loss


def overlap(p, g, mask, batch_dice, smooth, alpha, beta):
    axes = (0, 2, 3, 4) if batch_dice else (2, 3, 4)
    tp, fp, fn = [(x * mask).sum(axes) for x in (p * g, p * (1 - g), (1 - p) * g)]
    return -((tp + smooth / 2) / (tp + alpha * fp + beta * fn + smooth / 2)).mean()


def plain(kind, batch_dice, smooth, alpha, beta, gamma, ignore, regions):
    def loss(z, y):
        mask = (y != ignore).double() if ignore else torch.ones_like(y).double()
        safe = torch.where(y == ignore, 0, y) if ignore else y
        if regions:
            p, g = z.sigmoid(), to_regions(safe, regions, 0).double()
        else:
            p, g = z.softmax(1), F.one_hot(safe[:, 0].long(), z.shape[1]).permute(0, 4, 1, 2, 3).double()
        if kind == 'dice':  # written as the method has it, with both halves doubled
            axes = (0, 2, 3, 4) if batch_dice else (2, 3, 4)
            if not regions:
                p, g = p[:, 1:], g[:, 1:]
            return -((2 * (p * g * mask).sum(axes) + smooth) /
                     ((g * mask).sum(axes) + (p * mask).sum(axes) + smooth)).mean()
        if kind == 'tversky':
            if not regions:
                p, g = p[:, 1:], g[:, 1:]
            return overlap(p, g, mask, batch_dice, smooth, alpha, beta)
        if regions:
            ce = F.binary_cross_entropy_with_logits(z, g, reduction='none')
            pt = torch.where(g > 0, p, 1 - p)
            n = mask.sum() * (1 if ignore else len(regions))
        else:
            ce = F.cross_entropy(z, safe[:, 0].long(), reduction='none')[:, None]
            pt = (p * g).sum(1, keepdim=True)
            n = mask.sum()
        return ((1 - pt) ** gamma * ce * mask).sum() / n
    return loss


def case(name, kind='dice-ce', n=4, batch_dice=False, background=False, ignore=0, regions=None, smooth=1e-5, alpha=0.5,
         beta=0.5, gamma=0.0, dhw=DHW, weights=(1.0,), n_labels=4, empty=False):
    labels = torch.randint(0, n_labels + (1 if ignore else 0), (BATCH, 1) + dhw)
    if empty:  # nothing counts in the whole batch
        labels[:] = ignore
    heads, targets, logits = [], [], []
    for i in range(len(weights)):
        size = tuple(max(d >> i, 1) for d in dhw)
        z = torch.randint(-800, 800, (BATCH, n) + size)
        targets.append(F.interpolate(labels.double(), size, mode='nearest-exact').long())
        heads.append({'dhw': size, 'logits': z.permute(0, 2, 3, 4, 1).flatten().tolist()})  # times 256, N D H W C
        logits.append((z.double() / 256).requires_grad_())
    loss = (nnunet(batch_dice, background, ignore, regions) if kind == 'dice-ce' else
            plain(kind, batch_dice, smooth, alpha, beta, gamma, ignore, regions))
    total = DeepSupervisionWrapper(loss, weights)(logits, targets)
    total.backward()
    for h, z in zip(heads, logits):
        h['gradient'] = numbers(z.grad.permute(0, 2, 3, 4, 1)) if z.grad is not None else []
    return {'name': name, 'kind': kind, 'n': n, 'batch_dice': batch_dice, 'background': background, 'ignore': ignore,
            'regions': regions or [], 'smooth': smooth, 'alpha': alpha, 'beta': beta, 'gamma': gamma,
            'dhw': dhw, 'weights': weights, 'labels': labels.flatten().tolist(), 'heads': heads,
            'loss': total.item()}


def adam(decoupled, decay):
    torch.manual_seed(7)
    p = torch.randn(21).float().requires_grad_()
    start = numbers(p)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimiser = kind([p], lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay)
    gradients = []
    for step in range(10):
        p.grad = torch.randn(21) * 10.0 ** (step % 3 - 1)
        gradients.append(numbers(p.grad))
        optimiser.step()
    s = optimiser.state[p]
    return {'decoupled': decoupled, 'decay': decay, 'start': start, 'gradients': gradients, 'end': numbers(p),
            'mean': numbers(s['exp_avg']), 'variance': numbers(s['exp_avg_sq'])}


def main():
    torch.manual_seed(5)
    deep = {'dhw': (4, 4, 4), 'weights': (2 / 3, 1 / 3, 0.0)}
    cases = [
        case('dice-ce-sample'),
        case('dice-ce-batch', batch_dice=True),
        case('dice-ce-background', background=True),
        case('dice-ce-ignore', ignore=4, batch_dice=True),
        case('dice-ce-nothing-counts', ignore=4, empty=True),
        case('dice-ce-deep-ignore', n=3, n_labels=3, ignore=3, **deep),
        case('regions-sample', n=3, regions=NESTED, background=True),
        case('regions-batch', n=3, regions=NESTED, background=True, batch_dice=True),
        case('regions-ignore', n=3, regions=NESTED, background=True, ignore=4),
        case('regions-deep', n=3, regions=NESTED, background=True, batch_dice=True, **deep),
        case('average-dice', 'dice', n=3, regions=[[1], [2], [3]], smooth=1.0, batch_dice=True),
        case('dice-softmax', 'dice', ignore=4),
        case('tversky', 'tversky', alpha=0.3, beta=0.7),
        case('tversky-regions', 'tversky', n=3, regions=NESTED, alpha=0.8, beta=0.4, smooth=1.0, ignore=4),
        case('focal', 'focal', gamma=2.0),
        case('focal-ignore', 'focal', gamma=0.75, ignore=4),
        case('focal-regions', 'focal', n=3, regions=NESTED, gamma=2.0),
    ]
    out = {'cases': cases, 'adam': [adam(False, 0.02), adam(True, 0.02)], 'torch': torch.__version__}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'losses.json')
    with open(path, 'w') as f:
        json.dump(out, f, separators=(',', ':'))
    print(os.path.getsize(path), 'bytes')


main()
