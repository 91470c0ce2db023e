"""Multi-Dconv head transposed attention."""

import torch
from torch import Tensor, nn

from pellucid.ops.channel_attention import apply_matrix, channel_attention, folded_matrix, gram_statistics
from pellucid.ops.row_stripes import row_stripes, worth_striping


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
        if worth_striping(y, self.temperature):
            return self._forward_in_stripes(y)
        q, k, v = self._queries_keys_values(y)
        return channel_attention(q, k, v, self.temperature, self._projection, self.project.bias).permute(0, 3, 1, 2)

    @property
    def _projection(self) -> Tensor:
        return self.project.weight.flatten(1)

    def _queries_keys_values(self, y: Tensor) -> tuple[Tensor, ...]:
        """Map (B, C, H, W) to q, k, v, each (B, H, W, C)."""
        return self.depthwise(self.qkv(y)).permute(0, 2, 3, 1).chunk(3, dim=-1)

    def _forward_in_stripes(self, y: Tensor) -> Tensor:
        """The same equation in two passes over stripes of rows: sum the statistics, then multiply v."""
        B, C, H, W = y.shape
        stripes = list(row_stripes(H, B * W * 3 * C, reach=1))
        v, parts = y.new_empty(B, H, W, C), []
        for stripe in stripes:
            q, k, values = (t[:, stripe.wanted] for t in self._queries_keys_values(y[:, :, stripe.read]))
            parts.append(gram_statistics(q, k, self.temperature.numel()))
            v[:, stripe.rows] = values
        total = parts[0]
        for part in parts[1:]:
            total = total.plus(part)
        matrix = folded_matrix(total, self.temperature, self._projection)
        for stripe in stripes:
            v[:, stripe.rows] = apply_matrix(matrix, v[:, stripe.rows], self.project.bias)
        return v.permute(0, 3, 1, 2)
