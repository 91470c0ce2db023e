"""A 1×1 convolution as one product of matrices, which can write where the result belongs.

    conv1×1(x; W, b)_n = W x_n + b     for each pixel n,     so with the pixels as rows, X Wᵀ + b

The product takes its operands as they lie in memory and needs no room beside the result; a convolution arranges its
weights anew at each call, and always allocates.
"""

import torch
from torch import Tensor


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
    pixels = x.reshape(-1, x.shape[-1])
    into = None if out is None else out.view(-1, out.shape[-1])
    if bias is None:
        product = torch.mm(pixels, weight.t(), out=into)
    else:
        product = torch.addmm(bias, pixels, weight.t(), out=into)
    return product.view(*x.shape[:-1], -1)
