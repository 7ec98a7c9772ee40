#!/usr/bin/env python3
"""What PyTorch and dynamic_network_architectures make of small networks of nnU-Net's, in float64.

usage: nets.py     (needs torch, dynamic-network-architectures, safetensors, numpy)

Writes, beside itself, for PlainConvUNet and ResidualEncoderUNet, 3D (anisotropic) and 2D:
  nets_NAME.safetensors  the logits of every head (N, z, y, x, classes), the gradient of every parameter, every parameter
                         after ten steps of SGD, the loss of every step; receptive fields
  nets_residual_3d.pth, nets_residual_2d.pth  a checkpoint as nnU-Net's trainer writes it, before the first step
Parameters, image and labels are numbers of a formula that tests/nn/parity.c has too.
"""
import os
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from safetensors.torch import save_file
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
CHANNELS, CLASSES, BATCH, STEPS = 2, 3, 2, 10
RATE, MOMENTUM, DECAY, CLIP, HEADS = 0.01, 0.99, 3e-5, 12.0, (2 / 3, 1 / 3)
NETS = {
    "plain_3d": dict(cls=PlainConvUNet, features=[4, 6, 8], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                     strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]], encoder=[2, 1, 2], decoder=[1, 2], patch=[4, 12, 16]),
    # the third stage has a stride, but no more channels than the second: its way past is a pool alone
    "residual_3d": dict(cls=ResidualEncoderUNet, features=[4, 6, 6], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                        strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]], encoder=[1, 2, 1], decoder=[1, 1],
                        patch=[4, 12, 16]),
    "plain_2d": dict(cls=PlainConvUNet, features=[4, 8, 12], kernels=[[3, 3]] * 3, strides=[[1, 1], [2, 2], [2, 1]],
                     encoder=[2, 2, 1], decoder=[2, 1], patch=[16, 24]),
    # its stem has other channels than the first stage: a way past without a pool
    "residual_2d": dict(cls=ResidualEncoderUNet, features=[5, 8, 12], kernels=[[3, 3], [5, 3], [3, 3]],
                        strides=[[1, 1], [2, 2], [1, 2]], encoder=[2, 1, 2], decoder=[1, 2], patch=[16, 24], stem=6),
}


def numbers(ordinal, n):
    """n numbers in [-1, 1) of tensor `ordinal`: a linear congruential generator (Numerical Recipes')."""
    state, out = (12345 + 7919 * ordinal) % 2**32, np.empty(n)
    for i in range(n):
        state = (1664525 * state + 1013904223) % 2**32
        out[i] = (state >> 8) / 2**23 - 1
    return out


def initial(name, ordinal, shape):
    u = numbers(ordinal, int(np.prod(shape)))
    if name.endswith("bias"):
        values = 0.1 * u
    elif len(shape) == 1:
        values = 1 + 0.3 * u
    else:
        values = u * np.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32).reshape(shape).astype(np.float64))


