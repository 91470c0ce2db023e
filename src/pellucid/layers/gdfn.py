"""Gated-Dconv feed-forward network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.gated_depthwise import activated_depthwise, gated_depthwise, times_depthwise
from pellucid.ops.pixel_product import PixelMap
from pellucid.ops.row_stripes import RowStripe, row_stripes, worth_striping

_VECTOR = 16  # float32 values in the widest register that processors have
_MANY_PIXELS = 2**10  # of which the arithmetic outweighs a copy of the weights


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
        if not worth_striping(x, *self.parameters()):
            return self._gate(x)
        B, _, H, W = x.shape
        kernel = GDFNKernel.of(self, pixels=B * H * W)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        for stripe in row_stripes(H, B * W * kernel.width, reach=1):
            out[:, :, stripe.rows] = kernel(x[:, :, stripe.read], stripe)
        return out

    def _gate(self, x: Tensor) -> Tensor:
        (w1, w2), (b1, b2) = _halves(self.expand)
        t1, t2 = (F.conv2d(x, w, b).permute(0, 2, 3, 1) for w, b in ((w1, b1), (w2, b2)))
        (w1, w2), (b1, b2) = _halves(self.depthwise)
        return self.project(gated_depthwise(t1, t2, w1, w2, b1, b2).permute(0, 3, 1, 2))


class GDFNKernel(NamedTuple):
    """Weights of a layer by halves, t₁'s and t₂'s, for going through a picture in stripes; no gradient then.

    Hidden channels that are zero throughout change nothing, GELU(0) · 0 = 0, so their number may be rounded up to whole
    registers: rows of pixels are then aligned, which the products and convolutions repay.
    """

    width: int  # channels of the widest intermediate
    expand: tuple[PixelMap, ...]
    depthwise: tuple[Tensor, ...]
    depthwise_bias: tuple[Tensor | None, ...]
    project: PixelMap

    @classmethod
    def of(cls, layer: GDFN, *, pixels: int) -> "GDFNKernel":
        hidden = layer.project.in_channels
        extra = -hidden % _VECTOR if pixels >= _MANY_PIXELS else 0

        def halves(t: Tensor) -> tuple[Tensor, ...]:
            return tuple(F.pad(half, (*[0] * (2 * half.ndim - 1), extra)) if extra else half for half in t.chunk(2))

        def bias_halves(convolution: nn.Conv2d) -> tuple[Tensor | None, ...]:
            return (None, None) if convolution.bias is None else halves(convolution.bias)

        expand = zip(halves(layer.expand.weight.flatten(1)), bias_halves(layer.expand), strict=True)
        return cls(
            hidden + extra,
            tuple(PixelMap(*half) for half in expand),
            halves(layer.depthwise.weight),
            bias_halves(layer.depthwise),
            PixelMap(F.pad(layer.project.weight.flatten(1), (0, extra)), layer.project.bias),
        )

    def __call__(self, y: Tensor, stripe: RowStripe) -> Tensor:
        """Compute the layer's output, (B, C, h, W), of the rows y that the stripe reads, one further on either side."""
        first, second = self.expand
        (w1, w2), (b1, b2), padded = self.depthwise, self.depthwise_bias, not stripe.inside
        gate = activated_depthwise(first(y).permute(0, 2, 3, 1), w1, b1, padded=padded)
        gated = times_depthwise(gate, second(y).permute(0, 2, 3, 1), w2, b2, padded=padded)
        return self.project(gated[:, stripe.convolved].permute(0, 3, 1, 2))


def _halves(convolution: nn.Conv2d) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Split weight and bias by output channel, so that each half of the features lies contiguous in memory."""
    bias = (None, None) if convolution.bias is None else convolution.bias.chunk(2)
    return convolution.weight.chunk(2), bias
