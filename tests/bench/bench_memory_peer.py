#!/usr/bin/python3
"""Memory of PyTorch's training step on the networks of conv-floor.c, float32: the largest resident set during steps
less the resident set before the network was built, with nnU-Net's own PlainConvUNet where that is installed.

Every network and layout has a process of its own; the smaller of the two layouts counts. Exits with 77 without PyTorch.
"""
import json
import os
import subprocess
import sys

from torch_unet import CASES, CLASSES, LAYOUTS, UNet, batch_of, nn, torch, training_step

try:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
except ImportError:
    PlainConvUNet = None

STEPS = 3


def resident(name):
    """VmRSS or VmHWM (the largest so far), bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def forget_largest():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def make_net(features):
    if PlainConvUNet is None:
        return UNet(features)
    n = len(features)
    return PlainConvUNet(1, n, features, nn.Conv3d, [3] * n, [1] + [2] * (n - 1), [2] * n, CLASSES, [2] * (n - 1),
                         conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
                         nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True)


def measure(case, layout):
    _, features, batch, dhw = case
    torch.manual_seed(1)
    nn.Conv3d(1, 16, 3)(torch.zeros(1, 1, 8, 8, 8)).sum().backward()  # what any use of the library takes
    forget_largest()
    before = resident("VmRSS")
    net = make_net(features).to(memory_format=layout)
    x, targets = batch_of(batch, dhw, len(features) - 1, layout)
    step = training_step(net, x, targets)
    for _ in range(STEPS):
        step()
    return resident("VmHWM") - before


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if len(sys.argv) == 3:
        print(measure(CASES[int(sys.argv[1])], LAYOUTS[int(sys.argv[2])][0]))
        return
    for i, case in enumerate(CASES):
        tried = [(int(subprocess.run([sys.executable, __file__, str(i), str(k)], stdout=subprocess.PIPE,
                                     text=True, check=True).stdout), layout[1]) for k, layout in enumerate(LAYOUTS)]
        taken, name = min(tried)
        net = "own U-Net" if PlainConvUNet is None else "PlainConvUNet"
        for ours in ("", ", every stage recomputed"):  # the peer's is one number for both
            print(json.dumps({"bench": "memory", "case": f"{case[0]}, training step, f32{ours}",
                              "peer": f"PyTorch {torch.__version__} {net}, {name}", "peer_value": taken}), flush=True)


if __name__ == "__main__":
    main()
