"""Gated depth-wise convolution: one half of the channels, activated, gates the other, each mixed locally."""

from torch import Tensor

from pellucid.ops.gated_depthwise import fast, reference

__all__ = ["activated_depthwise", "gated_depthwise", "times_depthwise"]


def gated_depthwise(
    t1: Tensor,
    t2: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    bias1: Tensor | None = None,
    bias2: Tensor | None = None,
) -> Tensor:
    """Compute GELU(dw3×3(t₁)) ⊙ dw3×3(t₂), with zero padding.

    Restormer (Zamir et al., CVPR 2022), equation 2.

    Args:
        t1, t2: (B, H, W, C) each.
        weight1, weight2: (C, 1, 3, 3) each.
        bias1, bias2: (C,) or None.

    Returns:
        (B, H, W, C)

    Raises:
        ValueError: shapes disagree.
    """
    C = t1.shape[-1]
    if t1.ndim != 4 or t1.shape != t2.shape:
        raise ValueError(f"t1 and t2 must share one (B, H, W, C) shape, not {tuple(t1.shape)}, {tuple(t2.shape)}")
    if weight1.shape != (C, 1, 3, 3) or weight2.shape != (C, 1, 3, 3):
        raise ValueError(f"weights must be ({C}, 1, 3, 3), not {tuple(weight1.shape)}, {tuple(weight2.shape)}")
    arguments = (t1, t2, weight1, weight2, bias1, bias2)
    return (reference if fast.why_not(*arguments) else fast).gated_depthwise(*arguments)


def activated_depthwise(t: Tensor, weight: Tensor, bias: Tensor | None, *, padded: bool = True) -> Tensor:
    """Compute its first half, GELU(dw3×3(t)), so that t₁ need not be there when t₂ is made; shapes as there.

    Unless `padded`, no zeros lie above and below t, and the result has two rows less.
    """
    return (reference if fast.why_not(t, weight, bias) else fast).activated_depthwise(t, weight, bias, padded)


def times_depthwise(a: Tensor, t: Tensor, weight: Tensor, bias: Tensor | None, *, padded: bool = True) -> Tensor:
    """Compute its second half, a ⊙ dw3×3(t)."""
    return (reference if fast.why_not(a, t, weight, bias) else fast).times_depthwise(a, t, weight, bias, padded)
