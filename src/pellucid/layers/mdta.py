"""Multi-Dconv head transposed attention."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, joint_gram_statistics
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.row_stripes import RowStripe, row_stripes, worth_striping


class MDTA(nn.Module):
    """Attention between channels, with queries, keys and values mixed locally by a depth-wise convolution.

    Restormer (Zamir et al., CVPR 2022), section 3.1; the authors' class is `Attention`:

        q, k, v = dw3×3(1×1(y));   out = P · softmax(τ · q̂ᵀk̂) · v

    with q̂, k̂ normalised over all pixels of the picture. The cost is linear in the number of pixels.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        heads: number of heads; must divide C.
        bias: whether the three convolutions have biases.

    Raises:
        ValueError: the heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=bias)
        self.project = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, y: Tensor) -> Tensor:
        if not worth_striping(y, *self.parameters()):
            qk, v = (self._mixed(y, part) for part in (self._queries_and_keys, self._values))
            return self._attended(v, self._folded(self._statistics(qk)))
        matrix = self.matrix(y)
        out = torch.empty_like(y, memory_format=torch.channels_last)
        for stripe in self._stripes(y):
            out[:, :, stripe.rows] = self.attend(y[:, :, stripe.read], matrix)[:, :, stripe.wanted]
        return out

    def matrix(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Return P · softmax(τ · q̂ᵀk̂), (B, C, C), of norm(x), in stripes that hold no gradient.

        The norm must work on each pixel alone.
        """
        parts: list[GramStatistics] = []
        for stripe in self._stripes(x):
            y = x[:, :, stripe.read]
            qk = self._mixed(y if norm is None else norm(y), self._queries_and_keys)
            parts.append(self._statistics(qk[:, stripe.wanted]))
        return self._folded(GramStatistics.total(parts))

    def attend(self, y: Tensor, matrix: Tensor) -> Tensor:
        """Multiply the values of some rows of a picture by its matrix; the first and the last lack a neighbour."""
        return self._attended(self._mixed(y, self._values), matrix)

    def _attended(self, v: Tensor, matrix: Tensor) -> Tensor:
        return apply_matrix(matrix, v, self.project.bias).permute(0, 3, 1, 2)

    def _folded(self, statistics: GramStatistics) -> Tensor:
        return folded_matrix(statistics, self.temperature, self.project.weight.flatten(1))

    def _stripes(self, y: Tensor) -> Iterator[RowStripe]:
        B, C, H, W = y.shape
        return row_stripes(H, B * W * 2 * C, reach=1)

    def _statistics(self, qk: Tensor) -> GramStatistics:
        return joint_gram_statistics(qk, self.temperature.numel(), overwrite=not qk.requires_grad)

    @property
    def _queries_and_keys(self) -> slice:
        return slice(0, 2 * self.project.in_channels)

    @property
    def _values(self) -> slice:
        return slice(2 * self.project.in_channels, 3 * self.project.in_channels)

    def _mixed(self, y: Tensor, rows: slice) -> Tensor:
        """Compute some of the channels of dw3×3(1×1(y)), as (B, H, W, channels)."""
        qkv_bias = None if self.qkv.bias is None else self.qkv.bias[rows]
        depthwise_bias = None if self.depthwise.bias is None else self.depthwise.bias[rows]
        t = pixel_product(y.permute(0, 2, 3, 1), self.qkv.weight[rows].flatten(1), qkv_bias).permute(0, 3, 1, 2)
        t = F.conv2d(t, self.depthwise.weight[rows], depthwise_bias, padding=1, groups=t.shape[1])
        return t.permute(0, 2, 3, 1)
