"""Cutting a batch into pieces that keep intermediates small: several whole pictures where these are small, else one
picture at a time, and that in stripes of rows where it is large.

A whole picture needs no rows beyond its own, so nothing is computed twice until a single picture is too large.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.ops.row_stripes import RowStripe, row_stripes, whole_picture

_PIECE_VALUES = 3 << 19  # values in the widest intermediate of a group of pictures: 6 MiB in float32


class Piece(NamedTuple):
    """Some pictures of a batch, and the rows of them to read and to write."""

    pictures: slice
    stripe: RowStripe

    def read(self, x: Tensor) -> Tensor:
        """Return what is to be read of x, (B, C, H, W), in channels-last memory."""
        return x[self.pictures, :, self.stripe.read].contiguous(memory_format=torch.channels_last)


def batch_pieces(batch: int, height: int, values_per_row: int, reach: int) -> Iterator[Piece]:
    """Cut pictures of `height` rows whose widest intermediate has `values_per_row` values a row."""
    stripes = list(row_stripes(height, values_per_row, reach))
    together = 1 if len(stripes) > 1 else max(1, _PIECE_VALUES // max(height * values_per_row, 1))
    for start in range(0, batch, together):
        pictures = slice(start, min(start + together, batch))
        yield from (Piece(pictures, stripe) for stripe in stripes)


def map_pieces(function: Callable[[Piece], Tensor], x: Tensor, channels: int, widest: int, reach: int) -> Tensor:
    """Compute a local function of x, (B, C, H, W), piece by piece.

    Args:
        function: computes the wanted rows of a piece, as (b, channels, h, W); a piece at a time is given to it.
        x: the batch; the memory format of the result is its own.
        channels: channels of the result.
        widest: channels of all that is held at once inside the function.
        reach: rows above and below that a row of the result depends on.
    """
    B, _, H, W = x.shape
    pieces = list(batch_pieces(B, H, W * widest, reach))
    if len(pieces) == 1:
        return function(pieces[0])
    out: Tensor | None = None
    for piece in pieces:
        part = function(piece)
        if out is None:
            out = part.new_empty((B, channels, H, W)).contiguous(memory_format=torch.channels_last)
        out[piece.pictures, :, piece.stripe.rows] = part
    assert out is not None
    return out


def whole_batch(x: Tensor) -> Piece:
    """Return the one piece that is all of x, (B, C, H, W)."""
    return Piece(slice(0, x.shape[0]), whole_picture(x.shape[2]))
