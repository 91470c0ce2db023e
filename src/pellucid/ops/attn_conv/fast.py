"""AttnConv with few maps of n channels alive at a time, and its activations fused.

Depth-wise filters do not mix queries, keys and values, and a factor before tanh can go into the weights before it, so
with s = d^−½ and each map made when it is needed, in memory of its own,

    P = dw(W_k x) ⊙ dw(W_q x),   S = SiLU∘W₁(P),   T = tanh∘(s W₂)(S),   out = T ⊙ dw(W_v x)

where products overwrite their first factor. Projecting a third at a time leaves each map contiguous, where slices of
all three would be strided. Large pictures go through in stripes of rows.
"""

from torch import Tensor

from pellucid.ops.activated_linear import activated_linear
from pellucid.ops.local_projection import thirds
from pellucid.ops.onednn import why_not
from pellucid.ops.row_stripes import RowStripe, row_stripes, whole_picture


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
    B, H, W, _ = x.shape
    n, r = w2.shape[0], depthwise.shape[-1]
    scale = (n / heads) ** -0.5
    w2, b2 = scale * w2, scale * b2

    x_BCHW = x.permute(0, 3, 1, 2)
    query, key, value = thirds(qkv, qkv_bias, depthwise, depthwise_bias)

    def attended(stripe: RowStripe) -> Tensor:
        P = query(x_BCHW, stripe).mul_(key(x_BCHW, stripe))
        S = activated_linear(P, w1, b1, "silu")
        del P
        T = activated_linear(S, w2, b2, "tanh")
        del S
        return T.mul_(value(x_BCHW, stripe))

    stripes = [] if why_not(x) else list(row_stripes(H, B * W * n, reach=r // 2))
    if len(stripes) <= 1:
        return attended(whole_picture(H))
    out = x.new_empty(B, H, W, n)
    for stripe in stripes:
        out[:, stripe.rows] = attended(stripe)
    return out
