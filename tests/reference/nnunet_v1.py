#!/usr/bin/env python3
"""Two checkpoints as nnU-Net v1's own trainer writes them, and the logits of its networks.

Writes, beside itself:
  nnunet_v1_3d.model, nnunet_v1_3d.model.pkl  nnUNetTrainerV2, kernels of one voxel along z at full resolution, CT and MR
  nnunet_v1_2d.model, nnunet_v1_2d.model.pkl  slices across x (transpose_forward 2, 0, 1), conv_per_stage 3
  nnunet_v1_ddp.model.pkl  the 3D one's as the trainer for several GPUs writes it, second of two stages
  nnunet_v1.safetensors  an image (N, C, z, y, x) and each network's logits for it on the same axes

Weights and plans are made up; classes, names, pickles are nnU-Net's.

Run: python3 nnunet_v1.py   (nnunet 1.7.1, PyTorch, safetensors)
"""
import os
import pickle
import tempfile
from collections import OrderedDict

os.environ.setdefault('nnUNet_raw_data_base', tempfile.gettempdir())
os.environ.setdefault('nnUNet_preprocessed', tempfile.gettempdir())
os.environ.setdefault('RESULTS_FOLDER', tempfile.gettempdir())

import numpy as np
import torch
from nnunet.training.network_training.nnUNetTrainerV2 import nnUNetTrainerV2
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
IMAGE = [4, 16, 24]


def plans(stage, transpose, conv_per_stage, base):
    intensities = OrderedDict((c, OrderedDict([
        ('local_props', OrderedDict(case=OrderedDict(mean=np.float32(40.0)))), ('median', np.float32(40.0)),
        ('mean', np.float32(41.5 + c)), ('sd', np.float32(77.125)), ('mn', np.float32(-200.0)), ('mx', np.float32(900.0)),
        ('percentile_99_5', np.float64(310.5)), ('percentile_00_5', np.float64(-60.25))])) for c in range(2))
    properties = {'all_sizes': [(40, 60, 50)], 'all_spacings': [np.array([2.5, 0.75, 1.25])], 'all_classes': [1, 2],
                  'modalities': {0: 'CT', 1: 'MR'}, 'intensityproperties': intensities, 'size_reductions': OrderedDict()}
    return {'num_stages': 1, 'num_modalities': 2, 'modalities': {0: 'CT', 1: 'MR'},
            'normalization_schemes': OrderedDict([(0, 'CT'), (1, 'nonCT')]), 'dataset_properties': properties,
            'list_of_npz_files': ['/nowhere/case.npz'], 'original_spacings': [np.array([2.5, 0.75, 1.25])],
            'original_sizes': [(40, 60, 50)], 'preprocessed_data_folder': '/nowhere/Task777_Made', 'num_classes': 2,
            'all_classes': [1, 2], 'base_num_features': base, 'use_mask_for_norm': OrderedDict([(0, False), (1, False)]),
            'keep_only_largest_region': None, 'min_region_size_per_class': None, 'min_size_per_class': None,
            'transpose_forward': transpose, 'transpose_backward': [int(i) for i in np.argsort(transpose)],
            'data_identifier': 'nnUNetData_plans_v2.1', 'plans_per_stage': {0: stage},
            'preprocessor_name': 'GenericPreprocessor', 'conv_per_stage': conv_per_stage}


def stage(patch, spacing, pools, kernels):
    pools = [list(p) for p in pools]
    return {'batch_size': 3, 'num_pool_per_axis': [sum(p[a] == 2 for p in pools) for a in range(len(pools[0]))],
            'patch_size': np.array(patch), 'median_patient_size_in_voxels': np.array([40, 60, 50]),
            'current_spacing': np.array(spacing), 'original_spacing': np.array(spacing), 'do_dummy_2D_data_aug': False,
            'pool_op_kernel_sizes': pools, 'conv_kernel_sizes': [list(k) for k in kernels]}


def make(name, image, made):
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the paths stand in the pickle
        with open('plans.pkl', 'wb') as f:
            pickle.dump(made, f)
        trainer = nnUNetTrainerV2('plans.pkl', 0, 'out', 'data', batch_dice=True, stage=0, unpack_data=True,
                                  deterministic=True, fp16=True)
        trainer.initialize(False)
        for parameter in trainer.network.parameters():
            torch.nn.init.normal_(parameter, 0.3, 0.4)
        trainer.epoch = 1
        trainer.all_tr_losses = [0.5, np.float32(0.25)]
        trainer.all_val_eval_metrics = [np.float64(0.5)]
        trainer.save_checkpoint(os.path.join(here, name + '.model'))
        os.chdir(here)
    network = trainer.network
    network.eval()
    network.do_ds = False
    forward = made['transpose_forward']
    x = image.permute(0, 1, *(2 + a for a in forward)).contiguous()
    with torch.no_grad():
        if len(made['plans_per_stage'][0]['patch_size']) == 2:
            y = torch.stack([network(x[:, :, i]) for i in range(x.shape[2])], 2)
        else:
            y = network(x)
    return y.permute(0, 1, *(2 + int(a) for a in made['transpose_backward'])).contiguous()


def several_gpus():
    """nnUNetTrainerV2_DDP has the process's rank as its third argument."""
    with open(os.path.join(here, 'nnunet_v1_3d.model.pkl'), 'rb') as f:
        info = pickle.load(f)
    init = list(info['init'])
    info['name'] = 'nnUNetTrainerV2_DDP'
    info['init'] = tuple(init[:2] + [0] + init[2:5] + [1] + init[6:8] + [False] + init[8:])
    stages = info['plans']['plans_per_stage']
    info['plans']['plans_per_stage'] = {0: dict(stages[0], patch_size=np.array([2, 8, 8])), 1: stages[0]}
    with open(os.path.join(here, 'nnunet_v1_ddp.model.pkl'), 'wb') as f:
        pickle.dump(info, f)


def main():
    torch.manual_seed(71)
    image = torch.randn(1, 2, *IMAGE)
    flat = torch.randn(1, 2, 16, 24, 1)
    out = {'image_3d': image, 'image_2d': flat}
    out['3d'] = make('nnunet_v1_3d', image,
                     plans(stage(IMAGE, [2.5, 0.75, 1.25], [[1, 2, 2], [2, 2, 2]], [[1, 3, 3], [3, 3, 3], [3, 3, 3]]),
                           [0, 1, 2], 2, 3))
    out['2d'] = make('nnunet_v1_2d', flat,
                     plans(stage([16, 24], [1.25, 2.5, 0.75], [[2, 2], [1, 2]], [[3, 3], [3, 3], [1, 3]]), [2, 0, 1], 3, 4))
    several_gpus()
    save_file(out, os.path.join(here, 'nnunet_v1.safetensors'))
    for k, v in out.items():
        print(k, tuple(v.shape), float(v.abs().max()))


if __name__ == '__main__':
    main()
