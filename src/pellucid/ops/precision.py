"""Where reduced precision would spoil the result."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from pellucid.ops.pixel_product import pixel_product


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast changes no operand, such as scores that need float32."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def linear_in_float32(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Project x, (B, H, W, C), at least in float32, whatever the type of the operands and autocast.

    For queries and keys of cosine attention: at a temperature of 100 the rounding of reduced precision would be
    magnified until it decides who attends to whom.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with without_autocast(x.device):
        return pixel_product(x.to(dtype), weight.to(dtype), bias.to(dtype))
