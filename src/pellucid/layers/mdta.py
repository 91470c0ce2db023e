"""Multi-Dconv head transposed attention."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, gram_statistics
from pellucid.ops.row_stripes import RowStripe, row_stripes, whole_picture, worth_striping


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
        statistics = GramStatistics.total([self._statistics(y, stripe) for stripe in self._stripes(y)])
        matrix = folded_matrix(statistics, self.temperature, self.project.weight.flatten(1))
        return apply_matrix(matrix, self._values(y), self.project.bias).permute(0, 3, 1, 2)

    def _stripes(self, y: Tensor) -> Iterable[RowStripe]:
        """Stripes in which queries and keys are summed, so that they are never held whole."""
        B, C, H, W = y.shape
        if worth_striping(y, self.temperature):
            return row_stripes(H, B * W * 2 * C, reach=1)
        return [whole_picture(H)]

    def _statistics(self, y: Tensor, stripe: RowStripe) -> GramStatistics:
        qk = self._mixed(y[:, :, stripe.read], slice(0, 2 * y.shape[1]))[:, stripe.wanted]
        q, k = qk.chunk(2, dim=-1)
        return gram_statistics(q, k, self.temperature.numel())

    def _values(self, y: Tensor) -> Tensor:
        return self._mixed(y, slice(2 * y.shape[1], 3 * y.shape[1]))

    def _mixed(self, y: Tensor, rows: slice) -> Tensor:
        """Compute some of the channels of dw3×3(1×1(y)), as (B, H, W, channels)."""
        qkv_bias = None if self.qkv.bias is None else self.qkv.bias[rows]
        depthwise_bias = None if self.depthwise.bias is None else self.depthwise.bias[rows]
        t = F.conv2d(y, self.qkv.weight[rows], qkv_bias)
        t = F.conv2d(t, self.depthwise.weight[rows], depthwise_bias, padding=1, groups=t.shape[1])
        return t.permute(0, 2, 3, 1)
