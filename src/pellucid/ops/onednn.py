"""oneDNN's convolutions with what follows them fused in: the operators that torch.compile emits on a processor.

oneDNN applies an operation to every value of a convolution before storing it, so that an activation costs no pass over
memory. It is asked directly, since torch gives 1×1 convolutions on one thread, and all products of matrices, to a
library that leaves the widest registers of some processors unused. These operators record no gradient.
"""

from collections.abc import Sequence

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
    if torch.is_autocast_enabled("cpu"):
        return "another precision is asked for"
    if any(t.numel() == 0 for t in given):
        return "there is nothing to compute"
    if not torch.backends.mkldnn.is_available():
        return "this build of torch has no oneDNN"
    return None


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none", padded: bool = True
) -> Tensor:
    """Convolve x, (B, C, H, W), by (C_out, C / groups, r, r) with zero padding, and activate.

    Args:
        x: best with its channels together in memory; the result has them so.
        weight: its second extent determines the groups; r is odd.
        bias: (C_out,) or None.
        activation: "none", "gelu" (the exact one), "silu" or "tanh".
        padded: whether zeros lie above and below x; they do on its left and right.
    """
    name, algorithm = _ACTIVATIONS[activation]
    geometry = _geometry(x.shape[1], weight, padded)
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *geometry, name, [], algorithm)


def convolution_times(x: Tensor, weight: Tensor, bias: Tensor | None, factor: Tensor, padded: bool = True) -> Tensor:
    """Convolve as `convolution` does, and multiply by `factor`, of the result's shape."""
    convolve = torch.ops.mkldnn._convolution_pointwise.binary
    return convolve(x, factor, weight, bias, *_geometry(x.shape[1], weight, padded), "mul", None, None, [], None)


def add_convolution(total: Tensor, x: Tensor, weight: Tensor) -> None:
    """Add the convolution of x to `total`, of its shape, whose channels must lie together in memory."""
    add = torch.ops.mkldnn._convolution_pointwise_.binary
    add(total, x, weight, None, *_geometry(x.shape[1], weight), "add", 1.0, None, [], None)


def gram(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Sum qᵀk over all pixels of q and k, (B, H, W, C) each, between the channels of each head: (h, C/h, C/h).

    It is the gradient by the weight of a 1×1 convolution that is given k and whose result has the gradient q.
    """
    as_pictures = (t.permute(0, 3, 1, 2) for t in (q, k))
    C = q.shape[-1]
    weight = q.new_empty(C, C // heads, 1, 1)
    geometry = ((1, 1), (0, 0), (1, 1), False, (0, 0), heads)
    backward = torch.ops.aten.convolution_backward.default
    return backward(*as_pictures, weight, None, *geometry, (False, True, False))[1].view(heads, C // heads, -1)


def packed(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Arrange a weight as `convolution` wants it for an input of this shape, once for many calls."""
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *_geometry(shape[1], weight), list(shape))


# Names and algorithms; the algorithm "none" of GELU is the exact one, without approximation.
_ACTIVATIONS = {"none": ("none", ""), "gelu": ("gelu", "none"), "silu": ("swish", ""), "tanh": ("tanh", "")}


def _geometry(
    channels: int, weight: Tensor, padded: bool = True
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    """Return padding, stride, dilation and groups, for an input of so many channels."""
    reach = weight.shape[-1] // 2
    return (reach if padded else 0, reach), (1, 1), (1, 1), channels // weight.shape[1]
