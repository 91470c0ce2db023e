"""Where reduced precision would spoil the result."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast changes no operand, such as scores that need float32."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def linear_in_float32(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Project x, (B, H, W, C), at least in float32, whatever the type of the operands and autocast.

    For queries and keys of cosine attention: at a temperature of 100 the rounding of reduced precision would be
    magnified until it decides who attends to whom. A 1×1 convolution, since that adds the bias on the way.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    x_BCHW = x.to(dtype).permute(0, 3, 1, 2)
    with without_autocast(x.device):
        return F.conv2d(x_BCHW, weight.to(dtype)[:, :, None, None], bias.to(dtype)).permute(0, 2, 3, 1)
