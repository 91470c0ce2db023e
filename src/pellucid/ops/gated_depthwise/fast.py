"""Gated depth-wise convolution with the activation fused into the first convolution and the gate applied in place.

    a = gelu∘dw(t₁),   out = a ⊙ dw(t₂)

With groups, torch multiplies after the second convolution instead of inside it.
"""

from torch import Tensor

from pellucid.ops.onednn import convolution, convolution_times, why_not

__all__ = ["activated_depthwise", "gated_depthwise", "times_depthwise", "why_not"]


def activated_depthwise(t: Tensor, weight: Tensor, bias: Tensor | None, padded: bool = True) -> Tensor:
    """Same values as the reference."""
    return convolution(t.permute(0, 3, 1, 2), weight, bias, "gelu", padded).permute(0, 2, 3, 1)


def times_depthwise(a: Tensor, t: Tensor, weight: Tensor, bias: Tensor | None, padded: bool = True) -> Tensor:
    """Same values as the reference."""
    a, t = a.permute(0, 3, 1, 2), t.permute(0, 3, 1, 2)
    return convolution_times(t, weight, bias, a, padded).permute(0, 2, 3, 1)


def gated_depthwise(
    t1: Tensor, t2: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """Same values as the reference."""
    return times_depthwise(activated_depthwise(t1, weight1, bias1), t2, weight2, bias2)
