"""AttnConv, written as the equation. Axes: B batch, H W space, n channels, r kernel size."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """T ⊙ V with T = tanh(d^−½ (W₂ SiLU(W₁ (Q ⊙ K) + b₁) + b₂)), where d = n / heads and [Q; K; V] = dw([q; k; v])."""
    n, r = q.shape[-1], depthwise.shape[-1]
    Q, K, V = (
        F.conv2d(t.permute(0, 3, 1, 2), weight, bias, padding=r // 2, groups=n).permute(0, 2, 3, 1)
        for t, weight, bias in zip((q, k, v), depthwise.chunk(3), depthwise_bias.chunk(3), strict=True)
    )
    T = torch.tanh((n / heads) ** -0.5 * F.linear(F.silu(F.linear(Q * K, w1, b1)), w2, b2))
    return T * V
