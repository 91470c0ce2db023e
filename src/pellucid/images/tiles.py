"""Working through a picture tile by tile so that the tiles do not show.

Neighbouring tiles overlap; inside the picture one fades into the next, and at the picture's own border nothing fades.
Where two tiles agree the result is theirs to the last bit, because they are joined as a + w · (b − a).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_ROWS, _MOST_VALUES = 64, 2**19  # finished rows handed on at a time


class TilePlan(NamedTuple):
    """Where the tiles lie: every row slice with every column slice."""

    rows: list[slice]
    columns: list[slice]


def plan_tiles(height: int, width: int, *, tile: tuple[int, int], overlap: int, multiple: int) -> TilePlan:
    """Lay equal tiles over a picture.

    As few as cover it, spread evenly: they are all of one size, but for the last of each axis, which ends with the
    picture, where that is no multiple.

    Args:
        height, width: of the picture, in pixels.
        tile: largest height and width of a tile, multiples of `multiple`; each at least 4 · overlap, or as long as
            the picture.
        overlap: least overlap of neighbours; a multiple of `multiple`.
        multiple: tiles start at multiples of this, so that networks which pad to it see the same grid everywhere.

    Raises:
        ValueError: the numbers do not satisfy these conditions.
    """
    axes = list(zip((height, width), tile, strict=True))
    if min(height, width, multiple, *tile) < 1 or overlap < 0 or any(n % multiple for n in (*tile, overlap)):
        raise ValueError(f"tile {tile} and overlap {overlap} must be multiples of {multiple}")
    if any(side < min(length, 4 * overlap) for length, side in axes):
        raise ValueError(f"tile {tile} must be at least four times the overlap {overlap}, or as long as the picture")
    return TilePlan(*(_plan_axis(length, side, overlap, multiple) for length, side in axes))


def even_tiles(length: int, longest: int, overlap: int, multiple: int) -> tuple[int, int]:
    """How many tiles of at most `longest` pixels cover an axis, and the side that suffices for as many.

    Takes what `plan_tiles` takes; the side is a multiple of `multiple`.
    """
    units, most, shared = -(-length // multiple), longest // multiple, overlap // multiple
    if units <= most:
        return 1, units * multiple
    count = -(-(units - shared) // (most - shared))
    return count, -(-(units + (count - 1) * shared) // count) * multiple


def _plan_axis(length: int, longest: int, overlap: int, multiple: int) -> list[slice]:
    """Spread the tiles of an axis evenly; the last reaches to the end."""
    count, side = even_tiles(length, longest, overlap, multiple)
    room = -(-length // multiple) - side // multiple
    starts = [i * room // max(count - 1, 1) * multiple for i in range(count)]
    return [slice(start, min(start + side, length)) for start in starts]


def process_tiles(
    plan: TilePlan, process: Callable[[slice, slice], NDArray[np.float32]], scale: int = 1
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Process every tile, row by row and from left to right, and yield finished rows of the joined picture.

    Tiles of the first row are asked for before anything is yielded, those of the next when its rows are.

    Memory while `process` runs: full rows of the result, in float32, as many as a tile and an overlap of the result
    have, and those last yielded where they are kept. The tile that `process` returned last is let go before.

    Args:
        plan: from `plan_tiles`.
        process: returns tile (rows, columns) as a (scale · rows, scale · columns, C) array, which is not changed.
        scale: by how much `process` enlarges.

    Yields:
        The rows finished, a few at a time, and their values, (rows, scale · W, C), from top to bottom.
    """
    width = scale * plan.columns[-1].stop
    ends = [rows.start for rows in plan.rows[1:]] + [plan.rows[-1].stop]
    band = above = np.empty((0, 0, 0), np.float32)
    for rows, end in zip(plan.rows, ends, strict=True):
        height, finished, reached = scale * (rows.stop - rows.start), scale * (end - rows.start), 0
        for columns in plan.columns:
            tile = process(rows, columns)
            if not band.size:
                band = np.empty((height, width, tile.shape[2]), np.float32)
                above = band[:0]
            start, stop = scale * columns.start, scale * columns.stop
            left = band[:height, start:reached].copy()
            band[:height, start:stop] = tile
            _fade_in(band[:height, start:reached], left, axis=1)
            reached = stop
            del tile, left  # before the next tile is worked on
        _fade_in(band[: len(above)], above, axis=0)
        above = band[finished:height].copy()
        step = max(1, min(_MOST_ROWS, _MOST_VALUES // (width * band.shape[2])))
        for first in range(0, finished, step):
            part = slice(first, min(first + step, finished))
            yield slice(scale * rows.start + part.start, scale * rows.start + part.stop), band[part].copy()


def _fade_in(second: NDArray[np.float32], first: NDArray[np.float32], axis: int) -> None:
    """Fade from one array to another along an axis, in the place of the second; both have the shape of the overlap."""
    weights = fade_weights(first.shape[axis]).reshape([-1 if i == axis else 1 for i in range(first.ndim)])
    second -= first
    second *= weights
    second += first


def fade_weights(overlap: int) -> NDArray[np.float32]:
    """Weights of the second tile across an overlap, rising smoothly from 0 to 1.

    The quarter next to each tile's end is left out: there the network has seen least of the surroundings.
    """
    position = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) / np.float32(max(overlap, 1))
    t = np.clip(2 * position - np.float32(0.5), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32, copy=False)
