"""Bias-free layer normalisation, written as the equation."""

from torch import Tensor


def bias_free_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """y = γ x / √(σ² + ε). The mean is taken out of the variance, not out of x."""
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return x * (variance + epsilon).rsqrt() * weight
