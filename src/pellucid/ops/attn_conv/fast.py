"""AttnConv with every product and activation fused into the convolution before it.

oneDNN applies an operation to every value of a convolution before storing it, and a factor that stands before the last
product can go into its weights, so that with s = d^−½

    K = dw(k),   P = (K ⊙ ·)∘dw(q),   S = SiLU∘W₁(P),   T = tanh∘(s W₂)(S),   out = (T ⊙ ·)∘dw(v)

make five passes over memory instead of nine. These are the operators that torch.compile emits for such a chain on a
processor; they record no gradient.
"""

import torch
from torch import Tensor


def why_not(*tensors: Tensor) -> str | None:
    """Return why the fused operators cannot run on these arguments, or None if they can."""
    if torch.compiler.is_compiling():
        return "a graph is being recorded, and the compiler fuses by itself"
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return "a gradient is being recorded"
    if any(t.device.type != "cpu" or t.dtype != torch.float32 for t in tensors):
        return "only float32 on a CPU is fused"
    if torch.is_autocast_enabled("cpu"):
        return "another precision is asked for"
    if not torch.backends.mkldnn.is_available():
        return "this build of torch has no oneDNN"
    return None


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
    """Same values as the reference."""
    n, r = q.shape[-1], depthwise.shape[-1]
    (dw_q, dw_k, dw_v), (db_q, db_k, db_v) = depthwise.chunk(3), depthwise_bias.chunk(3)
    scale = (n / heads) ** -0.5
    local = ((r // 2, r // 2), (1, 1), (1, 1), n)  # padding, stride, dilation, groups
    pointwise = ((0, 0), (1, 1), (1, 1), 1)
    q, k, v = (t.permute(0, 3, 1, 2) for t in (q, k, v))
    w1, w2 = w1[:, :, None, None], (scale * w2)[:, :, None, None]
    convolve = torch.ops.mkldnn._convolution_pointwise
    K = convolve(k, dw_k, db_k, *local, "none", [], "")
    P = convolve.binary(q, K, dw_q, db_q, *local, "mul", None, None, [], None)
    S = convolve(P, w1, b1, *pointwise, "swish", [], "")
    T = convolve(S, w2, scale * b2, *pointwise, "tanh", [], "")
    return convolve.binary(v, T, dw_v, db_v, *local, "mul", None, None, [], None).permute(0, 2, 3, 1)
