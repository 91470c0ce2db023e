"""Layer normalisation whose numerator keeps the mean (Restormer's and TBSN's "BiasFree" variant)."""

import torch
from torch import Tensor

from pellucid.ops.bias_free_norm import fast, reference

__all__ = ["bias_free_norm"]


def bias_free_norm(x: Tensor, weight: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Scale each pixel by γ / √(σ² + ε), with σ² the variance over channels about their mean.

    Args:
        x: (..., C).
        weight: γ, (C,).
        epsilon: added to the variance, inside the root.

    Returns:
        The shape of x.

    Raises:
        ValueError: the last axis of x is not as long as the weight.
    """
    if weight.ndim != 1 or x.shape[-1] != weight.shape[0]:
        raise ValueError(f"weight must be ({x.shape[-1]},), not {tuple(weight.shape)}")
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        # The fast path reads the inverse deviation from an operator that gives no gradient for it.
        return reference.bias_free_norm(x, weight, epsilon)
    return fast.bias_free_norm(x, weight, epsilon)
