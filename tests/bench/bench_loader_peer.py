#!/usr/bin/python3
"""batchgeneratorsv2's augmented patches a second: nnU-Net's transforms, out of a scan in memory, a process a core.

The patch that is cut is larger, as nnU-Net's is, so that rotation and scale find something in its corners. Exits with 77
without batchgeneratorsv2.
"""
import json
import math
import multiprocessing
import os
import sys
import time

try:
    import batchgeneratorsv2  # noqa: F401
    import numpy as np
    import torch
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform
except ImportError as error:
    print(f"bench_loader_peer.py: {error}", file=sys.stderr)
    sys.exit(77)

SCAN_EDGE = 256
SECONDS = 15
EDGE = int(os.environ.get("BENCH_AUGMENTED_PATCH", 128))
CUT = min(SCAN_EDGE, EDGE * 205 // 128)  # nnU-Net's for 30 degrees about each axis


def transforms():
    """nnUNetTrainer's numbers."""
    turn = (-30 / 360 * 2 * math.pi, 30 / 360 * 2 * math.pi)
    return ComposeTransforms([
        SpatialTransform((EDGE,) * 3, 0, False, p_rotation=0.2, rotation=turn, p_scaling=0.2, scaling=(0.7, 1.4),
                         p_synchronize_scaling_across_axes=1, bg_style_seg_sampling=False),
        RandomTransform(GaussianNoiseTransform((0, 0.1), 1, True), 0.1),
        RandomTransform(GaussianBlurTransform((0.5, 1.0), False, False, 0.5, benchmark=True), 0.2),
        RandomTransform(MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), False, 1), 0.15),
        RandomTransform(ContrastTransform(BGContrast((0.75, 1.25)), True, False, 1), 0.15),
        RandomTransform(SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5), 0.25),
        RandomTransform(GammaTransform(BGContrast((0.7, 1.5)), 1, False, 1, 1), 0.1),
        RandomTransform(GammaTransform(BGContrast((0.7, 1.5)), 0, False, 1, 1), 0.3),
        MirrorTransform((0, 1, 2)),
    ])


def scan():
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[:SCAN_EDGE, :SCAN_EDGE, :SCAN_EDGE]
    label = ((x // 40 + y // 50 + z // 60) % 3).astype(np.int16)
    return (label + rng.standard_normal(label.shape, np.float32)).astype(np.float32), label


def work(number, image, label, start, counts):
    torch.set_num_threads(1)
    np.random.seed(number)
    torch.manual_seed(number)
    rng = np.random.default_rng(number)
    all_of_it = transforms()
    n = 0

    def draw():
        at = rng.integers(0, SCAN_EDGE - CUT + 1, 3)
        cut = tuple(slice(a, a + CUT) for a in at)
        all_of_it(image=torch.from_numpy(image[cut][None].copy()),
                  segmentation=torch.from_numpy(label[cut][None].copy()))

    for _ in range(4):
        draw()
    start.wait()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        draw()
        n += 1
    counts.put(n)


def main():
    n = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("fork")
    image, label = scan()
    start, counts = context.Barrier(n), context.Queue()
    workers = [context.Process(target=work, args=(i, image, label, start, counts)) for i in range(n)]
    for worker in workers:
        worker.start()
    total = sum(counts.get() for _ in workers)
    for worker in workers:
        worker.join()
    print(json.dumps({"bench": "loader", "case": f"augmented patches, {EDGE}^3",
                      "peer": f"batchgeneratorsv2, {n} processes", "peer_value": round(total / SECONDS, 4)}))


main()
