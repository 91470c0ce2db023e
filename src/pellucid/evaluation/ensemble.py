"""The self-ensemble: the mean of what becomes of a picture in its eight orientations.

R. Timofte, R. Rothe, L. Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pellucid.images import Picture


def with_self_ensemble(restore: Callable[[Picture], Picture], *, mosaic: bool = False) -> Callable[[Picture], Picture]:
    """Turn a method into one that works on a picture in all eight orientations, and takes eight times as long.

    Args:
        restore: gives a picture of the same size, or of a multiple of it.
        mosaic: whether it is given RGGB mosaics, which must begin with red in every orientation.
    """

    def restore_eight(picture: Picture) -> Picture:
        total: NDArray[np.float64] | None = None
        for turns in range(4):
            for flipped in (False, True):
                turned = _turned(picture.pixels, turns, flipped)
                # Reflection without the border pixel keeps the order of the colours, one row or column further.
                spare = [int(mosaic and first) for first in _begins_otherwise(picture, turns, flipped)]
                padded = np.pad(turned, ((spare[0], 0), (spare[1], 0), (0, 0)), mode="reflect")
                result = restore(replace(picture, pixels=padded)).pixels[spare[0] :, spare[1] :]
                result = _turned_back(result, turns, flipped)
                total = result.astype(np.float64) if total is None else total + result
        assert total is not None
        return replace(picture, pixels=(total / 8).astype(np.float32))

    return restore_eight


def _turned(pixels: NDArray[np.float32], turns: int, flipped: bool) -> NDArray[np.float32]:
    turned = np.rot90(pixels, turns)
    return np.ascontiguousarray(turned[:, ::-1] if flipped else turned)


def _turned_back(pixels: NDArray[np.float32], turns: int, flipped: bool) -> NDArray[np.float32]:
    return np.rot90(pixels[:, ::-1] if flipped else pixels, -turns)


def _begins_otherwise(picture: Picture, turns: int, flipped: bool) -> tuple[bool, bool]:
    """Whether the first row, and the first column, of a turned picture had an odd place in it before."""
    # Of the places only their being even or odd matters, and one or two of each keep that at all four corners.
    height, width = 2 - picture.height % 2, 2 - picture.width % 2
    places = np.indices((height, width)).transpose(1, 2, 0)
    turned = np.rot90(places, turns)
    row, column = (turned[:, ::-1] if flipped else turned)[0, 0].tolist()
    # A quarter turn swaps the axes: its rows are the columns of before.
    return (bool(column), bool(row)) if turns % 2 else (bool(row), bool(column))
