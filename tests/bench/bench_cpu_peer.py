#!/usr/bin/python3
"""PyTorch on the U-Net of bench-cpu.c: same features, patch, batch, losses and optimiser, two layouts tried.

Prints for each case the faster of PyTorch's default layout and channels_last_3d. Exits with 77 without PyTorch.
"""
import json
import os
import sys
import time

from torch_unet import LAYOUTS, UNet, batch_of, torch, training_step

FEATURES = (16, 32, 64, 128)
DHW = (40, 56, 40)
BATCH = 2


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
    net = UNet(FEATURES).to(memory_format=layout)
    x, targets = batch_of(BATCH, DHW, len(FEATURES) - 1, layout)

    def infer():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            net(x, False)

    return median_seconds(training_step(net, x, targets, bf16) if train else infer, n)


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for bf16 in (False, True):
        for train in (True, False):
            seconds = min((measure(train, bf16, layout, n), name) for layout, name in LAYOUTS)
            what, precision = "train step" if train else "inference", "bf16" if bf16 else "f32"
            print(json.dumps({"bench": "cpu", "case": f"U-Net 16-128, 2x40x56x40, {what}, {precision}",
                              "peer": f"PyTorch {torch.__version__} {seconds[1]}",
                              "peer_value": round(seconds[0], 5)}), flush=True)


if __name__ == "__main__":
    main()
