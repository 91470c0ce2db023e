"""Grouped channel-wise self-attention."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, gram_statistics
from pellucid.ops.local_projection import thirds
from pellucid.ops.row_stripes import RowStripe, row_stripes, whole_picture, worth_striping


class GroupedChannelAttention(nn.Module):
    """Attention between the channels of each group, mixed locally by a depth-wise convolution of dilation 2 (G-CSA).

    TBSN (Li et al., AAAI 2025); the authors' class is `DilatedMDTA`:

        q, k, v = dw3×3(1×1(y)), dilation 2;   out = P · softmax(τ · q̂ᵀk̂) · v    for each group of channels

    with q̂, k̂ normalised over all pixels of the picture. The convolutions keep to a pixel's parity class, but the
    attention matrix is a sum over all pixels. Groups keep the matrix small against the number of pixels, so that it
    carries little of any one of them.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        groups: number of groups, each with its own head; must divide C.
        bias: whether the three convolutions have biases.

    Raises:
        ValueError: the groups do not divide the channels.
    """

    def __init__(self, channels: int, groups: int, bias: bool = False) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"{groups} groups do not divide {channels} channels")
        self.temperature = nn.Parameter(torch.ones(groups, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=2, dilation=2, groups=3 * channels, bias=bias)
        self.project = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, y: Tensor) -> Tensor:
        return self._attend(y, lattices=1)

    def on_lattices(self, y: Tensor) -> Tensor:
        """Compute the same of lattices, (4B, C, h, w), as `to_lattices` stacks them: one matrix for each four."""
        return self._attend(y, lattices=4)

    def _attend(self, y: Tensor, lattices: int) -> Tensor:
        """Attend in pictures that are given as so many lattices each: 1, the picture itself, or 4."""
        dilation = 1 if lattices == 4 else 2
        weights = (self.qkv.weight, self.qkv.bias, self.depthwise.weight, self.depthwise.bias)
        query, key, value = thirds(*weights, dilation=dilation)

        def statistics(stripe: RowStripe) -> GramStatistics:
            q, k = query(y, stripe), key(y, stripe)
            return gram_statistics(q, k, self.temperature.numel(), overwrite=not (q.requires_grad or k.requires_grad))

        of_lattices = GramStatistics.total([statistics(stripe) for stripe in self._stripes(y, dilation)])
        of_pictures = GramStatistics(*(t.view(-1, lattices, *t.shape[1:]).sum(1) for t in of_lattices))
        matrix = folded_matrix(of_pictures, self.temperature, self.project.weight.flatten(1))
        v = value(y, whole_picture(y.shape[2]))
        B, h, w, C = v.shape
        of_picture = v.reshape(B // lattices, lattices * h, w, C)  # one lattice below another: pixels in any order
        return apply_matrix(matrix, of_picture, self.project.bias).reshape(B, h, w, C).permute(0, 3, 1, 2)

    def _stripes(self, y: Tensor, dilation: int) -> Iterable[RowStripe]:
        """Stripes in which queries and keys are summed, so that they are never held whole."""
        B, C, H, W = y.shape
        if worth_striping(y, self.temperature):
            return row_stripes(H, B * W * 2 * C, reach=dilation)
        return [whole_picture(H)]
