"""Mixed attention: windows for what is near, anchored stripes for what is far."""

import math

from torch import Tensor, nn

from pellucid.layers.anchored_stripe_attention import AnchoredStripeHeads, PerAxis, StripeLayout, pooled
from pellucid.layers.tile_padding import pad_to_tiles
from pellucid.layers.window_attention import WindowHeads
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.precision import linear_in_float32


class MixedAttention(nn.Module):
    """Window attention on one half of the channels beside anchored stripe attention on the other, projected together.

    GRL (Li et al., CVPR 2023), section 3.1; the authors' class is `MixedAttention`:

        q, k, v = Linear(x);   a = Linear(pool_f×f(x));   out = Linear([windows(q₁, k₁, v₁) ‖ stripes(q₂, k₂, v₂, a)])

    Args:
        channels: C, even; the input and output are (B, C, H, W) of any H, W ≥ 1, padded inside to whole windows and
            stripes by reflection (by zeros where it is too small for that) and cropped back.
        window_heads, stripe_heads: number of heads on each half; must divide C / 2.
        window_size: height and width of a window.
        stripe_size, stripe_groups, anchor_factor, vertical: see `StripeLayout`.
        shifted_windows, shifted_stripes: roll the picture by half a window or stripe before it is cut.

    Raises:
        ValueError: the heads do not divide half the channels, or the stripes make no sense.
    """

    def __init__(
        self,
        channels: int,
        window_heads: int,
        stripe_heads: int,
        *,
        window_size: int = 8,
        stripe_size: PerAxis = (64, 64),
        stripe_groups: PerAxis = (None, None),
        anchor_factor: int = 4,
        vertical: bool = False,
        shifted_windows: bool = False,
        shifted_stripes: bool = False,
    ) -> None:
        super().__init__()
        if channels % 2 or any(channels // 2 % heads for heads in (window_heads, stripe_heads)):
            raise ValueError(f"{window_heads} and {stripe_heads} heads do not divide the halves of {channels} channels")
        layout = StripeLayout(
            stripe_size=stripe_size,
            stripe_groups=stripe_groups,
            anchor_factor=anchor_factor,
            vertical=vertical,
            shifted=shifted_stripes,
        )
        self.qkv = nn.Linear(channels, 3 * channels)
        self.anchor = nn.Linear(channels, channels // 2)
        self.windows = WindowHeads(window_heads, window_size, shifted_windows)
        self.stripes = AnchoredStripeHeads(stripe_heads, layout)
        self.project = nn.Linear(channels, channels)
        self.multiple = math.lcm(window_size, layout.multiple)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(*self.branches(x)).permute(0, 3, 1, 2)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attend in windows and in stripes, each (B, H, W, C / 2)."""
        H, W = x.shape[-2:]
        x_BHWC = pad_to_tiles(x, self.multiple).permute(0, 2, 3, 1)
        (w1, w2), (b1, b2) = self.qkv.weight.chunk(2), self.qkv.bias.chunk(2)
        near = self.windows(linear_in_float32(x_BHWC, w1, b1))
        means = pooled(x_BHWC, self.stripes.layout.anchor_factor)
        anchors = linear_in_float32(means, self.anchor.weight, self.anchor.bias)
        far = self.stripes(linear_in_float32(x_BHWC, w2, b2), anchors)
        return near.to(x.dtype)[:, :H, :W], far.to(x.dtype)[:, :H, :W]

    def join(self, near: Tensor, far: Tensor) -> Tensor:
        """Project the branches, (B, H, W, C); of each pixel, so that a picture may be joined part by part."""
        weight_near, weight_far = self.project.weight.chunk(2, dim=1)
        return pixel_product(near, weight_near, self.project.bias) + pixel_product(far, weight_far)
