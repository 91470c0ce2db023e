"""Anchored stripe attention: tokens of a stripe meet through a few anchors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.continuous_position_bias import ContinuousPositionBias
from pellucid.layers.tile_padding import pad_to_tiles
from pellucid.ops.precision import linear_in_float32
from pellucid.ops.tile_attention import tile_attention

PerAxis = tuple[int | None, int | None]


@dataclass(frozen=True, kw_only=True)
class StripeLayout:
    """How a picture is cut into stripes.

    Attributes:
        stripe_size: height and width of a horizontal stripe; None on an axis that is cut into groups.
        stripe_groups: number of stripes along each axis; None on an axis whose stripes have a fixed size.
        anchor_factor: f; the anchors are means of f × f pixels.
        vertical: exchange the axes of both pairs.
        shifted: roll the picture by half a stripe before it is cut.

    Raises:
        ValueError: an axis has neither a size nor a number of groups, or the anchors do not divide a stripe.
    """

    stripe_size: PerAxis = (64, 64)
    stripe_groups: PerAxis = (None, None)
    anchor_factor: int = 4
    vertical: bool = False
    shifted: bool = False

    def __post_init__(self) -> None:
        for size, groups in zip(self.stripe_size, self.stripe_groups, strict=True):
            if groups is None and (size is None or size % self.anchor_factor):
                raise ValueError(
                    f"a stripe needs a size that is a multiple of {self.anchor_factor}, or a number of groups, "
                    f"on each axis, not {self.stripe_size} and {self.stripe_groups}"
                )

    @property
    def multiple(self) -> int:
        """Height and width must be a multiple of this, so that the axes may be exchanged."""
        sizes = [size for size in self.stripe_size if size is not None]
        groups = [self.anchor_factor * number for number in self.stripe_groups if number is not None]
        return math.lcm(self.anchor_factor, *sizes, *groups)

    def tile(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a stripe."""
        step = -1 if self.vertical else 1
        (s0, s1), (g0, g1) = self.stripe_size[::step], self.stripe_groups[::step]
        return _extent(height, s0, g0), _extent(width, s1, g1)

    def shift(self, height: int, width: int) -> tuple[int, int]:
        """Return by how many rows and columns to roll: none on an axis that is one group."""
        n0, n1 = self.tile(height, width)
        g0, g1 = self.stripe_groups[::-1] if self.vertical else self.stripe_groups
        return (n0 // 2 if self.shifted and g0 != 1 else 0), (n1 // 2 if self.shifted and g1 != 1 else 0)


class AnchoredStripeHeads(nn.Module):
    """What the attention does between its projections: q, k and v, (B, H, W, 3C), and anchors, (B, H/f, W/f, C).

    Returns (B, H, W, C). H and W are multiples of the layout's.
    """

    def __init__(self, heads: int, layout: StripeLayout) -> None:
        super().__init__()
        self.layout = layout
        self.gather = ContinuousPositionBias(heads)
        self.read = ContinuousPositionBias(heads)

    def forward(self, qkv: Tensor, anchors: Tensor) -> Tensor:
        q, k, v = qkv.chunk(3, dim=-1)
        f = self.layout.anchor_factor
        n0, n1 = tokens = self.layout.tile(*qkv.shape[1:3])
        shift0, shift1 = shift = self.layout.shift(*qkv.shape[1:3])
        few, few_shift = (n0 // f, n1 // f), (shift0 // f, shift1 // f)
        gather, read = self.gather(tokens, few), self.read(tokens, few)
        z = tile_attention(anchors, k, v, self.gather.temperature, gather, few, tokens, few_shift, shift)
        return tile_attention(q, anchors, z, self.read.temperature, read, tokens, few, shift, few_shift)


def pooled(x: Tensor, factor: int) -> Tensor:
    """Average f × f pixels of x, (B, H, W, C), at least in float32."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.avg_pool2d(x.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)


class AnchoredStripeAttention(nn.Module):
    """Attention in stripes, in which anchors gather from the tokens and the tokens read from the anchors.

    GRL (Li et al., CVPR 2023), section 3.3; the authors' class is `AnchorStripeAttention`:

        q, k, v = Linear(x);   a = Linear(pool_f×f(x));   out = attend(q, a, attend(a, k, v))   in each stripe
        attend(q, k, v) = softmax(e^min(τ, ln 100) · q̂k̂ᵀ + β + M) v

    with a temperature and a continuous position bias β for each direction, and M = −100 between pixels that only the
    shift has joined. A stripe of N pixels costs N²/f² scores, twice. The output is not projected: GRL projects it
    together with that of the windows, see `MixedAttention`.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1, padded inside to whole stripes by reflection
            (by zeros where it is too small for that) and cropped back.
        heads: number of heads; must divide C.
        stripe_size, stripe_groups, anchor_factor, vertical, shifted: see `StripeLayout`.

    Raises:
        ValueError: the heads do not divide the channels, or the stripes make no sense.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        stripe_size: PerAxis = (64, 64),
        stripe_groups: PerAxis = (None, None),
        anchor_factor: int = 4,
        vertical: bool = False,
        shifted: bool = False,
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        layout = StripeLayout(
            stripe_size=stripe_size,
            stripe_groups=stripe_groups,
            anchor_factor=anchor_factor,
            vertical=vertical,
            shifted=shifted,
        )
        self.qkv = nn.Linear(channels, 3 * channels)
        self.anchor = nn.Linear(channels, channels)
        self.heads = AnchoredStripeHeads(heads, layout)

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        x_BHWC = pad_to_tiles(x, self.heads.layout.multiple).permute(0, 2, 3, 1)
        qkv = linear_in_float32(x_BHWC, self.qkv.weight, self.qkv.bias)
        anchors = linear_in_float32(
            pooled(x_BHWC, self.heads.layout.anchor_factor), self.anchor.weight, self.anchor.bias
        )
        return self.heads(qkv, anchors).to(x.dtype).permute(0, 3, 1, 2)[..., :H, :W]


def _extent(length: int, size: int | None, groups: int | None) -> int:
    if groups is not None:
        return length // groups
    assert size is not None  # checked when the layout was made
    return size
