"""Gated-Dconv feed-forward network."""

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.row_stripes import map_rows, worth_striping


class GDFN(nn.Module):
    """Feed-forward layer in which one half of the channels gates the other, each mixed locally.

    Restormer (Zamir et al., CVPR 2022), section 3.2; the authors' class is `FeedForward`:

        t₁, t₂ = dw3×3(1×1(x));   out = 1×1(GELU(t₁) ⊙ t₂)

    with the exact GELU, ½ x (1 + erf(x / √2)).

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        hidden: width of each half; Restormer uses ⌊2.66 · C⌋.
        bias: whether the three convolutions have biases.
    """

    def __init__(self, channels: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if worth_striping(x, self.expand.weight):
            return map_rows(self._gate, x, widest=self.project.in_channels, reach=1)
        return self._gate(x)

    def _gate(self, x: Tensor) -> Tensor:
        (w1, w2), (b1, b2) = _halves(self.expand)
        t1, t2 = (F.conv2d(x, w, b).permute(0, 2, 3, 1) for w, b in ((w1, b1), (w2, b2)))
        (w1, w2), (b1, b2) = _halves(self.depthwise)
        return self.project(gated_depthwise(t1, t2, w1, w2, b1, b2).permute(0, 3, 1, 2))


def _halves(convolution: nn.Conv2d) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Split weight and bias by output channel, so that each half of the features lies contiguous in memory."""
    bias = (None, None) if convolution.bias is None else convolution.bias.chunk(2)
    return convolution.weight.chunk(2), bias
