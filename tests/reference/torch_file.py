#!/usr/bin/env python3
"""Files that torch.save writes, what torch.load has of them, and the logits of two small networks of nnU-Net's.

usage: torch_file.py MODELS_FOLDER     (the folder models/ of the test data; needs torch, dynamic-network-architectures)

Writes, beside itself:
  torch_kinds.pth       a state dict of all element types and of tensors that do not lie in C order, behind two wrappers
  torch_deflated.pth    the same, its members deflated
  torch_big.pth         the same, its storages big-endian
  torch_legacy.pth      the form of before PyTorch 1.6
  torch_checkpoint.pth  a checkpoint as nnU-Net v2's trainer writes it: PlainConvUNet, random weights, two steps of SGD
  torch_transposed.pth  the same of a dataset whose axes nnU-Net turns (transpose_forward 2, 0, 1)
  torch_file.json       of these and of MODELS_FOLDER's: name, shape, type and SHA-256 (as float32, C order) of every tensor
  torch_logits.safetensors  an image (N, C, z, y, x) and the two networks' logits for it on the same axes
"""
import hashlib
import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
models = sys.argv[1]
torch.manual_seed(20)
PATCH = [8, 16, 24]


def at(name):
    return os.path.join(here, name)


def kinds():
    base = torch.randn(4, 6, 5)
    flat = torch.arange(40, dtype=torch.float32) / 7
    state = OrderedDict()
    state["f32"] = torch.randn(3, 4)
    state["f64"] = torch.randn(2, 3, dtype=torch.float64)
    state["f16"] = torch.randn(7).half()
    state["bf16"] = torch.randn(2, 5).bfloat16()
    state["i64"] = torch.tensor([1, -5, 1 << 40])
    state["i32"] = torch.tensor([[7, -8]], dtype=torch.int32)
    state["i16"] = torch.tensor([-300, 300], dtype=torch.int16)
    state["i8"] = torch.tensor([-128, 127], dtype=torch.int8)
    state["u8"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 3)
    state["permuted"] = base.permute(2, 0, 1)
    state["every second"] = base[::2, 1:5:3, 1:]
    state["first of one storage"] = flat[:10]
    state["second of one storage"] = flat[10:22].view(3, 4)
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
    state["channels last"] = torch.randn(1, 3, 4, 2).to(memory_format=torch.channels_last)
    return OrderedDict(("module._orig_mod." + k, v) for k, v in state.items())


def storages_swapped(source):
    """Key of every storage -> its bytes with the elements' bytes reversed."""
    sizes = {"FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
             "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1}
    found = {}

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid):
            found[pid[2]] = sizes[pid[1].__name__]
            return torch.storage.TypedStorage(dtype=pid[1].dtype)

        def find_class(self, module, name):
            if name.startswith("_rebuild"):
                return lambda *args: None
            return super().find_class(module, name)

    with zipfile.ZipFile(source) as archive:
        prefix = archive.namelist()[0].split("/")[0]
        Reader(archive.open(prefix + "/data.pkl")).load()
        return {k: np.frombuffer(archive.read(prefix + "/data/" + k), np.uint8).reshape(-1, n)[:, ::-1].tobytes()
                for k, n in found.items()}


