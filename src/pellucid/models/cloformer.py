"""CloFormer: a light backbone whose blocks mix high and low frequencies side by side.

Q. Fan, H. Huang, J. Guan, R. He, "Rethinking Local Perception in Lightweight Vision Transformer", 2023,
arXiv 2303.17803.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers import CloBlock
from pellucid.layers.parameters import batch_norm_affine, weight_and_bias
from pellucid.layers.picture_norm import PictureNorm

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _LARGEST_HIDDEN, _LARGEST_KERNEL, _MOST_BLOCKS = 2**14, 2**17, 255, 512


@dataclass(frozen=True, kw_only=True)
class CloFormerConfig:
    """Everything that determines the network's shape. Tuples have an item for each stage.

    Attributes:
        in_channels: channels of the input.
        classes: length of the output.
        widths: channels.
        blocks: number of blocks.
        heads: of all branches of a block together; a head has width / heads channels.
        splits: heads of each local branch, then of the global one; they add up to `heads`, and 0 leaves a branch out.
        kernels: kernel size of each local branch, odd.
        pools: side of the window in which keys and values are averaged; nothing where there is no global branch.
        expansions: ρ; the hidden width of a feed-forward layer is ρ · width, rounded.
        feedforward_kernels: kernel size of the feed-forward layers and of the shortcut to the next stage, odd.
        drop_path: in training, the probability with which the last block's residual branches are left out; it grows
            linearly from 0 at the first block.
    """

    in_channels: int = 3
    classes: int = 1000
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 4, 8, 16)
    splits: tuple[tuple[int, ...], ...] = ((3, 1), (2, 2), (4, 4), (4, 12))
    kernels: tuple[tuple[int, ...], ...] = ((3,), (5,), (7,), (9,))
    pools: tuple[int, ...] = (8, 4, 2, 1)
    expansions: tuple[float, ...] = (4, 4, 4, 4)
    feedforward_kernels: tuple[int, ...] = (5, 5, 5, 5)
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        stages = len(self.widths)
        of_stages = (self.blocks, self.heads, self.splits, self.kernels, self.pools)
        if not 1 <= stages <= 8 or {len(t) for t in (*of_stages, self.expansions, self.feedforward_kernels)} != {
            stages
        }:
            raise ValueError("there must be 1 to 8 stages, and a value for each in every tuple")
        sizes = (self.in_channels, self.classes, *self.widths, *self.blocks, *self.heads, *self.pools)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(
                f"channels, classes, blocks, heads and pools must be whole numbers from 1 to {_LARGEST_SIZE}"
            )
        kernels = (*(kernel for stage in self.kernels for kernel in stage), *self.feedforward_kernels)
        if not all(type(k) is int and 1 <= k <= _LARGEST_KERNEL and k % 2 for k in kernels):
            raise ValueError(f"kernel sizes must be odd numbers from 1 to {_LARGEST_KERNEL}")
        if self.widths[0] % 2 or any(width % heads for width, heads in zip(self.widths, self.heads, strict=True)):
            raise ValueError(f"the first of the widths {self.widths} must be even, and heads {self.heads} divide them")
        for heads, split, kernel in zip(self.heads, self.splits, self.kernels, strict=True):
            if not all(type(h) is int and h >= 0 for h in split) or sum(split) != heads:
                raise ValueError(f"the splits {split} must add up to {heads} heads")
            if len(split) != len(kernel) + 1:
                raise ValueError(f"the splits {split} must name the global branch and one for each kernel of {kernel}")
        if sum(self.blocks) > _MOST_BLOCKS:
            raise ValueError(f"there must be {_MOST_BLOCKS} blocks at most")
        if not all(1 <= w * e <= _LARGEST_HIDDEN for w, e in zip(self.widths, self.expansions, strict=True)):
            raise ValueError(f"the expansion factors {self.expansions} must give each layer hidden channels")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path must be from 0 to below 1, not {self.drop_path}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the picture to a pixel of each stage."""
        return tuple(4 * 2**stage for stage in range(len(self.widths)))

    @property
    def smallest_side(self) -> int:
        """Height and width that a picture must have, so that every stage can be pooled."""
        pooled = [
            stride * (pool - 1) + 1
            for stride, pool, split in zip(self.strides, self.pools, self.splits, strict=True)
            if split[-1]
        ]
        return max(pooled, default=1)


