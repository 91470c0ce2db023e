"""The feed-forward layer of TBSN, which mixes pixels and channels at once."""

from torch import Tensor

from pellucid.ops.local_feedforward import fast, reference

__all__ = ["local_feedforward"]


def local_feedforward(
    x: Tensor,
    y: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    bias1: Tensor | None = None,
    bias2: Tensor | None = None,
) -> Tensor:
    """Compute x + W₂ ∗ GELU(W₁ ∗ y + b₁) + b₂, two 3×3 convolutions with zero padding and the exact GELU.

    TBSN (Li et al., AAAI 2025), the feed-forward layers of a block, where y is LN(x).

    Args:
        x: what is added, (B, H, W, C_out).
        y: (B, H, W, C).
        weight1, weight2: W₁ and W₂, (D, C, 3, 3) and (C_out, D, 3, 3).
        bias1, bias2: (D,) and (C_out,), or None.

    Returns:
        (B, H, W, C_out)

    Raises:
        ValueError: shapes disagree.
    """
    D, out_channels = weight1.shape[0], weight2.shape[0]
    if y.ndim != 4 or x.shape != (*y.shape[:3], out_channels):
        raise ValueError(f"x must be y with {out_channels} channels, (B, H, W, C), not {(*x.shape,)} for {(*y.shape,)}")
    if weight1.shape != (D, y.shape[3], 3, 3) or weight2.shape != (out_channels, D, 3, 3):
        raise ValueError(
            f"weights must be (D, {y.shape[3]}, 3, 3) and (C_out, D, 3, 3), "
            f"not {tuple(weight1.shape)} and {tuple(weight2.shape)}"
        )
    arguments = (x, y, weight1, weight2, bias1, bias2)
    return (reference if fast.why_not(*arguments) else fast).local_feedforward(*arguments)
