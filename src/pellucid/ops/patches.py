"""Pictures as patches of 8×8 pixels, and as stripes of whole patches that keep intermediates small."""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.row_stripes import RowStripe, row_stripes

PATCH = 8


def pad_to_patches(x: Tensor) -> Tensor:
    """Complete the patches of x, (B, H, W, C), with zeros on the right and bottom."""
    _, H, W, _ = x.shape
    bottom, right = -H % PATCH, -W % PATCH
    return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x


def patch_stripes(height: int, values_per_row: int, reach: int) -> Iterator[RowStripe]:
    """Cut `height` rows, a multiple of 8, as `row_stripes` does, but into stripes of whole patches."""
    step = next(row_stripes(height, values_per_row, reach)).rows.stop // PATCH * PATCH
    for start in range(0, height, step):
        yield RowStripe.of(slice(start, min(start + step, height)), height, reach)


def multiplied(x: Tensor, factor: Tensor) -> Tensor:
    """Return x ⊙ factor, in the memory of x where no gradient is recorded: x must be the caller's own."""
    return x * factor if x.requires_grad or factor.requires_grad else x.mul_(factor)