def plans(transpose):
    kernels = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
    strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
    spacing = [2.5, 0.75, 1.25]
    intensities = {"max": 900.0, "mean": 41.5, "median": 40.0, "min": -200.0, "percentile_00_5": -60.25,
                   "percentile_99_5": 310.5, "std": 77.125}
    resample = {"resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
                "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0,
                                                       "force_separate_z": None}}
    architecture = {"network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {"n_stages": 3, "features_per_stage": [4, 6, 8],
                                    "conv_op": "torch.nn.modules.conv.Conv3d", "kernel_sizes": kernels,
                                    "strides": strides, "n_conv_per_stage": [1, 2, 1],
                                    "n_conv_per_stage_decoder": [2, 1], "conv_bias": True,
                                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                                    "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None,
                                    "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
                                    "nonlin_kwargs": {"inplace": True}},
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}
    fullres = {"data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor",
               "batch_size": 3, "patch_size": [PATCH[a] for a in transpose],
               "median_image_size_in_voxels": [40.0, 60.0, 50.0], "spacing": [spacing[a] for a in transpose],
               "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
               "use_mask_for_norm": [False, False], **resample, "architecture": architecture, "batch_dice": True}
    return {"dataset_name": "Dataset777_Made", "plans_name": "nnUNetPlans",
            "original_median_spacing_after_transp": [spacing[a] for a in transpose],
            "original_median_shape_after_transp": [40, 60, 50], "image_reader_writer": "SimpleITKIO",
            "transpose_forward": transpose, "transpose_backward": [int(a) for a in np.argsort(transpose)],
            "configurations": {"3d_fullres": fullres}, "experiment_planner_used": "ExperimentPlanner",
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": {"0": intensities, "1": dict(intensities, mean=9.0)}}


def network():
    return PlainConvUNet(2, 3, [4, 6, 8], torch.nn.Conv3d, [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                         [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [1, 2, 1], 3, [2, 1], True, torch.nn.InstanceNorm3d,
                         {"eps": 1e-5, "affine": True}, None, None, torch.nn.LeakyReLU, {"inplace": True},
                         deep_supervision=True)


def checkpoint(name, transpose, image):
    """As nnUNetTrainer.save_checkpoint; returns the logits on the image's own axes."""
    net = network()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.3, 0.4)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    x = image.permute(0, 1, *(2 + a for a in transpose)).contiguous()
    for _ in range(2):
        optimizer.zero_grad()
        net(x)[0].square().mean().backward()
        optimizer.step()
    log = {k: [np.float32(0.5), np.float32(0.625)] for k in
           ("mean_fg_dice", "train_losses", "val_losses")}
    log.update(ema_fg_dice=[0.5, np.float64(0.51)], lrs=[0.01, 0.0099],
               dice_per_class_or_region=[[np.float32(0.5), np.float32(0.25)]],
               epoch_start_timestamps=[1.7e9], epoch_end_timestamps=[1.7e9 + 60])
    dataset = {"channel_names": {"0": "CT", "1": "MR"}, "labels": {"background": 0, "organ": 1, "tumour": 2},
               "numTraining": 10, "file_ending": ".nii.gz"}
    torch.save({"network_weights": net.state_dict(), "optimizer_state": optimizer.state_dict(),
                "grad_scaler_state": None, "logging": log, "_best_ema": np.float64(0.51), "current_epoch": 2,
                "init_args": {"plans": plans(transpose), "configuration": "3d_fullres", "fold": 0,
                              "dataset_json": dataset, "device": torch.device("cpu")},
                "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1, 2)}, at(name))
    net.eval()
    net.decoder.deep_supervision = False
    with torch.no_grad():
        y = net(x)
    return y.permute(0, 1, *(2 + int(a) for a in np.argsort(transpose))).contiguous()


def describe(path, folder, state):
    tensors = []
    names = list(state)
    for wrapper in ("module.", "_orig_mod."):
        if all(n.startswith(wrapper) for n in names):
            state = OrderedDict((n[len(wrapper):], t) for n, t in state.items())
            names = list(state)
    for name, tensor in state.items():
        if ".all_modules." in name or name.startswith("decoder.encoder."):
            continue
        data = np.ascontiguousarray(tensor.detach().float().numpy())
        tensors.append({"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).split(".")[1],
                        "sha256": hashlib.sha256(data.tobytes()).hexdigest()})
    return {"folder": folder, "file": os.path.basename(path), "tensors": tensors}


image = torch.randn(1, 2, *PATCH)
logits = {"image": image, "checkpoint": checkpoint("torch_checkpoint.pth", [0, 1, 2], image),
          "transposed": checkpoint("torch_transposed.pth", [2, 0, 1], image)}
save_file(logits, at("torch_logits.safetensors"))

state = kinds()
torch.save(state, at("torch_kinds.pth"))
torch.save(OrderedDict(f32=state["module._orig_mod.f32"]), at("torch_legacy.pth"),
           _use_new_zipfile_serialization=False)
swapped = storages_swapped(at("torch_kinds.pth"))
for target, method, big in (("torch_deflated.pth", zipfile.ZIP_DEFLATED, False),
                            ("torch_big.pth", zipfile.ZIP_STORED, True)):
    with zipfile.ZipFile(at("torch_kinds.pth")) as old, zipfile.ZipFile(at(target), "w") as new:
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            data = old.read(info)
            if big and name == "byteorder":
                data = b"big"
            if big and name.startswith("data/"):
                data = swapped[name[5:]]
            new.writestr(zipfile.ZipInfo("elsewhere/" + name), data, compress_type=method)

files = [describe(name, "reference", state)
         for name in ("torch_kinds.pth", "torch_deflated.pth", "torch_big.pth")]
for name in ("torch_checkpoint.pth", "torch_transposed.pth"):
    files.append(describe(name, "reference", torch.load(at(name), weights_only=False)["network_weights"]))
for name in ("meshnet.pth", "model.pth"):
    files.append(describe(name, "models", torch.load(os.path.join(models, name), map_location="cpu",
                                                     weights_only=True)))
with open(at("torch_file.json"), "w") as f:
    json.dump(files, f, indent=0)
    f.write("\n")
