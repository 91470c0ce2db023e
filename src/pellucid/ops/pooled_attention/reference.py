"""Attention to pooled keys, written as the equation. Axes: B batch, H W space, n channels, h heads, d = n / h."""

import torch
from torch import Tensor


def pooled_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Per head, softmax(d^−½ Q Kᵀ) V over all H·W queries and all keys; head i owns channels [i·d, (i+1)·d)."""
    B, _, _, n = q.shape
    Q, K, V = (t.reshape(B, -1, heads, n // heads).transpose(1, 2) for t in (q, k, v))  # B h N d
    attention = torch.softmax((n // heads) ** -0.5 * Q @ K.mT, dim=-1)
    return (attention @ V).transpose(1, 2).reshape(q.shape)
