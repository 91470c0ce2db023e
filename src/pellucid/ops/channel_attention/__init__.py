"""Transposed (channel) attention: C × C maps from sums over all pixels, at a cost linear in the number of pixels."""

from torch import Tensor

from pellucid.ops.channel_attention import fast
from pellucid.ops.channel_attention.fast import (
    GramStatistics,
    apply_matrix,
    folded_matrix,
    gram_statistics,
)

__all__ = [
    "GramStatistics",
    "apply_matrix",
    "channel_attention",
    "folded_matrix",
    "gram_statistics",
]


def channel_attention(
    q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, projection: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Attend between channels and project: P · softmax(τ · q̂ᵀk̂) · v + bias.

    Restormer (Zamir et al., CVPR 2022), equation 1, with q̂ and k̂ normalised over the pixels and the temperature
    multiplied, as the released weights were trained.

    Args:
        q, k, v: (B, H, W, C) each.
        temperature: h values, one per head; head i owns channels [i·C/h, (i+1)·C/h).
        projection: (C_out, C).
        bias: (C_out,) or None.

    Returns:
        (B, H, W, C_out)

    Raises:
        ValueError: shapes disagree, or the heads do not divide C.
    """
    C = q.shape[-1]
    if q.ndim != 4 or q.shape != k.shape or q.shape != v.shape:
        raise ValueError(f"q, k and v must share one (B, H, W, C) shape, not {q.shape}, {k.shape}, {v.shape}")
    if C % temperature.numel():
        raise ValueError(f"{temperature.numel()} heads do not divide {C} channels")
    if projection.ndim != 2 or projection.shape[1] != C:
        raise ValueError(f"projection must be (C_out, {C}), not {tuple(projection.shape)}")
    return fast.channel_attention(q, k, v, temperature, projection, bias)
