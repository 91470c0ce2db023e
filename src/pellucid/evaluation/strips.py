"""Strips to compare by eye: degraded, restored and clean side by side, where the degraded picture is worst."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.evaluation.measuring import Shown
from pellucid.images import Picture
from pellucid.images.picture import to_floats

_SIDE, _GAP = 192, 6


def strip_of(shown: Shown, *, side: int = _SIDE) -> NDArray[np.uint8]:
    """Lay the same square of input, result and clean picture side by side, with a white gap; pixels are not resized."""
    rows, columns = worst_square(shown.input, shown.clean, side=side)
    squares = [picture[rows, columns] for picture in (shown.input, shown.restored, shown.clean)]
    gap = np.full((squares[0].shape[0], _GAP, squares[0].shape[2]), 255, np.uint8)
    return np.concatenate([squares[0], gap, squares[1], gap, squares[2]], axis=1)


def worst_square(degraded: NDArray[np.uint8], clean: NDArray[np.uint8], *, side: int) -> tuple[slice, slice]:
    """Find where a picture (H, W, C) differs most from the clean one: of squares half a side apart, as slices."""
    error = np.square(degraded.astype(np.float32) - clean).sum(axis=2)

    def places(length: int) -> list[slice]:
        last = max(length - side, 0)
        return [slice(start, start + side) for start in sorted({*range(0, last, max(side // 2, 1)), last})]

    squares = [(rows, columns) for rows in places(clean.shape[0]) for columns in places(clean.shape[1])]
    return max(squares, key=lambda square: float(error[square].sum()))


def strip_writer(folder: Path) -> Callable[[Shown], None]:
    """Return what saves a strip of each measurement as PNG, named after the picture and the level.

    Raises:
        DataError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be the folder of the strips: {error.strerror}") from error
    written: set[str] = set()

    def write(shown: Shown) -> None:
        case = shown.case
        level = str(case.level).replace("/", "-")
        plain = name = f"{Path(case.name).stem}-{level}"
        number = 1
        while name in written:  # pictures of the same name in several folders
            number += 1
            name = f"{plain}-{number}"
        written.add(name)
        Picture(pixels=to_floats(strip_of(shown))).save(folder / f"{name}-strip.png", overwrite=True)

    return write
