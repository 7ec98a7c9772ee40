#!/usr/bin/env python3
"""Whether PyTorch takes what `tessera-cli convert` writes.

usage: torch_export.py TESSERA_CLI     (needs torch, dynamic-network-architectures)

Converts torch_checkpoint.pth to a model of ours and that to a state dict; PyTorch must load it with weights_only, into
nnU-Net's own network, strictly, with the names in their order, aliases in one storage, and give the same logits.
"""
import os
import subprocess
import sys
import tempfile

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from safetensors.torch import load_file

here = os.path.dirname(os.path.abspath(__file__))
source = os.path.join(here, "torch_checkpoint.pth")
with tempfile.TemporaryDirectory() as folder:
    model, out = os.path.join(folder, "model.safetensors"), os.path.join(folder, "out.pth")
    subprocess.run([sys.argv[1], "convert", source, model, "--quiet"], check=True)
    subprocess.run([sys.argv[1], "convert", model, out], check=True)
    state = torch.load(out, weights_only=True)
    mapped = torch.load(out, weights_only=True, mmap=True)

net = PlainConvUNet(2, 3, [4, 6, 8], torch.nn.Conv3d, [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                    [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [1, 2, 1], 3, [2, 1], True, torch.nn.InstanceNorm3d,
                    {"eps": 1e-5, "affine": True}, None, None, torch.nn.LeakyReLU, {"inplace": True},
                    deep_supervision=False)
print("load_state_dict:", net.load_state_dict(state, strict=True))
assert list(state) == list(net.state_dict()), "the names or their order"
storages = {t.untyped_storage().data_ptr() for t in state.values()}
parameters = list(net.parameters())
assert len(storages) == len(parameters), (len(storages), len(parameters))
original = torch.load(source, weights_only=False)["network_weights"]
assert all(torch.equal(state[k], original[k]) and torch.equal(mapped[k], original[k]) for k in original)
reference = load_file(os.path.join(here, "torch_logits.safetensors"))
net.eval()
with torch.no_grad():
    difference = (net(reference["image"]) - reference["checkpoint"]).abs().max().item()
print(f"{len(state)} names, {len(parameters)} tensors, {sum(p.numel() for p in parameters)} parameters; "
      f"logits differ by {difference:g}")
assert difference < 1e-5
