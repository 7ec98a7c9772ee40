#!/usr/bin/python3
"""PyTorch's training step on the networks of bench-gpu-step.c, on the same card: batch 2, patch 128^3, bfloat16 autocast,
the same losses and optimiser, the batch on the card.

Every network is tried as nnU-Net runs it and in the ways that may be faster (channels_last_3d, torch.compile); each is a
line of its own, printed when it is measured: the lowest ratio is the one that counts. Best of 20 steps after five. The
networks are those of dynamic_network_architectures where that is installed, else the same in plain modules. Begins no
further way after $BENCH_SECONDS. $BENCH_PATCH: another edge; TESSERA_BENCH_BACKEND=cpu: on the processor, to try it. Exits
with 77 without PyTorch or a GPU.
"""
import json
import os
import sys
import time

from torch_unet import CLASSES, LAYOUTS, UNet, batch_of, nn, torch, training_step

FEATURES = (32, 64, 128, 256, 320, 320)
BLOCKS = (1, 3, 4, 6, 6, 6)
CASES = (("PlainConvUNet", None), ("ResEnc L", BLOCKS))


def published(blocks):
    """nnU-Net's own class, or None."""
    try:
        from dynamic_network_architectures.architectures import unet
    except ImportError:
        return None
    common = {
        "input_channels": 1, "n_stages": len(FEATURES), "features_per_stage": FEATURES, "conv_op": nn.Conv3d,
        "kernel_sizes": [[3, 3, 3]] * len(FEATURES), "strides": [1] + [2] * (len(FEATURES) - 1), "num_classes": CLASSES,
        "conv_bias": True, "norm_op": nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}, "deep_supervision": True,
    }
    if blocks:
        return unet.ResidualEncoderUNet(n_blocks_per_stage=blocks, n_conv_per_stage_decoder=[1] * (len(FEATURES) - 1), **common)
    return unet.PlainConvUNet(n_conv_per_stage=[2] * len(FEATURES), n_conv_per_stage_decoder=[2] * (len(FEATURES) - 1), **common)


def best_seconds(step, device):
    seconds = []
    few = device == "cpu"
    for _ in range(2 if few else 25):
        before = time.monotonic()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - before)
    return min(seconds[1 if few else 5:])


def measure(blocks, edge, layout, compiled, device):
    torch.manual_seed(1)
    net = published(blocks)
    source = "nnU-Net's class" if net is not None else "plain modules"
    net = (UNet(FEATURES, blocks) if net is None else net).to(device).to(memory_format=layout)
    x, targets = batch_of(2, (edge,) * 3, len(FEATURES) - 1, layout, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = best_seconds(training_step(torch.compile(net) if compiled else net, x, targets, device == "cuda"), device)
    return seconds, source, torch.cuda.max_memory_allocated() if device == "cuda" else None


def main():
    device = "cpu" if os.environ.get("TESSERA_BENCH_BACKEND") == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print(f"{sys.argv[0]}: PyTorch {torch.__version__} finds no GPU", file=sys.stderr)
        sys.exit(77)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    edge, end = int(os.environ.get("BENCH_PATCH", 128)), time.monotonic() + float(os.environ.get("BENCH_SECONDS", 1e9))
    ways = [(compiled, *layout) for compiled in (False, True) for layout in reversed(LAYOUTS)]
    for compiled, layout, layout_name in ways:
        for name, blocks in CASES:
            way = f"{'bf16 autocast' if device == 'cuda' else 'f32'}, {'torch.compile, ' if compiled else ''}{layout_name}"
            if time.monotonic() > end:
                print(f"{sys.argv[0]}: no time left for {name}, {way}", file=sys.stderr)
                continue
            try:
                seconds, source, peak = measure(blocks, edge, layout, compiled, device)
            except Exception as error:  # a way that this PyTorch does not have, or no memory for it
                print(f"{sys.argv[0]}: {name}, {way}: {str(error).splitlines()[:1]}", file=sys.stderr)
                continue
            finally:
                torch.cuda.empty_cache()
            print(json.dumps({"bench": "gpu-step", "case": f"{name}, 2x{edge}^3", "peer_bytes": peak,
                              "peer": f"PyTorch {torch.__version__}, {source}, {way}", "peer_value": round(seconds, 5)}),
                  flush=True)


if __name__ == "__main__":
    main()
