"""Padding to whole tiles."""

from torch import Tensor
from torch.nn import functional as F


def pad_to_tiles(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) on the right and bottom to a multiple, by reflection; by zeros where it is too small for that.

    GRL pads its input so; reflection does not repeat the edge.
    """
    H, W = x.shape[-2:]
    bottom, right = -H % multiple, -W % multiple
    if not (bottom or right):
        return x
    if bottom < H and right < W:
        return F.pad(x, (0, right, 0, bottom), mode="reflect")
    return F.pad(x, (0, right, 0, bottom))