def batch(patch):
    """Image (N, C, ...) and labels (N, ...), of slices with their axis z left out."""
    d, h, w = ([1] + patch)[-3:]
    n, z, y, x = np.meshgrid(np.arange(BATCH), np.arange(d), np.arange(h), np.arange(w), indexing="ij")
    labels = (n + z // 2 + y // 4 + x // 5) % CLASSES
    image = numbers(1000, BATCH * d * h * w * CHANNELS).reshape(BATCH, d, h, w, CHANNELS)
    image[..., 0] += 0.5 * labels
    image = torch.from_numpy(image.astype(np.float32).astype(np.float64)).permute(0, 4, 1, 2, 3)
    labels = torch.from_numpy(labels)
    return (image[:, :, 0], labels[:, 0]) if len(patch) == 2 else (image, labels)


def build(net, norm=True):
    two = len(net["patch"]) == 2
    kind = {"stem_channels": net["stem"]} if "stem" in net else {}
    return net["cls"](CHANNELS, 3, net["features"], nn.Conv2d if two else nn.Conv3d, net["kernels"], net["strides"],
                      net["encoder"], CLASSES, net["decoder"], True,
                      (nn.InstanceNorm2d if two else nn.InstanceNorm3d) if norm else None,
                      {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True}, True, **kind).double()


def head_loss(logits, labels):
    labels = F.interpolate(labels[:, None].double(), logits.shape[2:], mode="nearest-exact")[:, 0].long()
    p = logits.softmax(1)
    g = F.one_hot(labels, CLASSES).movedim(-1, 1).double()
    axes = tuple(range(2, logits.dim()))
    dice = (2 * (p * g).sum(axes) + 1e-5) / (p.sum(axes) + g.sum(axes) + 1e-5).clip(1e-8)
    return F.cross_entropy(logits, labels) - dice[:, 1:].mean()


def fields(net):
    """Receptive field (voxels along z, y, x) of the last convolution of every stage and of the finest head: the extent of
    the image voxels an output can depend on, largest over the outputs, measured without norms on a large image."""
    size = [96, 96] if len(net["patch"]) == 2 else [56] * 3
    model = build(net, norm=False)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.fill_(0.0 if name.endswith("bias") else 1.0 / p[0].numel())
    got = {}
    stages = [(f"encoder.stages.{s}", m) for s, m in enumerate(model.encoder.stages)]
    stages += [(f"decoder.stages.{u}", m) for u, m in enumerate(model.decoder.stages)]
    for name, module in stages + [(f"decoder.seg_layers.{len(net['decoder']) - 1}", model.decoder.seg_layers[-1])]:
        module.register_forward_hook(lambda _m, _i, out, name=name: got.__setitem__(name, out))
    image = torch.ones(1, CHANNELS, *size, dtype=torch.float64, requires_grad=True)
    model(image)
    out = {}
    for name, y in got.items():
        extent = [0] * 3
        scale = [a // b for a, b in zip(size, y.shape[2:])]
        phases = [range(max(4 // s, 1)) for s in scale]  # the strides' products are at most four
        middle = [a // 2 // s for a, s in zip(size, scale)]
        for shift in range(max(len(p) for p in phases)):
            at = tuple(m + shift % len(p) for m, p in zip(middle, phases))
            (grad,) = torch.autograd.grad(y[(0, 0) + at], image, retain_graph=True)
            hit = grad[0, 0].abs() > 0
            for a in range(len(size)):
                other = [b for b in range(len(size)) if b != a]
                where = hit.amax(dim=other).nonzero()
                extent[3 - len(size) + a] = max(extent[3 - len(size) + a], int(where.max() - where.min()) + 1)
        out[name] = [max(e, 1) for e in extent]
    return out


def checkpoint(name, net):
    two = len(net["patch"]) == 2
    nd = 2 if two else 3
    kwargs = {"n_stages": 3, "features_per_stage": net["features"], "conv_op": f"torch.nn.modules.conv.Conv{nd}d",
              "kernel_sizes": net["kernels"], "strides": net["strides"], "n_blocks_per_stage": net["encoder"],
              "n_conv_per_stage_decoder": net["decoder"], "conv_bias": True,
              "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{nd}d",
              "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
              "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}}
    if "stem" in net:
        kwargs["stem_channels"] = net["stem"]
    configuration = {
        "batch_size": 2, "preprocessor_name": "DefaultPreprocessor", "patch_size": net["patch"],
        "spacing": [0.75, 0.5] if two else [3.0, 0.75, 0.5], "normalization_schemes": ["ZScoreNormalization"] * 2,
        "use_mask_for_norm": [False, False], "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "batch_dice": two,
        "architecture": {"network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
                         "arch_kwargs": kwargs, "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}}
    # The slices lie across x, as of a scan whose longest spacing is there.
    plans = {"dataset_name": "Dataset778_Nets", "plans_name": "nnUNetResEncUNetMPlans",
             "original_median_spacing_after_transp": [3.0, 0.75, 0.5], "image_reader_writer": "SimpleITKIO",
             "transpose_forward": [2, 0, 1] if two else [0, 1, 2],
             "transpose_backward": [1, 2, 0] if two else [0, 1, 2], "label_manager": "LabelManager",
             "configurations": {"2d" if two else "3d_fullres": configuration}}
    dataset = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "organ": 1, "tumour": 2},
               "numTraining": 4, "file_ending": ".nii.gz"}
    model = build(net)
    fill(model)
    state = OrderedDict((k, v) for k, v in model.float().state_dict().items())
    torch.save({"network_weights": state, "current_epoch": 1, "trainer_name": "nnUNetTrainer",
                "init_args": {"plans": plans, "configuration": "2d" if two else "3d_fullres", "fold": 0,
                              "dataset_json": dataset, "device": torch.device("cpu")},
                "inference_allowed_mirroring_axes": (0, 1) if two else (0, 1, 2)},
               os.path.join(here, f"nets_{name}.pth"))


def fill(model):
    with torch.no_grad():
        for i, (k, p) in enumerate(model.named_parameters()):
            p.copy_(initial(k, i, tuple(p.shape)))


def main():
    torch.set_num_threads(1)
    for name, net in NETS.items():
        model = build(net)
        fill(model)
        image, labels = batch(net["patch"])
        optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
        tensors, losses = {}, []
        for step in range(STEPS):
            optimiser.zero_grad()
            out = model(image)
            loss = sum(w * head_loss(z, labels) for w, z in zip(HEADS, out))
            loss.backward()
            if step == 0:
                for h, z in enumerate(out):
                    tensors[f"logits.{h}"] = z.detach().movedim(1, -1).float().contiguous()
                for k, p in model.named_parameters():
                    tensors["grad." + k] = p.grad.float()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            losses.append(loss.item())
        for k, p in model.named_parameters():
            tensors["final." + k] = p.detach().float()
        tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
        for k, extent in fields(net).items():
            tensors["field." + k] = torch.tensor(extent, dtype=torch.int64)
            print(name, k, extent)
        path = os.path.join(here, f"nets_{name}.safetensors")
        save_file(tensors, path, {"made_by": "nets.py, PyTorch " + torch.__version__})
        print(name, sum(p.numel() for p in model.parameters()), "parameters", os.path.getsize(path), "bytes", losses)
        if net["cls"] is ResidualEncoderUNet:
            checkpoint(name, net)


main()
