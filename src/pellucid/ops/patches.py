"""Pictures as patches of 8×8 pixels, and as stripes of whole patches that keep intermediates small."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.row_stripes import RowStripe, row_stripes

PATCH = 8


def pad_to_patches(x: Tensor) -> Tensor:
    """Complete the patches of x, (B, H, W, C), with zeros on the right and bottom."""
    _, H, W, _ = x.shape
    bottom, right = -H % PATCH, -W % PATCH
    return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x


def cut_patches(x: Tensor) -> Tensor:
    """View x, (B, H, W, C) of whole patches, as (B, H/8, W/8, 8, 8, C)."""
    B, H, W, C = x.shape
    return x.view(B, H // PATCH, PATCH, W // PATCH, PATCH, C).transpose(2, 3)


def patch_stripes(height: int, values_per_row: int, reach: int) -> Iterator[RowStripe]:
    """Cut `height` rows, a multiple of 8, as `row_stripes` does, but into stripes of whole patches."""
    step = next(row_stripes(height, values_per_row, reach)).rows.stop // PATCH * PATCH
    for start in range(0, height, step):
        stop = min(start + step, height)
        first, last = max(start - reach, 0), min(stop + reach, height)
        yield RowStripe(slice(first, last), slice(start - first, stop - first), slice(start, stop))


def project_into(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Write the projection of each pixel of x, (1, H, W, C), into contiguous rows of a result. Records no gradient.

    Args:
        out: (1, H, W, C_out).
        x: the pixels.
        weight: (C_out, C).
        bias: (C_out,) or None.
    """
    pixels, target = x.flatten(0, 2), out.view(-1, out.shape[-1])
    if not x.dtype == weight.dtype == out.dtype:  # under autocast
        target.copy_(F.linear(pixels, weight, bias))
    elif bias is None:
        torch.mm(pixels, weight.T, out=target)
    else:
        torch.addmm(bias, pixels, weight.T, out=target)


def multiplied(x: Tensor, factor: Tensor) -> Tensor:
    """Return x ⊙ factor, in the memory of x where no gradient is recorded: x must be the caller's own."""
    return x * factor if x.requires_grad or factor.requires_grad else x.mul_(factor)
