"""AttnConv, written as the equation. Axes: B batch, H W space, C and n channels, r kernel size."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """T ⊙ V with T = tanh(d^−½ (W₂ SiLU(W₁ (Q ⊙ K) + b₁) + b₂)), [Q; K; V] = dw(W x + b) and d = n / heads."""
    n, r = w2.shape[0], depthwise.shape[-1]
    projected = F.linear(x, qkv, qkv_bias).permute(0, 3, 1, 2)
    mixed = F.conv2d(projected, depthwise, depthwise_bias, padding=r // 2, groups=3 * n).permute(0, 2, 3, 1)
    Q, K, V = mixed.chunk(3, dim=-1)
    T = torch.tanh((n / heads) ** -0.5 * F.linear(F.silu(F.linear(Q * K, w1, b1)), w2, b2))
    return T * V
