"""Multi-Dconv head transposed attention."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, gram_statistics
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.row_stripes import RowStripe, depthwise_rows, row_stripes, whole_picture, worth_striping


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
            whole = whole_picture(y.shape[2])
            return self.attend(y, whole, self._folded(self._statistics(y, whole)))
        matrix = self.matrix(y)
        out = torch.empty_like(y, memory_format=torch.channels_last)
        for stripe in self._stripes(y):
            out[:, :, stripe.rows] = self.attend(y, stripe, matrix)
        return out

    def matrix(self, y: Tensor) -> Tensor:
        """Return P · softmax(τ · q̂ᵀk̂), (B, C, C), in stripes that hold no gradient."""
        return self._folded(GramStatistics.total([self._statistics(y, stripe) for stripe in self._stripes(y)]))

    def attend(self, y: Tensor, stripe: RowStripe, matrix: Tensor) -> Tensor:
        """Multiply the values of a stripe, which reaches one row further, by the picture's matrix: (B, C, h, W)."""
        return apply_matrix(matrix, self._mixed(y, 2, stripe), self.project.bias).permute(0, 3, 1, 2)

    def _folded(self, statistics: GramStatistics) -> Tensor:
        return folded_matrix(statistics, self.temperature, self.project.weight.flatten(1))

    def _stripes(self, y: Tensor) -> Iterator[RowStripe]:
        B, C, H, W = y.shape
        return row_stripes(H, B * W * 2 * C, reach=1)

    def _statistics(self, y: Tensor, stripe: RowStripe) -> GramStatistics:
        q, k = (self._mixed(y, third, stripe) for third in (0, 1))
        return gram_statistics(q, k, self.temperature.numel(), overwrite=not (q.requires_grad or k.requires_grad))

    def _mixed(self, y: Tensor, third: int, stripe: RowStripe) -> Tensor:
        """Compute q, k or v of a stripe: a third of the channels of dw3×3(1×1(y)), as (B, h, W, C)."""
        expand, depthwise = (
            (layer.weight.chunk(3)[third], None if layer.bias is None else layer.bias.chunk(3)[third])
            for layer in (self.qkv, self.depthwise)
        )
        t = pixel_product(y[:, :, stripe.read].permute(0, 2, 3, 1), expand[0].flatten(1), expand[1])
        return depthwise_rows(t.permute(0, 3, 1, 2), *depthwise, stripe).permute(0, 2, 3, 1)
