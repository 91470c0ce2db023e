"""Multi-Dconv head transposed attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, joint_gram_statistics
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
        return self._attend(y, None)

    def residual(self, x: Tensor, norm: nn.Module) -> Tensor:
        """Compute x + MDTA(norm(x)), normalised stripe by stripe; the norm must work on each pixel alone."""
        return self._attend(x, norm).add_(x)

    def _attend(self, y: Tensor, norm: nn.Module | None) -> Tensor:
        statistics, values = self._survey(y, norm)
        matrix = folded_matrix(statistics, self.temperature, self.project.weight.flatten(1))
        return apply_matrix(matrix, values, self.project.bias).permute(0, 3, 1, 2)

    def _survey(self, y: Tensor, norm: nn.Module | None) -> tuple[GramStatistics, Tensor]:
        """Sum over queries and keys, and collect values, (B, H, W, C), in stripes where that is possible."""
        B, C, H, W = y.shape
        stripes = list(row_stripes(H, B * W * C, reach=1)) if worth_striping(y, *self.parameters()) else []
        if len(stripes) <= 2:  # two would spare little; values then take the memory that queries and keys have left
            y = y if norm is None else norm(y)
            return self._statistics(self._mixed(y, slice(0, 2 * C))), self._mixed(y, slice(2 * C, 3 * C))
        values = y.new_empty(B, H, W, C)
        parts = [self._survey_stripe(y, norm, stripe, values[:, stripe.rows]) for stripe in stripes]
        return GramStatistics.total(parts), values

    def _survey_stripe(self, y: Tensor, norm: nn.Module | None, stripe: RowStripe, values: Tensor) -> GramStatistics:
        y = y[:, :, stripe.read]
        qkv = self._mixed(y if norm is None else norm(y), slice(0, 3 * y.shape[1]))[:, stripe.wanted]
        values.copy_(qkv[..., 2 * y.shape[1] :])
        return self._statistics(qkv[..., : 2 * y.shape[1]])

    def _statistics(self, qk: Tensor) -> GramStatistics:
        return joint_gram_statistics(qk, self.temperature.numel(), overwrite=not qk.requires_grad)

    def _mixed(self, y: Tensor, rows: slice) -> Tensor:
        """Compute some of the channels of dw3×3(1×1(y)), as (B, H, W, channels)."""
        qkv_bias = None if self.qkv.bias is None else self.qkv.bias[rows]
        depthwise_bias = None if self.depthwise.bias is None else self.depthwise.bias[rows]
        t = F.conv2d(y, self.qkv.weight[rows], qkv_bias)
        t = F.conv2d(t, self.depthwise.weight[rows], depthwise_bias, padding=1, groups=t.shape[1])
        return t.permute(0, 2, 3, 1)
