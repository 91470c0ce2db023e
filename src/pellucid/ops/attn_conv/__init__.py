"""AttnConv: values mixed by one local filter, then weighted by what the neighbourhood of each pixel holds."""

from torch import Tensor

from pellucid.ops.attn_conv import fast, reference

__all__ = ["attn_conv"]


def attn_conv(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    depthwise: Tensor,
    depthwise_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    heads: int,
) -> Tensor:
    """Compute tanh(d^−½ (W₂ SiLU(W₁ (Q ⊙ K) + b₁) + b₂)) ⊙ V, with [Q; K; V] = dw([q; k; v]) and zero padding.

    CloFormer (Fan et al., 2023), section 3.2, AttnConv after its first projection.

    Args:
        q, k, v: (B, H, W, n) each.
        depthwise: (3n, 1, r, r) with r odd: the filters of q, then of k, then of v.
        depthwise_bias: (3n,).
        w1, w2: (n, n) each.
        b1, b2: (n,) each.
        heads: d = n / heads, which sets the temperature and nothing else.

    Returns:
        (B, H, W, n)

    Raises:
        ValueError: shapes disagree, the kernel is even or not square, or the heads do not divide n.
    """
    n, r = q.shape[-1], depthwise.shape[-1]
    if q.ndim != 4 or q.shape != k.shape or q.shape != v.shape:
        raise ValueError(f"q, k and v must share one (B, H, W, n) shape, not {q.shape}, {k.shape}, {v.shape}")
    if depthwise.shape != (3 * n, 1, r, r) or r % 2 == 0 or depthwise_bias.shape != (3 * n,):
        raise ValueError(f"the depth-wise filters must be ({3 * n}, 1, r, r) with r odd, not {tuple(depthwise.shape)}")
    if any(w.shape != (n, n) for w in (w1, w2)) or any(b.shape != (n,) for b in (b1, b2)):
        raise ValueError(f"w1 and w2 must be ({n}, {n}), and b1 and b2 ({n},)")
    if heads < 1 or n % heads:
        raise ValueError(f"{heads} heads must divide {n} channels")
    tensors = (q, k, v, depthwise, depthwise_bias, w1, b1, w2, b2)
    return (reference if fast.why_not(*tensors) else fast).attn_conv(*tensors, heads)
