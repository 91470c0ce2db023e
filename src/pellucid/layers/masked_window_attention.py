"""Masked window self-attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.lattices import group_lattices, join_lattices, split_lattices
from pellucid.ops.masked_window_attention import check_blind_spot, lattice_window_attention


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
        H, W = x.shape[-2:]
        qkv = self._bordered_projection(x, self.window, self.reach)
        y = join_lattices(self._attend(split_lattices(qkv), self.reach // 2))
        return self.project(y.permute(0, 3, 1, 2)[..., :H, :W])

    def on_lattices(self, x: Tensor) -> Tensor:
        """Compute the same of lattices, (4B, C, h, w), as `to_lattices` stacks them."""
        h, w = x.shape[-2:]
        qkv = self._bordered_projection(x, self.window // 2, self.reach // 2)
        y = self._attend(group_lattices(qkv), self.reach // 2).flatten(0, 2)
        return self.project(y.permute(0, 3, 1, 2)[..., :h, :w])

    def _attend(self, qkv: Tensor, border: int) -> Tensor:
        """Attend on lattices (B, 2, 2, h, w, 3hd) that have a border."""
        inner = self.project.in_channels
        rows, columns = (slice(border, side - border) for side in qkv.shape[3:5])
        q, kv = qkv[:, :, :, rows, columns, :inner], qkv[..., inner:]
        return lattice_window_attention(q, kv, self.height, self.width)

    def _bordered_projection(self, x: Tensor, multiple: int, border: int) -> Tensor:
        """Return q, k, v as (B, H, W, 3hd), padded to a multiple of the window and then with a border of zeros."""
        H, W = x.shape[-2:]
        bottom, right = -H % multiple, -W % multiple
        if self.qkv.bias is not None:
            t = F.pad(self.qkv(x), (border, right + border, border, bottom + border))
        else:  # zeros project to zeros, and the convolution pads without a copy
            x = F.pad(x, (0, right, 0, bottom)) if bottom or right else x
            t = F.conv2d(x, self.qkv.weight, padding=border)
        return t.permute(0, 2, 3, 1)
