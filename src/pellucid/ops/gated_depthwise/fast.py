"""Gated depth-wise convolution with the activation fused into the first convolution and the gate applied in place.

oneDNN applies an operation to every value of a convolution before storing it, so that in

    a = gelu∘dw(t₁),   out = a ⊙ dw(t₂)

the activation costs no pass over memory. These are the operators that torch.compile emits for the same chain on a
processor; they record no gradient. With groups, torch multiplies after the convolution instead of inside it.
"""

import torch
from torch import Tensor


def why_not(*tensors: Tensor | None) -> str | None:
    """Return why the fused operators cannot run on these arguments, or None if they can."""
    given = [t for t in tensors if t is not None]
    if torch.compiler.is_compiling():
        return "a graph is being recorded, and the compiler fuses by itself"
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return "a gradient is being recorded"
    if any(t.device.type != "cpu" or t.dtype != torch.float32 for t in given):
        return "only float32 on a CPU is fused"
    if not torch.backends.mkldnn.is_available():
        return "this build of torch has no oneDNN"
    return None


def gated_depthwise(
    t1: Tensor, t2: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """Same values as the reference."""
    C = t1.shape[-1]
    t1, t2 = t1.permute(0, 3, 1, 2), t2.permute(0, 3, 1, 2)
    geometry = ((1, 1), (1, 1), (1, 1), C)  # padding, stride, dilation, groups
    convolve = torch.ops.mkldnn._convolution_pointwise
    activated = convolve(t1, weight1, bias1, *geometry, "gelu", [], "none")
    return convolve.binary(t2, activated, weight2, bias2, *geometry, "mul", None, None, [], None).permute(0, 2, 3, 1)
