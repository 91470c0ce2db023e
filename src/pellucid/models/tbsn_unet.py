"""TBSN's student: a small ordinary U-Net, distilled from TBSN for speed.

J. Li, Z. Zhang, W. Zuo, "Rethinking Transformer-Based Blind-Spot Network for Self-Supervised Image Denoising",
AAAI 2025, arXiv 2404.07846. The U-Net itself is that of S. Laine, T. Karras, J. Lehtinen, T. Aila, "High-Quality
Self-Supervised Deep Image Denoising", NeurIPS 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.padding import pad_to_multiple

_LARGEST_SIZE = 2**14  # which no sensible network reaches
_LEVELS = 5
_SLOPE = 0.1


@dataclass(frozen=True, kw_only=True)
class TBSNUNetConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input.
        out_channels: channels of the output.
        width: channels F of the encoder; the decoder has twice as many.
    """

    in_channels: int = 3
    out_channels: int = 3
    width: int = 48

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.width)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(f"channels and width must be whole numbers from 1 to {_LARGEST_SIZE}")

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this inside the network."""
        return 2**_LEVELS

    @property
    def value_range(self) -> float:
        """White: the network takes and gives values from 0 to this."""
        return 1.0


TBSN_UNET_PRESETS: Mapping[str, TBSNUNetConfig] = MappingProxyType({"base": TBSNUNetConfig()})


class TBSNUNet(nn.Module):
    """Denoise a picture of any height and width ≥ 1; not a blind-spot network.

    Takes (B, in_channels, H, W) with values 0..1 and returns (B, out_channels, H, W), not clamped. The input is padded
    on the right and bottom to a multiple of 32, by reflection (by repetition where the picture is smaller than the
    padding), and the output cropped back.
    """

    def __init__(self, config: TBSNUNetConfig) -> None:
        super().__init__()
        self.config = config
        width, into = config.width, config.in_channels
        self.encoders = nn.ModuleList(
            [_convolutions(into, width, width), *(_convolutions(width, width) for _ in range(_LEVELS - 1))]
        )
        self.latent = _convolutions(width, width)
        joined = [2 * width, *(3 * width for _ in range(_LEVELS - 2)), 2 * width + into]
        self.decoders = nn.ModuleList(_convolutions(channels, 2 * width, 2 * width) for channels in joined)
        self.output = nn.Conv2d(2 * width, config.out_channels, 1)
        _initialise(self.output, "linear")
        for stage in (*self.encoders, self.latent, *self.decoders):
            for module in stage.children():
                if isinstance(module, nn.Conv2d):
                    _initialise(module, "leaky_relu")

    def forward(self, image: Tensor) -> Tensor:
        H, W = image.shape[-2:]
        x = pad_to_multiple(image, self.config.multiple)
        skips: list[Tensor] = []
        for blocks in self.encoders:
            skips.append(x)
            x = F.max_pool2d(blocks(x), 2)
        x = self.latent(x)
        for blocks in self.decoders:
            x = blocks(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], dim=1))
        return self.output(x)[..., :H, :W]


def _convolutions(*channels: int) -> nn.Sequential:
    """3×3 convolutions from each number of channels to the next, each with its leaky rectifier."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(_SLOPE, inplace=True)]
    return nn.Sequential(*layers)


def _initialise(convolution: nn.Conv2d, followed_by: Literal["leaky_relu", "linear"]) -> None:
    """Draw weights after He et al., for what follows the convolution, and set its bias to zero."""
    nn.init.kaiming_normal_(convolution.weight, _SLOPE, nonlinearity=followed_by)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
