"""A linear map with its activation fused: f is applied to each value of W x + b before it is stored,

    out = f∘W(x)

so that memory is touched twice (x, out) instead of four times. The operator is the one that torch.compile emits for the
same pair on a processor; it records no gradient.
"""

import torch
from torch import Tensor

_ONEDNN_NAMES = {"gelu": ("gelu", "none"), "silu": ("swish", ""), "tanh": ("tanh", "")}  # "none": without approximation


def why_not(*tensors: Tensor) -> str | None:
    """Return why the fused operator cannot run on these arguments, or None if it can."""
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


def activated_linear(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Same values as the reference."""
    name, algorithm = _ONEDNN_NAMES[activation]
    geometry = ((0, 0), (1, 1), (1, 1), 1)  # padding, stride, dilation, groups
    convolve = torch.ops.mkldnn._convolution_pointwise
    out = convolve(x.permute(0, 3, 1, 2), weight[:, :, None, None], bias, *geometry, name, [], algorithm)
    return out.permute(0, 2, 3, 1)
