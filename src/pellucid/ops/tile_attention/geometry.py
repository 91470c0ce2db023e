"""Where the tiles of a rolled grid lie in the grid itself."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Pair = tuple[int, int]


class Region(NamedTuple):
    """Tiles that share one mask, as spans of the grid's rows and columns; two spans where the roll wraps around.

    `last_row` and `last_column` say whether these are the tiles in which the roll joins opposite ends of the grid.
    """

    rows: tuple[slice, ...]
    columns: tuple[slice, ...]
    last_row: bool
    last_column: bool

    @property
    def size(self) -> Pair:
        """Height and width."""
        return sum(map(_length, self.rows)), sum(map(_length, self.columns))

    def take(self, x: Tensor) -> Tensor:
        """Cut the region out of x, (B, H, W, C)."""
        for axis, spans in ((1, self.rows), (2, self.columns)):
            parts = [x.narrow(axis, span.start, _length(span)) for span in spans]
            x = parts[0] if len(parts) == 1 else torch.cat(parts, axis)
        return x

    def put(self, x: Tensor, cut: Tensor) -> None:
        """Write the region of x; `cut` holds its tiles, (B, rows of tiles, n₀, columns of tiles, n₁, h, d)."""
        if len(self.rows) == len(self.columns) == 1:
            x[:, self.rows[0], self.columns[0]].view(cut.shape).copy_(cut)
            return
        bands = torch.split(cut.reshape(-1, *self.size, x.shape[-1]), [_length(rows) for rows in self.rows], dim=1)
        for rows, band in zip(self.rows, bands, strict=True):
            pieces = torch.split(band, [_length(columns) for columns in self.columns], dim=2)
            for columns, piece in zip(self.columns, pieces, strict=True):
                x[:, rows, columns] = piece


def regions(size: Pair, tile: Pair, shift: Pair, *, split: tuple[bool, bool]) -> Iterator[Region]:
    """Cut a grid, rolled by −shift, into at most four regions; an axis is split if its last tiles need a mask."""
    rows, columns = (_bands(*axis) for axis in zip(size, tile, shift, split, strict=True))
    for row_spans, last_row in rows:
        for column_spans, last_column in columns:
            yield Region(row_spans, column_spans, last_row, last_column)


def _bands(length: int, tile: int, shift: int, split: bool) -> list[tuple[tuple[slice, ...], bool]]:
    """Cut one axis into its tiles but the last, and the last, which holds the end and the beginning of the axis."""
    if not split:
        return [((slice(0, length),), False)]
    last = (slice(length - tile + shift, length), *((slice(0, shift),) if shift else ()))
    first = (slice(shift, length - tile + shift),)
    return [(first, False), (last, True)] if length > tile else [(last, True)]


def _length(span: slice) -> int:
    return span.stop - span.start
