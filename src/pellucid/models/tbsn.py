"""TBSN: a transformer-based blind-spot network, which learns to denoise from noisy pictures alone.

J. Li, Z. Zhang, W. Zuo, "Rethinking Transformer-Based Blind-Spot Network for Self-Supervised Image Denoising",
AAAI 2025, arXiv 2404.07846.

A pixel is predicted without being seen. The embedding leaves out the pixel itself, so its features come from pixels of
the three other parity classes; every later operator keeps to a class. The network therefore computes on the four parity
lattices of the picture as on four pictures, with ordinary convolutions, pixel-unshuffles and windows: nothing but the
embedding, and the channel attention's C × C matrices, lets one lattice see another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from pellucid.layers import (
    BiasFreeLayerNorm,
    CentreMaskedConv2d,
    ChannelLayerNorm,
    GroupedChannelAttention,
    MaskedWindowAttention,
    PatchShuffleUpsample,
    PatchUnshuffleDownsample,
)
from pellucid.layers.padding import pad_to_multiple
from pellucid.ops.lattices import from_lattices, to_lattices
from pellucid.ops.local_feedforward import local_feedforward
from pellucid.ops.masked_window_attention import check_blind_spot

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _LARGEST_WINDOW, _MOST_BLOCKS = 2**14, 256, 512


@dataclass(frozen=True, kw_only=True)
class TBSNConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input.
        out_channels: channels of the output.
        width: channels D of the first level; level l has D · 2^l.
        blocks: blocks at each level, the last being the latent.
        refinement: blocks at full resolution after the decoder, at 2D channels.
        channel_heads: groups of the channel attention at each level.
        window_heads: heads of the window attention at each level.
        head_channels: channels of each head of the window attention.
        window: side of the windows, in pixels of the level's picture.
        overlaps: side of the overlapping windows of keys at each level.
        expansion: γ; a feed-forward layer on C channels has ⌊γ · C⌋ hidden channels.
        norm_bias: layer normalisation with mean and bias (True), or the bias-free variant of the released weights.
        bias: biases in the convolutions of the blocks, the reductions and the output.
        embed_bias: a bias in the embedding.
    """

    in_channels: int = 3
    out_channels: int = 3
    width: int = 48
    blocks: tuple[int, ...] = (4, 4, 4)
    refinement: int = 4
    channel_heads: tuple[int, ...] = (1, 2, 4)
    window_heads: tuple[int, ...] = (2, 2, 3)
    head_channels: int = 16
    window: int = 8
    overlaps: tuple[int, ...] = (12, 12, 12)
    expansion: float = 1.0
    norm_bias: bool = False
    bias: bool = False
    embed_bias: bool = False

    def __post_init__(self) -> None:
        heads = (*self.channel_heads, *self.window_heads)
        sizes = (self.in_channels, self.out_channels, self.width, self.head_channels, *self.blocks, *heads)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in (*sizes, self.refinement + 1)):
            raise ValueError(f"sizes, blocks and heads must be whole numbers from 1 to {_LARGEST_SIZE}")
        if not len(self.blocks) == len(self.channel_heads) == len(self.window_heads) == len(self.overlaps):
            raise ValueError("blocks, channel_heads, window_heads and overlaps must name the same number of levels")
        if not 2 <= len(self.blocks) <= 8 or sum(self.blocks) + self.refinement > _MOST_BLOCKS:
            raise ValueError(f"there must be 2 to 8 levels, with {_MOST_BLOCKS} blocks at most")
        if self.width % 2 or any(self.width * 2**level % heads for level, heads in enumerate(self.channel_heads)):
            raise ValueError(f"width {self.width} must be even, and heads {self.channel_heads} divide it at each level")
        if not all(type(side) is int and 1 <= side <= _LARGEST_WINDOW for side in (self.window, *self.overlaps)):
            raise ValueError(f"windows must be whole numbers from 1 to {_LARGEST_WINDOW}")
        if not 1 / self.width <= self.expansion <= 64:
            raise ValueError(f"the expansion factor {self.expansion} must give each layer hidden channels")
        if not all(type(flag) is bool for flag in (self.norm_bias, self.bias, self.embed_bias)):
            raise ValueError("norm_bias, bias and embed_bias must be true or false")
        for overlap in self.overlaps:
            check_blind_spot(self.window, overlap)

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this inside the network."""
        return self.window * 2 ** (len(self.blocks) - 1)

    @property
    def value_range(self) -> float:
        """White: the network takes and gives values from 0 to this, and is not the same at another scale."""
        return 255.0


TBSN_PRESETS: Mapping[str, TBSNConfig] = MappingProxyType(
    {
        "base": TBSNConfig(),
        "small": TBSNConfig(width=24, blocks=(1, 1, 2), refinement=1),
    }
)


class LatticeFeedForward(nn.Module):
    """x + 3×3(GELU(3×3(y))) on lattices (4B, C, h, w): in the picture, both convolutions have dilation 2."""

    def __init__(self, channels: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 3, padding=1, bias=bias)
        self.project = nn.Conv2d(hidden, channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        weights = (self.expand.weight, self.project.weight, self.expand.bias, self.project.bias)
        return local_feedforward(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), *weights).permute(0, 3, 1, 2)


class DTAB(nn.Module):
    """Dilated transformer attention block, on lattices: takes and returns (4B, C, h, w).

    x ← x + G-CSA(LN(x)); x ← x + FFN(LN(x)); x ← x + M-WSA(LN(x)); x ← x + FFN(LN(x))
    """

    def __init__(self, channels: int, level: int, config: TBSNConfig) -> None:
        super().__init__()
        norm = ChannelLayerNorm if config.norm_bias else BiasFreeLayerNorm
        hidden = int(channels * config.expansion)
        self.norm1, self.norm2, self.norm3, self.norm4 = (norm(channels) for _ in range(4))
        self.channel_attention = GroupedChannelAttention(channels, config.channel_heads[level], config.bias)
        self.channel_feedforward = LatticeFeedForward(channels, hidden, config.bias)
        self.window_attention = MaskedWindowAttention(
            channels,
            config.window_heads[level],
            head_channels=config.head_channels,
            window=config.window,
            overlap=config.overlaps[level],
            bias=config.bias,
        )
        self.window_feedforward = LatticeFeedForward(channels, hidden, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_attention.on_lattices(self.norm1(x)).add_(x)
        x = self.channel_feedforward(x, self.norm2(x))
        x = self.window_attention.on_lattices(self.norm3(x)).add_(x)
        return self.window_feedforward(x, self.norm4(x))


class TBSN(nn.Module):
    """Predict every pixel of a noisy picture from the others: what noise cannot foretell is left out.

    Takes (B, in_channels, H, W) with values 0..255 and returns (B, out_channels, H, W) at the same scale, not clamped,
    for any H, W ≥ 1. The input is padded on the right and bottom to the configuration's multiple, by reflection (by
    repetition where the picture is smaller than the padding), and the output cropped back.

    Given the matrices of its channel attention, a pixel of the output depends on no pixel of its own parity class. The
    matrices are sums over the whole picture, and carry a trace of each pixel.
    """

    def __init__(self, config: TBSNConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(len(config.blocks))]

        def stage(channels: int, level: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(DTAB(channels, level, config) for _ in range(count)))

        *outer, innermost = enumerate(config.blocks)
        self.embed = CentreMaskedConv2d(config.in_channels, config.width, config.embed_bias)
        self.encoders = nn.ModuleList(stage(widths[level], level, count) for level, count in outer)
        self.downs = nn.ModuleList(PatchUnshuffleDownsample(width) for width in widths[:-1])
        self.latent = stage(widths[-1], *innermost)
        # The decoder runs from the deepest level up. At the top level the skip is joined without a reduction.
        self.ups = nn.ModuleList(PatchShuffleUpsample(width) for width in reversed(widths[1:]))
        self.reductions = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1, bias=config.bias) for width in reversed(widths[1:-1])
        )
        self.decoders = nn.ModuleList(
            stage(max(widths[level], 2 * config.width), level, count) for level, count in reversed(outer)
        )
        self.refinement = stage(2 * config.width, 0, config.refinement)
        self.output = nn.Conv2d(2 * config.width, config.out_channels, 1, bias=config.bias)

    def forward(self, image: Tensor) -> Tensor:
        H, W = image.shape[-2:]
        x = to_lattices(self.embed(pad_to_multiple(image, self.config.multiple)))
        downs = cast(Iterable[PatchUnshuffleDownsample], self.downs)
        ups = cast(Iterable[PatchShuffleUpsample], self.ups)
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoders, downs, strict=True):
            x = blocks(x)
            skips.append(x)
            x = down.on_lattices(x)
        x = self.latent(x)
        reductions = [*self.reductions, nn.Identity()]
        for up, reduce, blocks in zip(ups, reductions, self.decoders, strict=True):
            x = blocks(reduce(torch.cat([up.on_lattices(x), skips.pop()], dim=1)))
        # No image is added: it would show every pixel to itself.
        return from_lattices(self.output(self.refinement(x)))[..., :H, :W]
