"""What the peers of the training benchmarks share: the U-Net of conv-floor.c and bench-cpu.c in PyTorch, nnU-Net's
loss, and one training step. Importing it without PyTorch ends the program with 77 and says so."""
import sys

try:
    import torch
    from torch import nn
except ImportError:
    print(f"{sys.argv[0]}: PyTorch is not installed (give an interpreter that has it in PYTHON)", file=sys.stderr)
    sys.exit(77)

CLASSES = 3
# name as in conv-floor.c, features, batch, patch
CASES = (
    ("U-Net 32-256, 2x40x56x40", (32, 64, 128, 256), 2, (40, 56, 40)),
    ("U-Net 32-320 of 6 stages, 1x96x96x96", (32, 64, 128, 256, 320, 320), 1, (96, 96, 96)),
)
LAYOUTS = ((torch.contiguous_format, "default layout"), (torch.channels_last_3d, "channels_last_3d"))


class Block(nn.Sequential):
    """Convolution (without the bias that the norm takes away), instance norm, leaky ReLU."""

    def __init__(self, n_in, n_out, stride):
        super().__init__(nn.Conv3d(n_in, n_out, 3, stride, 1, bias=False),
                         nn.InstanceNorm3d(n_out, affine=True), nn.LeakyReLU(0.01, inplace=True))


class ResidualBlock(nn.Module):
    """Two convolutions and what came in, averaged where they stride and mixed where they widen."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first = Block(n_in, n_out, stride)
        self.second = nn.Sequential(nn.Conv3d(n_out, n_out, 3, 1, 1, bias=False), nn.InstanceNorm3d(n_out, affine=True))
        skip = [nn.AvgPool3d(stride, stride)] if stride > 1 else []
        if n_in != n_out:
            skip += [nn.Conv3d(n_in, n_out, 1, bias=False), nn.InstanceNorm3d(n_out, affine=True)]
        self.skip = nn.Sequential(*skip)
        self.end = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x):
        return self.end(self.second(self.first(x)) + self.skip(x))


class UNet(nn.Module):
    """Two convolutions a stage; with `blocks` so many residual ones in the encoder and one convolution in the decoder."""

    def __init__(self, features, blocks=None):
        super().__init__()
        self.encoder = nn.ModuleList()
        n_in = 1
        for stage, n in enumerate(features):
            stride = 1 if stage == 0 else 2
            if blocks:
                stem = [Block(n_in, n, 1)] if stage == 0 else []
                first = ResidualBlock(n if stage == 0 else n_in, n, stride)
                rest = [ResidualBlock(n, n, 1) for _ in range(blocks[stage] - 1)]
                self.encoder.append(nn.Sequential(*stem, first, *rest))
            else:
                self.encoder.append(nn.Sequential(Block(n_in, n, stride), Block(n, n, 1)))
            n_in = n
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for n, below in zip(features[-2::-1], features[:0:-1]):
            self.up.append(nn.ConvTranspose3d(below, n, 2, 2))
            self.decoder.append(nn.Sequential(Block(2 * n, n, 1), *([] if blocks else [Block(n, n, 1)])))
            self.heads.append(nn.Conv3d(n, CLASSES, 1))

    def forward(self, x, deep=True):
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
    """nnU-Net's DC_and_CE_loss: batch Dice without the background, and cross-entropy."""
    logits = logits.float()
    p = torch.softmax(logits, 1)
    truth = torch.zeros_like(p).scatter_(1, labels, 1)
    axes = (0, 2, 3, 4)
    both, total = (p * truth).sum(axes), p.sum(axes) + truth.sum(axes)
    dice = ((2 * both + 1e-5) / (total + 1e-5).clip(1e-8))[1:].mean()
    return nn.functional.cross_entropy(logits, labels[:, 0]) - dice


def training_step(net, x, targets, bf16=False):
    """A function that does one step: all heads, their losses halved from one to the next, clipping, Nesterov."""
    optimiser = torch.optim.SGD(net.parameters(), 0.001, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step():
        optimiser.zero_grad()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            heads = net(x)
        loss = sum(0.5**i * dice_ce(h, t) for i, (h, t) in enumerate(zip(heads, targets)))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 12)
        optimiser.step()

    return step


def batch_of(n, dhw, n_heads, layout, device="cpu"):
    """Random image and labels of every head."""
    x = torch.randn(n, 1, *dhw, device=device).to(memory_format=layout)
    return x, [torch.randint(0, CLASSES, (n, 1, *(d // 2**i for d in dhw)), device=device) for i in range(n_heads)]
