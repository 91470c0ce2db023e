"""Window attention with cosine scores and a continuous position bias."""

from torch import Tensor, nn

from pellucid.layers.continuous_position_bias import ContinuousPositionBias
from pellucid.layers.tile_padding import pad_to_tiles
from pellucid.ops.precision import linear_in_float32
from pellucid.ops.tile_attention import tile_attention


class WindowHeads(nn.Module):
    """What window attention does between its projections: (B, H, W, 3C) of q, k and v → (B, H, W, C).

    H and W are multiples of the window.
    """

    def __init__(self, heads: int, window_size: int, shifted: bool) -> None:
        super().__init__()
        self.window = (window_size, window_size)
        self.shift = (window_size // 2, window_size // 2) if shifted else (0, 0)
        self.position = ContinuousPositionBias(heads)

    def forward(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.chunk(3, dim=-1)
        table = self.position(self.window, self.window)
        tau = self.position.temperature
        return tile_attention(q, k, v, tau, table, self.window, self.window, self.shift, self.shift)


class WindowAttention(nn.Module):
    """Attention inside square windows, by the cosine of queries and keys.

    Swin Transformer V2 (Liu et al., CVPR 2022) as GRL (Li et al., CVPR 2023) uses it, section 3.2:

        q, k, v = Linear(x);   out = softmax(e^min(τ, ln 100) · q̂k̂ᵀ + β + M) v   in each window

    with β the continuous position bias and M = −100 between pixels that only the shift has joined. The output is not
    projected: GRL projects it together with that of the stripes, see `MixedAttention`.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1, padded inside to whole windows by reflection
            (by zeros where it is too small for that) and cropped back.
        heads: number of heads; must divide C.
        window_size: height and width of a window.
        shifted: roll the picture by half a window before it is cut.

    Raises:
        ValueError: the heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int, window_size: int = 8, shifted: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        self.qkv = nn.Linear(channels, 3 * channels)
        self.heads = WindowHeads(heads, window_size, shifted)

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        x_BHWC = pad_to_tiles(x, self.heads.window[0]).permute(0, 2, 3, 1)
        qkv = linear_in_float32(x_BHWC, self.qkv.weight, self.qkv.bias)
        return self.heads(qkv).to(x.dtype).permute(0, 3, 1, 2)[..., :H, :W]
