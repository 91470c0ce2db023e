"""Gated-Dconv feed-forward network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.pixel_product import pixel_product, why_not
from pellucid.ops.row_stripes import RowStripe, row_stripes, worth_striping

_VECTOR = 16  # float32 values in the widest register that processors have
_MANY_PIXELS = 2**13  # of which the arithmetic outweighs a copy of the weights


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
        return self._in_stripes(x, None) if self._records_nothing(x, self) else self._gate(x)

    def residual(self, x: Tensor, norm: nn.Module) -> Tensor:
        """Compute x + GDFN(norm(x)), normalised and added stripe by stripe; the norm must work on each pixel alone."""
        return self._in_stripes(x, norm) if self._records_nothing(x, self, norm) else self._gate(norm(x)).add_(x)

    def _records_nothing(self, x: Tensor, *modules: nn.Module) -> bool:
        """Whether rows of the result may be written into memory that is there already."""
        parameters = (parameter for module in modules for parameter in module.parameters())
        return worth_striping(x, *parameters) and why_not(x, self.expand.weight) is None

    def _gate(self, x: Tensor) -> Tensor:
        (w1, w2), (b1, b2) = _halves(self.expand)
        t1, t2 = (F.conv2d(x, w, b).permute(0, 2, 3, 1) for w, b in ((w1, b1), (w2, b2)))
        (w1, w2), (b1, b2) = _halves(self.depthwise)
        return self.project(gated_depthwise(t1, t2, w1, w2, b1, b2).permute(0, 3, 1, 2))

    def _in_stripes(self, x: Tensor, norm: nn.Module | None) -> Tensor:
        B, _, H, W = x.shape
        weights = _StripeWeights.of(self, pixels=B * H * W)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        per_row = W * weights.project.shape[1]
        together = B if len(list(row_stripes(H, B * per_row, reach=1))) == 1 else 1  # a batch's rows do not adjoin
        for first in range(0, B, together):
            pictures = slice(first, first + together)
            for stripe in row_stripes(H, together * per_row, reach=1):
                weights.gate(x[pictures], norm, stripe, out[pictures])
        return out


class _StripeWeights(NamedTuple):
    """Weights of a layer by halves: t₁'s and t₂'s.

    Hidden channels that are zero throughout change nothing, GELU(0) · 0 = 0, so their number may be rounded up to whole
    registers: rows of pixels are then aligned, which the products and convolutions repay.
    """

    expand: tuple[Tensor, ...]
    expand_bias: tuple[Tensor | None, ...]
    depthwise: tuple[Tensor, ...]
    depthwise_bias: tuple[Tensor | None, ...]
    project: Tensor
    project_bias: Tensor | None

    @classmethod
    def of(cls, layer: GDFN, *, pixels: int) -> "_StripeWeights":
        hidden = layer.project.in_channels
        extra = -hidden % _VECTOR if pixels >= _MANY_PIXELS else 0

        def halves(t: Tensor) -> tuple[Tensor, ...]:
            return tuple(F.pad(half, (*[0] * (2 * half.ndim - 1), extra)) if extra else half for half in t.chunk(2))

        def bias_halves(convolution: nn.Conv2d) -> tuple[Tensor | None, ...]:
            return (None, None) if convolution.bias is None else halves(convolution.bias)

        return cls(
            halves(layer.expand.weight.flatten(1)),
            bias_halves(layer.expand),
            halves(layer.depthwise.weight),
            bias_halves(layer.depthwise),
            F.pad(layer.project.weight.flatten(1), (0, extra)),
            layer.project.bias,
        )

    def gate(self, x: Tensor, norm: nn.Module | None, stripe: RowStripe, out: Tensor) -> None:
        """Compute some rows of GDFN(x), or of x + GDFN(norm(x)) if there is a norm."""
        read, rows = x[:, :, stripe.read], out[:, :, stripe.rows]
        y = (read if norm is None else norm(read)).permute(0, 2, 3, 1)
        t1, t2 = (pixel_product(y, w, b) for w, b in zip(self.expand, self.expand_bias, strict=True))
        gated = gated_depthwise(t1, t2, *self.depthwise, *self.depthwise_bias)[:, stripe.wanted]
        pixel_product(gated, self.project, self.project_bias, out=rows.permute(0, 2, 3, 1))
        if norm is not None:
            rows.add_(read[:, :, stripe.wanted])


def _halves(convolution: nn.Conv2d) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Split weight and bias by output channel, so that each half of the features lies contiguous in memory."""
    bias = (None, None) if convolution.bias is None else convolution.bias.chunk(2)
    return convolution.weight.chunk(2), bias
