"""Gated depth-wise convolution, written as the equation."""

from torch import Tensor
from torch.nn import functional as F


def activated_depthwise(t: Tensor, weight: Tensor, bias: Tensor | None, padded: bool = True) -> Tensor:
    """GELU(dw3×3(t)), with the exact GELU, ½ x (1 + erf(x / √2))."""
    return F.gelu(_depthwise(t, weight, bias, padded))


def times_depthwise(a: Tensor, t: Tensor, weight: Tensor, bias: Tensor | None, padded: bool = True) -> Tensor:
    """a ⊙ dw3×3(t)."""
    return a * _depthwise(t, weight, bias, padded)


def gated_depthwise(
    t1: Tensor, t2: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """GELU(dw3×3(t₁)) ⊙ dw3×3(t₂)."""
    return times_depthwise(activated_depthwise(t1, weight1, bias1), t2, weight2, bias2)


def _depthwise(t: Tensor, weight: Tensor, bias: Tensor | None, padded: bool) -> Tensor:
    padding = (int(padded), 1)
    return F.conv2d(t.permute(0, 3, 1, 2), weight, bias, padding=padding, groups=t.shape[-1]).permute(0, 2, 3, 1)
