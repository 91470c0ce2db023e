"""A linear map of each pixel, as the 1×1 convolution that it is.

    conv1×1(x; W, b)_n = W x_n + b     for each pixel n

On some processors convolutions are faster than the same product of matrices, see `onednn`.
"""

from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.onednn import convolution, why_not


def pixel_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply every pixel of x, (B, H, W, C), by a matrix (C_out, C)."""
    x_BCHW, kernel = x.permute(0, 3, 1, 2), weight[:, :, None, None]
    convolve = F.conv2d if why_not(x, weight, bias) else convolution
    return convolve(x_BCHW, kernel, bias).permute(0, 2, 3, 1)
