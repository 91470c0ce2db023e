"""Attention from every pixel to the pixels of a pooled picture."""

from torch import Tensor

from pellucid.ops.pooled_attention import fast

__all__ = ["pooled_attention"]


def pooled_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Compute softmax(d^−½ Q Kᵀ) V for each head, with d = n / heads.

    CloFormer (Fan et al., 2023), section 3.2, the global branch.

    Args:
        q: (B, H, W, n).
        k, v: (B, h, w, n) each, of any h and w.
        heads: head i owns channels [i·d, (i+1)·d).

    Returns:
        (B, H, W, n)

    Raises:
        ValueError: shapes disagree, or the heads do not divide n.
    """
    B, _, _, n = q.shape
    if k.ndim != 4 or k.shape != v.shape or (k.shape[0], k.shape[-1]) != (B, n):
        raise ValueError(f"k and v must share one ({B}, h, w, {n}) shape, not {tuple(k.shape)}, {tuple(v.shape)}")
    if heads < 1 or n % heads:
        raise ValueError(f"{heads} heads must divide {n} channels")
    return fast.pooled_attention(q, k, v, heads)
