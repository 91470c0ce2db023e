"""Masked window self-attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.lattices import group_lattices, split_lattices
from pellucid.ops.masked_window_attention import check_blind_spot, lattice_window_attention
from pellucid.ops.row_stripes import row_stripes, worth_striping


class MaskedWindowAttention(nn.Module):
    """Attention of every window to the overlapping window around it, at even displacements only (M-WSA).

    TBSN (Li et al., AAAI 2025); the authors' class is `DilatedOCA`:

        q, k, v = 1×1(x);   s_ij = q_i · (k_j + H[j₁−i₁] + W[j₂−i₂]) / √d;   out = 1×1(softmax_j(s_ij) v_j)

    over the keys j whose displacement from query i is even in both directions. With an input in which no pixel has seen
    its own parity class, none has in the output. The picture is padded on the right and bottom to whole windows, and
    cropped back; keys outside it are zero.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        heads: number of heads.
        head_channels: d, channels of each head, whatever C is.
        window: side of the windows of queries.
        overlap: side o of the windows of keys, even and larger than `window` by a multiple of 4.
        bias: whether the two convolutions have biases.

    Raises:
        ValueError: with these windows the mask would leave odd displacements.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        head_channels: int = 16,
        window: int = 8,
        overlap: int = 12,
        bias: bool = False,
    ) -> None:
        super().__init__()
        check_blind_spot(window, overlap)
        self.window, self.reach = window, (overlap - window) // 2
        inner = heads * head_channels
        self.qkv = nn.Conv2d(channels, 3 * inner, 1, bias=bias)
        self.height = nn.Parameter(torch.randn(2 * overlap - 1, head_channels) * head_channels**-0.5)
        self.width = nn.Parameter(torch.randn(2 * overlap - 1, head_channels) * head_channels**-0.5)
        self.project = nn.Conv2d(inner, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._attend(x, split_lattices, self.window, self.reach)

    def on_lattices(self, x: Tensor) -> Tensor:
        """Compute the same of lattices, (4B, C, h, w), as `to_lattices` stacks them."""
        return self._attend(x, group_lattices, self.window // 2, self.reach // 2)

    def _attend(self, x: Tensor, lattices: Callable[[Tensor], Tensor], window: int, reach: int) -> Tensor:
        """Attend in every window of x, some rows of windows at a time.

        `lattices` views (B, H, W, C) as (B, 2, 2, h, w, C); window and reach are in pixels of x.
        """
        B, _, H, W = x.shape
        y = x.new_empty(B, H + -H % window, W + -W % window, self.project.in_channels)
        for rows in self._stripes(x, y.shape[1], window, reach):
            attended = self._attend_rows(x, rows, lattices, reach, reach - W + y.shape[2])
            lattices(y[:, rows]).view(attended.shape).copy_(attended)
        return self.project(y.permute(0, 3, 1, 2)[..., :H, :W])

    def _stripes(self, x: Tensor, height: int, window: int, reach: int) -> list[slice]:
        """Rows of whole windows, so few that the keys gathered for them stay in the cache."""
        if not worth_striping(x, *self.parameters()):
            return [slice(0, height)]
        B, _, _, W = x.shape
        gathered = B * W * self.qkv.out_channels * (window + 2 * reach) ** 2 // window**2  # values a row of pixels
        step = max(window, next(row_stripes(height, gathered, reach)).rows.stop // window * window)
        return [slice(start, min(start + step, height)) for start in range(0, height, step)]

    def _attend_rows(
        self, x: Tensor, rows: slice, lattices: Callable[[Tensor], Tensor], reach: int, right: int
    ) -> Tensor:
        """Attend in the windows of some rows; `right` is how far keys reach beyond the picture's right side."""
        inner, border = self.project.in_channels, self.reach // 2
        read = slice(max(rows.start - reach, 0), min(rows.stop + reach, x.shape[2]))
        top, bottom = read.start - rows.start + reach, rows.stop + reach - read.stop
        qkv = lattices(self._bordered_projection(x[:, :, read], (reach, right, top, bottom)))
        q = qkv[:, :, :, border : qkv.shape[3] - border, border : qkv.shape[4] - border, :inner]
        return lattice_window_attention(q, qkv[..., inner:], self.height, self.width)

    def _bordered_projection(self, x: Tensor, border: tuple[int, int, int, int]) -> Tensor:
        """Return q, k, v as (B, H, W, 3hd) with so many columns and rows of zeros left, right, above and below."""
        left, right, top, bottom = border
        if self.qkv.bias is None:  # zeros project to zeros, and the convolution pads without a copy
            t, border = F.conv2d(x, self.qkv.weight, padding=(0, left)), (0, right - left, top, bottom)
        else:
            t = self.qkv(x)
        return (F.pad(t, border) if any(border) else t).permute(0, 2, 3, 1)
