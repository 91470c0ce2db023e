"""Restormer: a U-shaped restoration network of channel-attention blocks.

S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan, M.-H. Yang, "Restormer: Efficient Transformer for High-Resolution
Image Restoration", CVPR 2022, arXiv 2111.09881.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers import (
    GDFN,
    MDTA,
    BiasFreeLayerNorm,
    ChannelLayerNorm,
    OverlapPatchEmbed,
    PixelShuffleUpsample,
    PixelUnshuffleDownsample,
)
from pellucid.layers.gdfn import GDFNKernel
from pellucid.layers.mdta import MDTAKernel
from pellucid.layers.padding import pad_to_multiple
from pellucid.ops.row_stripes import RowStripe, row_stripes, worth_striping

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _MOST_BLOCKS = 2**14, 512


@dataclass(frozen=True, kw_only=True)
class RestormerConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input; 6 (left then right view) for the dual-pixel variant.
        out_channels: channels of the output.
        width: channels D of the first level; level l has D · 2^l.
        blocks: transformer blocks at each level, the last being the latent.
        refinement: blocks at full resolution after the decoder, at 2D channels.
        heads: attention heads at each level.
        expansion: γ; a feed-forward layer on C channels has ⌊γ · C⌋ hidden channels.
        norm_bias: layer normalisation with mean and bias (True), or the bias-free variant of the denoisers.
        bias: biases in the convolutions of the blocks, the reductions, the skip and the output.
        dual_pixel: add a projection of the embedding before the output instead of the input picture after it.
        unshuffle: pixel-unshuffle factor before the embedding, undone after the output. The paper's networks have 1;
            2 computes on a quarter of the pixels, each with four times the input channels.
    """

    in_channels: int = 3
    out_channels: int = 3
    width: int = 48
    blocks: tuple[int, ...] = (4, 6, 6, 8)
    refinement: int = 4
    heads: tuple[int, ...] = (1, 2, 4, 8)
    expansion: float = 2.66
    norm_bias: bool = True
    bias: bool = False
    dual_pixel: bool = False
    unshuffle: int = 1

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.width, self.unshuffle, *self.blocks, *self.heads)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in (*sizes, self.refinement + 1)):
            raise ValueError(f"sizes, blocks and heads must be whole numbers from 1 to {_LARGEST_SIZE}")
        if len(self.blocks) != len(self.heads):
            raise ValueError(f"blocks {self.blocks} and heads {self.heads} must name the same number of levels")
        if not 2 <= len(self.blocks) <= 8 or sum(self.blocks) + self.refinement > _MOST_BLOCKS:
            raise ValueError(f"there must be 2 to 8 levels, with {_MOST_BLOCKS} blocks at most")
        if self.width % 2 or any(self.width * 2**level % heads for level, heads in enumerate(self.heads)):
            raise ValueError(f"width {self.width} must be even, and heads {self.heads} divide it at each level")
        if not 1 / self.width <= self.expansion <= 64:
            raise ValueError(f"the expansion factor {self.expansion} must give each layer hidden channels")
        if not all(type(flag) is bool for flag in (self.norm_bias, self.bias, self.dual_pixel)):
            raise ValueError("norm_bias, bias and dual_pixel must be true or false")
        if not self.dual_pixel and self.in_channels != self.out_channels:
            raise ValueError("the input is added to the output, so in_channels must equal out_channels")
        if self.dual_pixel and self.unshuffle != 1:
            raise ValueError("the dual-pixel network has no pixel-unshuffle")

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this inside the network."""
        return self.unshuffle * 2 ** (len(self.blocks) - 1)


RESTORMER_PRESETS: Mapping[str, RestormerConfig] = MappingProxyType(
    {
        "base": RestormerConfig(),
        "base-denoise": RestormerConfig(norm_bias=False),
        "base-denoise-grey": RestormerConfig(in_channels=1, out_channels=1, norm_bias=False),
        "base-dual-pixel": RestormerConfig(in_channels=6, dual_pixel=True),
        "small": RestormerConfig(
            width=24, blocks=(2, 2, 4), refinement=2, heads=(1, 2, 4), expansion=2.0, norm_bias=False, unshuffle=2
        ),
    }
)


class RestormerBlock(nn.Module):
    """x ← x + MDTA(LN(x)); x ← x + GDFN(LN(x)). Takes and returns (B, C, H, W)."""

    def __init__(self, channels: int, heads: int, config: RestormerConfig) -> None:
        super().__init__()
        norm = ChannelLayerNorm if config.norm_bias else BiasFreeLayerNorm
        self.norm1 = norm(channels)
        self.attention = MDTA(channels, heads, config.bias)
        self.norm2 = norm(channels)
        self.feedforward = GDFN(channels, int(channels * config.expansion), config.bias)

    def forward(self, x: Tensor) -> Tensor:
        if not worth_striping(x, *self.parameters()):
            x = x + self.attention(self.norm1(x))
            return x + self.feedforward(self.norm2(x))
        return self._in_stripes(x)

    def _in_stripes(self, x: Tensor) -> Tensor:
        """Sum over the picture once; all that follows is local, and goes from x to the result stripe by stripe.

        Rows of x + MDTA(LN(x)) are made once: the last two of a stripe stay above the next, for its convolution. The
        result takes the place of LN(x), whose rows above a stripe's own are no longer needed.
        """
        B, C, H, W = x.shape
        attention, feedforward = MDTAKernel(self.attention), GDFNKernel.of(self.feedforward, pixels=B * H * W)
        out = self.norm1(x).to(x.dtype)
        matrix = attention.matrix(out)
        stripes = list(row_stripes(H, B * W * 2 * C, reach=1))
        highest = max(stripe.read.stop - stripe.read.start for stripe in stripes)
        held = torch.empty((B, C, highest, W), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        seen = filled = 0  # rows of the picture that have been made, and rows of `held` in use
        for stripe in stripes:
            kept, new = seen - stripe.read.start, slice(seen, stripe.read.stop)
            held[:, :, :kept] = held[:, :, filled - kept : filled]
            seen, filled = stripe.read.stop, stripe.read.stop - stripe.read.start
            attended = attention.attended(out, RowStripe.of(new, H, reach=1), matrix)
            torch.add(attended, x[:, :, new], out=held[:, :, kept:filled])
            rows = held[:, :, :filled]
            torch.add(feedforward(self.norm2(rows), stripe), rows[:, :, stripe.wanted], out=out[:, :, stripe.rows])
        return out


class Restormer(nn.Module):
    """Restore a picture of any height and width ≥ 1.

    Takes (B, in_channels, H, W) with values 0..1 and returns (B, out_channels, H, W), not clamped. The input is padded
    on the right and bottom to the configuration's multiple, by reflection (by repetition where the picture is smaller
    than the padding), and the output cropped back.
    """

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        self.config = config
        unshuffled = config.unshuffle**2
        widths = [config.width * 2**level for level in range(len(config.blocks))]

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(RestormerBlock(channels, heads, config) for _ in range(count)))

        *outer, innermost = zip(widths, config.heads, config.blocks, strict=True)
        self.embed = OverlapPatchEmbed(config.in_channels * unshuffled, config.width)
        self.encoders = nn.ModuleList(stage(*level) for level in outer)
        self.downs = nn.ModuleList(PixelUnshuffleDownsample(width) for width in widths[:-1])
        self.latent = stage(*innermost)
        # The decoder runs from the deepest level up. At the top level the skip is joined without a reduction.
        self.ups = nn.ModuleList(PixelShuffleUpsample(width) for width in reversed(widths[1:]))
        self.reductions = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1, bias=config.bias) for width in reversed(widths[1:-1])
        )
        self.decoders = nn.ModuleList(
            stage(max(width, 2 * config.width), heads, count) for width, heads, count in reversed(outer)
        )
        self.refinement = stage(2 * config.width, config.heads[0], config.refinement)
        self.skip = nn.Conv2d(config.width, 2 * config.width, 1, bias=config.bias) if config.dual_pixel else None
        self.output = nn.Conv2d(2 * config.width, config.out_channels * unshuffled, 3, padding=1, bias=config.bias)

    def forward(self, image: Tensor) -> Tensor:
        H, W = image.shape[-2:]
        padded = pad_to_multiple(image, self.config.multiple)
        x = self.embed(F.pixel_unshuffle(padded, self.config.unshuffle))
        shortcut = None if self.skip is None else self.skip(x)
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            x = blocks(x)
            skips.append(x)
            x = down(x)
        x = self.latent(x)
        reductions = [*self.reductions, nn.Identity()]
        for up, reduce, blocks in zip(self.ups, reductions, self.decoders, strict=True):
            x = blocks(reduce(torch.cat([up(x), skips.pop()], dim=1)))
        x = self.refinement(x)
        if shortcut is not None:
            return self.output(x + shortcut)[..., :H, :W]
        return (F.pixel_shuffle(self.output(x), self.config.unshuffle) + padded)[..., :H, :W]
