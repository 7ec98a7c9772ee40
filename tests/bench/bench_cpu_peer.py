#!/usr/bin/python3
"""PyTorch on the U-Net of bench-cpu.c: same features, patch, batch, losses and optimiser, two layouts tried.

Prints for each case the faster of PyTorch's default layout and channels_last_3d. Exits with 77 without PyTorch.
"""
import json
import os
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    print("bench_cpu_peer.py: PyTorch is not installed (package python3-torch)", file=sys.stderr)
    sys.exit(77)

FEATURES = (16, 32, 64, 128)
CLASSES = 3
DHW = (40, 56, 40)
BATCH = 2


class Block(nn.Sequential):
    """Convolution (without the bias that the norm takes away), instance norm, leaky ReLU."""

    def __init__(self, n_in, n_out, stride):
        super().__init__(nn.Conv3d(n_in, n_out, 3, stride, 1, bias=False),
                         nn.InstanceNorm3d(n_out, affine=True), nn.LeakyReLU(0.01, inplace=True))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList()
        n_in = 1
        for stage, n in enumerate(FEATURES):
            self.encoder.append(nn.Sequential(Block(n_in, n, 1 if stage == 0 else 2), Block(n, n, 1)))
            n_in = n
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for n, below in zip(FEATURES[-2::-1], FEATURES[:0:-1]):
            self.up.append(nn.ConvTranspose3d(below, n, 2, 2))
            self.decoder.append(nn.Sequential(Block(2 * n, n, 1), Block(n, n, 1)))
            self.heads.append(nn.Conv3d(n, CLASSES, 1))

    def forward(self, x, deep):
        skips, heads = [], []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for i, (up, decoder, head) in enumerate(zip(self.up, self.decoder, self.heads)):
            x = decoder(torch.cat((up(x), skips[-2 - i]), 1))
            if deep or i == len(self.up) - 1:
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


def median_seconds(run, n):
    run()
    run()
    seconds = []
    for _ in range(n):
        before = time.monotonic()
        run()
        seconds.append(time.monotonic() - before)
    return sorted(seconds)[n // 2]


def measure(train, bf16, layout, n):
    torch.manual_seed(1)
    net = UNet().to(memory_format=layout)
    x = torch.randn(BATCH, 1, *DHW).to(memory_format=layout)
    targets = [torch.randint(0, CLASSES, (BATCH, 1, *(d // 2**i for d in DHW))) for i in range(3)]
    optimiser = torch.optim.SGD(net.parameters(), 0.001, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step():
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            heads = net(x, True)
        loss = sum(0.5**i * dice_ce(h, t) for i, (h, t) in enumerate(zip(heads, targets)))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 12)
        optimiser.step()

    def infer():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            net(x, False)

    return median_seconds(step if train else infer, n)


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for bf16 in (False, True):
        for train in (True, False):
            seconds = min((measure(train, bf16, layout, n), name)
                          for layout, name in ((torch.contiguous_format, "default"),
                                               (torch.channels_last_3d, "channels_last_3d")))
            what, precision = "train step" if train else "inference", "bf16" if bf16 else "f32"
            print(json.dumps({"bench": "cpu", "case": f"U-Net 16-128, 2x40x56x40, {what}, {precision}",
                              "peer": f"PyTorch {torch.__version__} {seconds[1]}",
                              "peer_value": round(seconds[0], 5)}), flush=True)


main()
