"""Working through a picture tile by tile so that the tiles do not show.

Neighbouring tiles overlap; inside the picture one fades into the next, and at the picture's own border nothing fades.
Where two tiles agree the result is theirs to the last bit, because they are joined as a + w · (b − a).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TilePlan(NamedTuple):
    """Where the tiles lie: every row slice with every column slice."""

    rows: list[slice]
    columns: list[slice]


def plan_tiles(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> TilePlan:
    """Lay equal tiles over a picture.

    Args:
        height, width: of the picture, in pixels.
        tile: longest side of a tile; a multiple of `multiple`, at least 4 · overlap.
        overlap: least overlap of neighbours; a multiple of `multiple`.
        multiple: tiles start at multiples of this, so that networks which pad to it see the same grid everywhere.

    Raises:
        ValueError: the numbers do not satisfy these conditions.
    """
    if min(height, width, multiple, tile) < 1 or overlap < 0 or tile % multiple or overlap % multiple:
        raise ValueError(f"tile {tile} and overlap {overlap} must be multiples of {multiple}")
    if tile < 4 * overlap:
        raise ValueError(f"tile {tile} must be at least four times the overlap {overlap}")
    return TilePlan(*(_plan_axis(length, tile, overlap, multiple) for length in (height, width)))


def _plan_axis(length: int, tile: int, overlap: int, multiple: int) -> list[slice]:
    """Spread as few tiles as cover the axis evenly; the last reaches to the end."""
    units, longest, shared = -(-length // multiple), tile // multiple, overlap // multiple
    if units <= longest:
        return [slice(0, length)]
    count = -(-(units - shared) // (longest - shared))
    side = -(-(units + (count - 1) * shared) // count)
    starts = [i * (units - side) // (count - 1) for i in range(count)]
    return [slice(start * multiple, min((start + side) * multiple, length)) for start in starts]


def process_tiles(
    plan: TilePlan, process: Callable[[slice, slice], NDArray[np.float32]]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Process every tile and yield finished rows of the joined picture from top to bottom.

    Args:
        plan: from `plan_tiles`.
        process: returns tile (rows, columns) as a (rows, columns, C) array.

    Yields:
        The rows finished and their values, (rows, W, C). No more than one row of tiles is held at a time.
    """
    unfinished: NDArray[np.float32] | None = None
    ends = [rows.start for rows in plan.rows[1:]] + [plan.rows[-1].stop]
    for rows, end in zip(plan.rows, ends, strict=True):
        band = _joined_columns(plan.columns, [process(rows, columns) for columns in plan.columns])
        if unfinished is not None:
            shared = len(unfinished)
            band[:shared] = _faded(unfinished, band[:shared], axis=0)
        yield slice(rows.start, end), band[: end - rows.start]
        unfinished = band[end - rows.start :].copy()


def _joined_columns(columns: list[slice], tiles: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join tiles that lie side by side into one band of full width."""
    if len(tiles) == 1:
        return tiles[0]
    height, _, channels = tiles[0].shape
    band = np.empty((height, columns[-1].stop, channels), np.float32)
    band[:, columns[0]] = tiles[0]
    for (left, right), tile in zip(pairwise(columns), tiles[1:], strict=True):
        shared = left.stop - right.start
        seam = slice(right.start, left.stop)
        band[:, seam] = _faded(band[:, seam], tile[:, :shared], axis=1)
        band[:, left.stop : right.stop] = tile[:, shared:]
    return band


def _faded(first: NDArray[np.float32], second: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Fade from one array to another along an axis; both have the shape of the overlap."""
    weights = fade_weights(first.shape[axis]).reshape([-1 if i == axis else 1 for i in range(first.ndim)])
    return (first + weights * (second - first)).astype(np.float32, copy=False)


def fade_weights(overlap: int) -> NDArray[np.float32]:
    """Weights of the second tile across an overlap, rising smoothly from 0 to 1.

    The quarter next to each tile's end is left out: there the network has seen least of the surroundings.
    """
    position = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) / np.float32(max(overlap, 1))
    t = np.clip(2 * position - np.float32(0.5), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32, copy=False)
