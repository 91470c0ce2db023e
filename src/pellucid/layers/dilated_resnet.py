"""A residual network with holes in its kernels instead of strides."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

_EXPANSION = 4  # a bottleneck's output has this many times its width


class _Bottleneck(nn.Module):
    """x ← ReLU(BN(1×1(ReLU(BN(3×3(ReLU(BN(1×1(x)))))))) + shortcut(x)), the 3×3 with a stride or with holes."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = _EXPANSION * width
        self.reduce = nn.Conv2d(in_channels, width, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(width)
        self.spatial = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.spatial_norm = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, out_channels, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(out_channels)
        changes = stride > 1 or in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if changes else None
        self.shortcut_norm = nn.BatchNorm2d(out_channels) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.reduce_norm(self.reduce(x)), inplace=True)
        y = F.relu(self.spatial_norm(self.spatial(y)), inplace=True)
        y = self.expand_norm(self.expand(y))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return F.relu(y.add_(x), inplace=True)


class DilatedResNet(nn.Module):
    """Features of a picture at an eighth of its size, from residual bottlenecks.

    He et al., CVPR 2016; dilated as in DeepLab-v3 (Chen et al., 2017): the last two of four stages keep their input's
    size, and their 3×3 convolutions have holes of 2 and 4 instead; the first of each stage still those of the stage
    before. Stage s has bottlenecks of width w · 2^s with 4 times as many channels.

    Takes (B, 3, H, W) of any H, W ≥ 1 and returns (B, 32 w, ⌈H/8⌉, ⌈W/8⌉).

    Args:
        blocks: bottlenecks of each stage; (3, 4, 6, 3) is ResNet-50, (3, 4, 23, 3) ResNet-101.
        width: w; 64 in the ResNets.

    Raises:
        ValueError: there are not four stages with a bottleneck or more each.
    """

    def __init__(self, blocks: Sequence[int] = (3, 4, 23, 3), width: int = 64) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(f"there must be four stages with a bottleneck or more each, not {tuple(blocks)}")
        self.stem = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.stages = nn.ModuleList()
        channels = width
        for s, (count, stride, dilations) in enumerate(
            zip(blocks, (1, 2, 1, 1), ((1, 1), (1, 1), (1, 2), (2, 4)), strict=True)
        ):
            inner = width * 2**s
            first = _Bottleneck(channels, inner, stride, dilations[0])
            channels = _EXPANSION * inner
            others = (_Bottleneck(channels, inner, 1, dilations[1]) for _ in range(count - 1))
            self.stages.append(nn.Sequential(first, *others))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
        x = F.max_pool2d(x, 3, 2, padding=1)
        for stage in self.stages:
            x = stage(x)
        return x
