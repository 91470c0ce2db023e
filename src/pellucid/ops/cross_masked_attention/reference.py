"""Cross masked attention, written as the equation. Axes: B batch, H W space, L pixels, h heads, d = channels / h."""

import torch
from torch import Tensor


def cross_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int) -> Tensor:
    """M ⊙ (softmax(Q Kᵀ / √d) V): the mask gates the rows, that is, the pixels of the query."""
    q_BhLd, k_BhLd, v_BhLd = (_by_head(t, heads) for t in (q, k, v))
    scores = q_BhLd @ k_BhLd.mT / q_BhLd.shape[-1] ** 0.5
    return mask * _merged(torch.softmax(scores, dim=-1) @ v_BhLd, q)


def key_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int) -> Tensor:
    """softmax(Q Kᵀ / √d − ∞·[M = 0]) V: the mask chooses the columns; one without any pixel masks nothing."""
    q_BhLd, k_BhLd, v_BhLd = (_by_head(t, heads) for t in (q, k, v))
    scores = q_BhLd @ k_BhLd.mT / q_BhLd.shape[-1] ** 0.5
    outside = mask.flatten(1) == 0  # B L
    outside = outside & ~outside.all(1, keepdim=True)
    attention = torch.softmax(scores.masked_fill(outside[:, None, None, :], -torch.inf), dim=-1)
    return _merged(attention @ v_BhLd, q)


def _by_head(t: Tensor, heads: int) -> Tensor:
    B, H, W, _ = t.shape
    return t.reshape(B, H * W, heads, -1).transpose(1, 2)


def _merged(t: Tensor, q: Tensor) -> Tensor:
    B, H, W, _ = q.shape
    return t.transpose(1, 2).reshape(B, H, W, -1)
