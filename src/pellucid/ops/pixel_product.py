"""A 1×1 convolution as one product of matrices, which can write where the result belongs.

    conv1×1(x; W, b)_n = W x_n + b     for each pixel n,     so with the pixels as rows, X Wᵀ + b

The product takes its operands as they lie in memory and needs no room beside the result; a convolution arranges its
weights anew at each call, and always allocates.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def why_not(x: Tensor, weight: Tensor) -> str | None:
    """Return why the product cannot stand for the convolution on these arguments, or None if it can."""
    if x.device.type != "cpu":
        return "other devices have convolutions of their own"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses the types of convolutions, but not of products into given memory"
    if x.dtype != weight.dtype:
        return "types differ"
    return None


def pixel_product(x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Multiply every pixel of x, (B, H, W, C), by a matrix (C_out, C), into `out` if given; no gradient then."""
    if out is None:
        return F.linear(x, weight, bias)
    pixels, into = x.reshape(-1, x.shape[-1]), out.view(-1, out.shape[-1])
    product = (
        torch.mm(pixels, weight.t(), out=into) if bias is None else torch.addmm(bias, pixels, weight.t(), out=into)
    )
    return product.view(*x.shape[:-1], -1)
