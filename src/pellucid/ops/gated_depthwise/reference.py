"""Gated depth-wise convolution, written as the equation."""

from torch import Tensor
from torch.nn import functional as F


def gated_depthwise(
    t1: Tensor, t2: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """GELU(dw3×3(t₁)) ⊙ dw3×3(t₂), with the exact GELU, ½ x (1 + erf(x / √2))."""
    C = t1.shape[-1]
    t1, t2 = t1.permute(0, 3, 1, 2), t2.permute(0, 3, 1, 2)
    activated = F.gelu(F.conv2d(t1, weight1, bias1, padding=1, groups=C))
    return (activated * F.conv2d(t2, weight2, bias2, padding=1, groups=C)).permute(0, 2, 3, 1)