CLOFORMER_PRESETS: Mapping[str, CloFormerConfig] = MappingProxyType(
    {
        "xxs": CloFormerConfig(),
        "xs": CloFormerConfig(
            widths=(48, 96, 160, 352), heads=(3, 6, 10, 22), splits=((2, 1), (3, 3), (5, 5), (7, 15))
        ),
        "s": CloFormerConfig(
            widths=(64, 128, 224, 448), heads=(4, 8, 14, 28), splits=((3, 1), (4, 4), (7, 7), (7, 21))
        ),
        "global": CloFormerConfig(splits=((4,), (4,), (8,), (16,)), kernels=((), (), (), ())),
        "no-global": CloFormerConfig(splits=((4, 0), (4, 0), (8, 0), (16, 0))),
    }
)


class CloFormer(nn.Module):
    """Classify pictures, or give their features at four resolutions.

    Takes (B, in_channels, H, W), normalised with the mean and deviation of ImageNet, of any height and width from
    `config.smallest_side`, which is 29 for the paper's networks, and returns (B, classes) logits. Nothing is padded:
    each halving of the resolution rounds up.

    Raises:
        ValueError: the picture is smaller.
    """

    def __init__(self, config: CloFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _Stem(config.in_channels, config.widths[0])
        self.stages = nn.ModuleList(CloStage(config, stage) for stage in range(len(config.widths)))
        self.norm = PictureNorm(config.widths[-1])
        self.head = nn.Linear(config.widths[-1], config.classes)

    def forward(self, image: Tensor) -> Tensor:
        *_, x = self.features(image)
        return self.head(self.norm(x).mean((2, 3)))

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return a map of each stage, for detection or segmentation.

        Map s is (B, widths[s], ⌈H/4⌉, ⌈W/4⌉) halved s times, rounding up: what the stage has made of the picture when
        its last block hands over to the next stage, after that block's token mixer. The last map is what the
        classifier normalises and averages.
        """
        H, W = image.shape[-2:]
        if min(H, W) < (smallest := self.config.smallest_side):
            raise ValueError(f"a picture of {H}×{W} is too small: height and width must be at least {smallest}")
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        maps: list[Tensor] = []
        for stage in self.stages:
            features, x = stage(x)
            maps.append(features)
        return tuple(maps)


class CloStage(nn.Module):
    """The blocks of one resolution, the last of which leads to the next stage if there is one.

    Takes (B, C, H, W) and returns two maps: what the stage has made of it when the last block hands over, after that
    block's token mixer, (B, C, H, W); and the input of the next stage. Both are the output of the last stage.
    """

    def __init__(self, config: CloFormerConfig, stage: int) -> None:
        super().__init__()
        self.leads_on = stage + 1 < len(config.widths)
        before, count = sum(config.blocks[:stage]), config.blocks[stage]
        self.blocks = nn.ModuleList(
            CloBlock(
                config.widths[stage],
                config.heads[stage],
                config.splits[stage],
                config.kernels[stage],
                config.pools[stage],
                hidden=round(config.widths[stage] * config.expansions[stage]),
                feedforward_kernel=config.feedforward_kernels[stage],
                next_channels=config.widths[stage + 1] if self.leads_on and block == count - 1 else None,
                drop_path=config.drop_path * (before + block) / max(sum(config.blocks) - 1, 1),
            )
            for block in range(count)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        *blocks, last = cast(Iterable[CloBlock], self.blocks)
        for block in blocks:
            x = block(x)
        features = last.mixed(x)
        out = last.transformed(features)
        return (features if self.leads_on else out), out


class _Stem(nn.Sequential):
    """Four 3×3 convolutions, two of them of stride 2, then a 1×1 convolution and normalisation: to a quarter."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(
            _ConvNormReLU(in_channels, width // 2, stride=2),
            _ConvNormReLU(width // 2, width, stride=2),
            _ConvNormReLU(width, width),
            _ConvNormReLU(width, width),
            nn.Conv2d(width, width, 1),
            PictureNorm(width),
        )


class _ConvNormReLU(nn.Module):
    """ReLU(BN(conv3×3(x))). In evaluation BN(z) = s ⊙ z + t goes into the convolution: s (Wx + b) + t."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, channels, 3, stride, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm = self.convolution, self.norm
        if self.training:
            return F.relu(norm(convolution(x)))
        (scale, shift), (weight, bias) = batch_norm_affine(norm), weight_and_bias(convolution)
        weight, bias = weight * scale[:, None, None, None], torch.addcmul(shift, bias, scale)
        return F.relu(F.conv2d(x, weight, bias, convolution.stride, convolution.padding), inplace=True)
