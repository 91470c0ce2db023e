"""Attention from the pixels of one picture to those of another, gated by a mask."""

from torch import Tensor

from pellucid.ops.cross_masked_attention import fast

__all__ = ["attention", "cross_masked_attention", "key_masked_attention"]


def cross_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int = 1) -> Tensor:
    """Compute M ⊙ (softmax(Q Kᵀ / √d) V): pixels outside the mask receive nothing.

    CAT-Net (Lin et al., MICCAI 2023), cross masked attention of the CMAT.

    Args:
        q: Q, (B, H, W, D); head i owns channels [i·D/h, (i+1)·D/h), and d = D/h.
        k: K, (B, H', W', D).
        v: V, (B, H', W', C).
        mask: M, (B, H, W, 1).
        heads: h; must divide D and C.

    Returns:
        (B, H, W, C)

    Raises:
        ValueError: shapes disagree, or the heads do not divide the channels.
    """
    _check(q, k, v, heads)
    if mask.shape != (*q.shape[:3], 1):
        raise ValueError(f"the mask must be {(*q.shape[:3], 1)}, not {tuple(mask.shape)}")
    return fast.cross_masked_attention(q, k, v, mask, heads)


def key_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int = 1) -> Tensor:
    """Compute softmax(Q Kᵀ / √d) V over the keys inside the mask: pixels outside it give nothing.

    Not the paper's drawing; for study. A mask without any pixel masks nothing. No gradient goes through the mask.

    Args:
        q, k, v, heads: as in `cross_masked_attention`.
        mask: M, (B, H', W', 1).

    Returns:
        (B, H, W, C)

    Raises:
        ValueError: shapes disagree, or the heads do not divide the channels.
    """
    _check(q, k, v, heads)
    if mask.shape != (*k.shape[:3], 1):
        raise ValueError(f"the mask must be {(*k.shape[:3], 1)}, not {tuple(mask.shape)}")
    return fast.key_masked_attention(q, k, v, mask, heads)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int = 1) -> Tensor:
    """Compute softmax(Q Kᵀ / √d) V; takes, returns and raises what `cross_masked_attention` does."""
    _check(q, k, v, heads)
    B, H, W, _ = q.shape
    q, k, v = (t.flatten(1, 2) for t in (q, k, v))
    return fast.attention(q, k, v, heads).view(B, H, W, -1)


def _check(q: Tensor, k: Tensor, v: Tensor, heads: int) -> None:
    if {q.ndim, k.ndim, v.ndim} != {4} or k.shape[:3] != v.shape[:3] or q.shape[::3] != k.shape[::3]:
        raise ValueError(
            "q, k and v must be (B, H, W, D), (B, H', W', D) and (B, H', W', C), "
            f"not {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if q.shape[-1] % heads or v.shape[-1] % heads:
        raise ValueError(f"{heads} heads do not divide {q.shape[-1]} and {v.shape[-1]} channels")
