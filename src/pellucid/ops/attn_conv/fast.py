"""AttnConv with three maps of n channels alive at a time, instead of ten.

Depth-wise filters do not mix queries, keys and values, and a factor before tanh can go into the weights before it, so
with s = d^−½ and each map made when it is needed, in memory of its own and overwritten by what follows,

    P = dw(W_k x) ⊙ dw(W_q x),   S = SiLU(W₁ P),   T = tanh((s W₂) S + s b₂),   out = T ⊙ dw(W_v x)

Projecting a third at a time also leaves each map contiguous, where slices of all three would be strided.
"""

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
    """Same values as the reference; no gradient, since maps are overwritten."""
    n, r = w2.shape[0], depthwise.shape[-1]
    scale = (n / heads) ** -0.5
    x = x.permute(0, 3, 1, 2)

    def pointwise(t: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(t, weight[:, :, None, None], bias)

    def mixed(third: int) -> Tensor:
        rows = slice(third * n, (third + 1) * n)
        projected = pointwise(x, qkv[rows], qkv_bias[rows])
        return F.conv2d(projected, depthwise[rows], depthwise_bias[rows], padding=r // 2, groups=n)

    P = mixed(0).mul_(mixed(1))
    S = F.silu(pointwise(P, w1, b1), inplace=True)
    del P
    T = pointwise(S, scale * w2, scale * b2).tanh_()
    del S
    return T.mul_(mixed(2)).permute(0, 2, 3, 1)
