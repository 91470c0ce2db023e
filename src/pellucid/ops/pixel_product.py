"""A linear map of each pixel, as the 1×1 convolution that it is.

    conv1×1(x; W, b)_n = W x_n + b     for each pixel n

On some processors convolutions are faster than the same product of matrices, see `onednn`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.onednn import convolution, packed, why_not


def pixel_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply every pixel of x, (B, H, W, C), by a matrix (C_out, C)."""
    x_BCHW, kernel = x.permute(0, 3, 1, 2), weight[:, :, None, None]
    convolve = F.conv2d if why_not(x, weight, bias) else convolution
    return convolve(x_BCHW, kernel, bias).permute(0, 2, 3, 1)


class PixelMap:
    """`pixel_product` for many pictures of few sizes, with the matrix arranged for each size once.

    Args:
        weight: (C_out, C).
        bias: (C_out,) or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._kernel, self._bias = weight[:, :, None, None], bias
        self._arranged: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Map x, (B, C, H, W), to (B, C_out, H, W)."""
        if why_not(x, self._kernel, self._bias):
            return F.conv2d(x, self._kernel, self._bias)
        if x.shape not in self._arranged:
            self._arranged[x.shape] = packed(self._kernel, x.shape)
        return convolution(x, self._arranged[x.shape], self._bias)
