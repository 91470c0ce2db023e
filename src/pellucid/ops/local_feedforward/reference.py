"""A feed-forward layer of two 3×3 convolutions and its residual, written as the equation."""

from torch import Tensor
from torch.nn import functional as F


def local_feedforward(
    x: Tensor, y: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """x + W₂ ∗ GELU(W₁ ∗ y + b₁) + b₂, with zero padding, and GELU ½ z (1 + erf(z / √2))."""
    hidden = F.gelu(F.conv2d(y.permute(0, 3, 1, 2), weight1, bias1, padding=1))
    return F.conv2d(hidden, weight2, bias2, padding=1).permute(0, 2, 3, 1).add_(x)
