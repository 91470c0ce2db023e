"""Padding a network's input to what its levels and windows need."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) on the right and bottom to a multiple, by reflection, and return it in channels-last memory.

    Where the picture is smaller than the padding its border is repeated instead.
    """
    H, W = image.shape[-2:]
    bottom, right = -H % multiple, -W % multiple
    if bottom or right:
        mode = "reflect" if bottom < H and right < W else "replicate"
        image = F.pad(image, (0, right, 0, bottom), mode=mode)
    return image.contiguous(memory_format=torch.channels_last)
