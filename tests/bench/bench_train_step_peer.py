#!/usr/bin/python3
"""PyTorch's training step on the networks of conv-floor.c: same features, patch, batch, losses and optimiser.

Tries float32 and, where the processor computes in it, bfloat16 autocast, each in the default layout and in
channels_last_3d, and prints the best; the name of the peer says which it was. Best of 10 steps
after two; where a step takes over 5 s (30 s), of the first 3 (2). Exits with 77 without PyTorch.
"""
import json
import os
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    print("bench_train_step_peer.py: PyTorch is not installed (give an interpreter that has it in PYTHON)",
          file=sys.stderr)
    sys.exit(77)

CLASSES = 3
# name as in conv-floor.c, features, batch, patch
CASES = (
    ("U-Net 32-256, 2x40x56x40", (32, 64, 128, 256), 2, (40, 56, 40)),
    ("U-Net 32-320 of 6 stages, 1x96x96x96", (32, 64, 128, 256, 320, 320), 1, (96, 96, 96)),
)


class Block(nn.Sequential):
    """Convolution (without the bias that the norm takes away), instance norm, leaky ReLU."""

    def __init__(self, n_in, n_out, stride):
        super().__init__(nn.Conv3d(n_in, n_out, 3, stride, 1, bias=False),
                         nn.InstanceNorm3d(n_out, affine=True), nn.LeakyReLU(0.01, inplace=True))


class UNet(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder = nn.ModuleList()
        n_in = 1
        for stage, n in enumerate(features):
            self.encoder.append(nn.Sequential(Block(n_in, n, 1 if stage == 0 else 2), Block(n, n, 1)))
            n_in = n
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for n, below in zip(features[-2::-1], features[:0:-1]):
            self.up.append(nn.ConvTranspose3d(below, n, 2, 2))
            self.decoder.append(nn.Sequential(Block(2 * n, n, 1), Block(n, n, 1)))
            self.heads.append(nn.Conv3d(n, CLASSES, 1))

    def forward(self, x):
        skips, heads = [], []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for i, (up, decoder, head) in enumerate(zip(self.up, self.decoder, self.heads)):
            x = decoder(torch.cat((up(x), skips[-2 - i]), 1))
            heads.append(head(x))
        return heads[::-1]


def dice_ce(logits, labels):
    logits = logits.float()
    p = torch.softmax(logits, 1)
    truth = torch.zeros_like(p).scatter_(1, labels, 1)
    axes = (0, 2, 3, 4)
    both, total = (p * truth).sum(axes), p.sum(axes) + truth.sum(axes)
    dice = ((2 * both + 1e-5) / (total + 1e-5).clip(1e-8))[1:].mean()
    return nn.functional.cross_entropy(logits, labels[:, 0]) - dice


def best_seconds(step):
    seconds = []
    n_warm, n_runs = 2, 10
    while len(seconds) < n_warm + n_runs:
        before = time.monotonic()
        step()
        seconds.append(time.monotonic() - before)
        if len(seconds) == 1 and seconds[0] > 5:
            n_warm, n_runs = 0, 2 if seconds[0] > 30 else 3
    return min(seconds[n_warm:]), n_runs


def measure(case, bf16, layout):
    _, features, batch, dhw = case
    torch.manual_seed(1)
    net = UNet(features).to(memory_format=layout)
    x = torch.randn(batch, 1, *dhw).to(memory_format=layout)
    targets = [torch.randint(0, CLASSES, (batch, 1, *(d // 2**i for d in dhw))) for i in range(len(features) - 1)]
    optimiser = torch.optim.SGD(net.parameters(), 0.001, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step():
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            heads = net(x)
        loss = sum(0.5**i * dice_ce(h, t) for i, (h, t) in enumerate(zip(heads, targets)))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 12)
        optimiser.step()

    return best_seconds(step)


def has_bf16():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for case in CASES:
        tried = []
        for bf16 in (False, True) if has_bf16() else (False,):
            for layout, name in ((torch.contiguous_format, "default layout"),
                                 (torch.channels_last_3d, "channels_last_3d")):
                tried.append((*measure(case, bf16, layout), f"{'bf16 autocast' if bf16 else 'f32'}, {name}"))
        seconds, n_runs, name = min(tried)
        print(json.dumps({"bench": "train-step", "case": f"{case[0]}, training step, best precision",
                          "peer": f"PyTorch {torch.__version__} {name}, best of {n_runs}",
                          "peer_value": round(seconds, 5)}), flush=True)


main()
