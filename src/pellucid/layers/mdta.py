"""Multi-Dconv head transposed attention."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from pellucid.ops.channel_attention import GramStatistics, apply_matrix, folded_matrix, gram_statistics
from pellucid.ops.local_projection import thirds
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
        kernel = MDTAKernel(self)
        if not worth_striping(y, *self.parameters()):
            whole = whole_picture(y.shape[2])
            return kernel.attended(y, whole, kernel.matrix(y, [whole]))
        matrix = kernel.matrix(y)
        out = torch.empty_like(y, memory_format=torch.channels_last)
        for stripe in _stripes(y):
            out[:, :, stripe.rows] = kernel.attended(y, stripe, matrix)
        return out


class MDTAKernel:
    """A layer's weights, arranged for going through a picture, (B, C, H, W), in stripes."""

    def __init__(self, layer: MDTA) -> None:
        qkv, depthwise = layer.qkv, layer.depthwise
        self._query, self._key, self._value = thirds(qkv.weight, qkv.bias, depthwise.weight, depthwise.bias)
        self._temperature, self._project = layer.temperature, layer.project

    def matrix(self, y: Tensor, stripes: Iterable[RowStripe] | None = None) -> Tensor:
        """Return P · softmax(τ · q̂ᵀk̂), (B, C, C), summed over stripes; by default some that hold no gradient."""
        parts = [self._statistics(y, stripe) for stripe in stripes or _stripes(y)]
        return folded_matrix(GramStatistics.total(parts), self._temperature, self._project.weight.flatten(1))

    def attended(self, y: Tensor, stripe: RowStripe, matrix: Tensor) -> Tensor:
        """Multiply the values of a stripe, which reaches one row further, by the picture's matrix: (B, C, h, W)."""
        return apply_matrix(matrix, self._value(y, stripe), self._project.bias).permute(0, 3, 1, 2)

    def _statistics(self, y: Tensor, stripe: RowStripe) -> GramStatistics:
        q, k = self._query(y, stripe), self._key(y, stripe)
        return gram_statistics(q, k, self._temperature.numel(), overwrite=not (q.requires_grad or k.requires_grad))


def _stripes(y: Tensor) -> Iterator[RowStripe]:
    B, C, H, W = y.shape
    return row_stripes(H, B * W * 2 * C, reach=1)
