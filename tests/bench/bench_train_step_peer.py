#!/usr/bin/python3
"""PyTorch's training step on the networks of conv-floor.c: same features, patch, batch, losses and optimiser.

Tries float32 and, where the processor computes in it, bfloat16 autocast, each in the default layout and in
channels_last_3d, and prints the best; the name of the peer says which it was. Best of 10 steps
after two; where a step takes over 5 s (30 s), of the first 3 (2). Exits with 77 without PyTorch.
"""
import json
import os
import time

from torch_unet import CASES, LAYOUTS, UNet, batch_of, torch, training_step


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
    x, targets = batch_of(batch, dhw, len(features) - 1, layout)
    return best_seconds(training_step(net, x, targets, bf16))


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
            for layout, name in LAYOUTS:
                tried.append((*measure(case, bf16, layout), f"{'bf16 autocast' if bf16 else 'f32'}, {name}"))
        seconds, n_runs, name = min(tried)
        print(json.dumps({"bench": "train-step", "case": f"{case[0]}, training step, best precision",
                          "peer": f"PyTorch {torch.__version__} {name}, best of {n_runs}",
                          "peer_value": round(seconds, 5)}), flush=True)


if __name__ == "__main__":
    main()
