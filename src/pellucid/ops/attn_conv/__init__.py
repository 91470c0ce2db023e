"""AttnConv: values mixed by one local filter, then weighted by what the neighbourhood of each pixel holds."""

import torch
from torch import Tensor

from pellucid.ops.attn_conv import fast, reference

__all__ = ["attn_conv"]


def attn_conv(
    x: Tensor,
    qkv: Tensor,
    qkv_bias: Tensor,
    depthwise: Tensor,
    depthwise_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    heads: int,
) -> Tensor:
    """Compute tanh(d^−½ (W₂ SiLU(W₁ (Q ⊙ K) + b₁) + b₂)) ⊙ V, with [Q; K; V] = dw(W x + b) and zeros around W x + b.

    CloFormer (Fan et al., 2023), section 3.2.

    Args:
        x: (B, H, W, C).
        qkv: W, (3n, C): rows of queries, then of keys, then of values.
        qkv_bias: b, (3n,).
        depthwise: (3n, 1, r, r) with r odd.
        depthwise_bias: (3n,).
        w1, w2: (n, n) each.
        b1, b2: (n,) each.
        heads: d = n / heads, which sets the temperature and nothing else.

    Returns:
        (B, H, W, n)

    Raises:
        ValueError: shapes disagree, the kernel is even or not square, or the heads do not divide n.
    """
    C, n, r = x.shape[-1], w2.shape[0], depthwise.shape[-1]
    if x.ndim != 4 or qkv.shape != (3 * n, C):
        raise ValueError(f"x must be (B, H, W, C) and qkv ({3 * n}, C), not {tuple(x.shape)}, {tuple(qkv.shape)}")
    if depthwise.shape != (3 * n, 1, r, r) or r % 2 == 0:
        raise ValueError(f"the depth-wise filters must be ({3 * n}, 1, r, r) with r odd, not {tuple(depthwise.shape)}")
    if any(w.shape != (n, n) for w in (w1, w2)):
        raise ValueError(f"w1 and w2 must be ({n}, {n}) each, not {tuple(w1.shape)}, {tuple(w2.shape)}")
    if [b.shape[0] for b in (qkv_bias, depthwise_bias, b1, b2)] != [3 * n, 3 * n, n, n]:
        raise ValueError(f"the biases must have {3 * n}, {3 * n}, {n} and {n} values")
    if heads < 1 or n % heads:
        raise ValueError(f"the heads must divide {n} channels, and {heads} do not")
    tensors = (x, qkv, qkv_bias, depthwise, depthwise_bias, w1, b1, w2, b2)
    recording = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return (reference if recording else fast).attn_conv(*tensors, heads)
