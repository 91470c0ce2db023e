"""The pixels that a network learns from: all of the noisy pictures, or windows spread over them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError, PictureError, UsageError
from pellucid.images import Picture, PictureStream, open_pages, read_header
from pellucid.images.stream import Window
from pellucid.images.view import tile_of, weight_of
from pellucid.tasks.seen import Seen

_MOST_PIXELS = 24 * 2**20
_SMALLEST_WINDOW = 256
_RARE = 1e-4  # share of the values that may lie beyond the levels at either end
_WHOLE = slice(None)


class Samples(NamedTuple):
    """What is learned from.

    Attributes:
        pictures: (H, W, C) each; values of which 0 and 1 are the levels. What shows nothing is 0.
        seen: how a picture's values become these.
        step: the difference of neighbouring values that the files can hold; 0 for floats.
    """

    pictures: list[NDArray[np.float32]]
    seen: Seen
    step: float


def gather(sources: Sequence[Path | Picture], skip: Callable[[PictureError], None] | None = None) -> Samples:
    """Read pictures, all pages of each, or a window of each page where all would be too many pixels.

    Args:
        sources: of one kind.
        skip: is told of each file that cannot be read, which is left out; None to raise instead.

    Raises:
        PictureError: a file cannot be read; with `skip`, none can.
        UsageError: some are grey and some in colour, which one network cannot learn.
        DataError: there is no picture, or all values are the same.
    """
    windows = _windows(sources, skip)
    if len({window.channels for window in windows}) > 1:
        raise UsageError("grey and colour pictures are learned from apart; name only one kind at a time")
    measured = [window.span for window in windows if window.numbers != "unsigned"]
    if measured and len(measured) < len(windows):
        raise UsageError("pictures of whole and of other numbers are learned from apart; name only one kind at a time")
    span = (min(low for low, _ in measured), max(high for _, high in measured)) if measured else None
    pictures = [_values(window if span is None else replace(window, span=span)) for window in windows]
    levels = _levels(pictures)
    step = 0.0 if measured else max(1 / (2**window.bit_depth - 1) for window in windows)
    width = levels[1] - levels[0]
    scaled = [(values - np.float32(levels[0])) / np.float32(width) for values in pictures]
    return Samples(scaled, Seen(span, levels), step / width)


def _windows(sources: Sequence[Path | Picture], skip: Callable[[PictureError], None] | None) -> list[Picture]:
    """Windows of all pages of the pictures that can be read; of thousands of pages, of every so many."""
    refusals: list[PictureError] = []

    def refuse(error: PictureError) -> None:
        if skip is None:
            raise error
        refusals.append(error)
        skip(error)

    sizes: list[tuple[Path | Picture, int, int]] = []  # each source's pixels on a page, and pages
    for source in sources:
        try:
            header = source if isinstance(source, Picture) else read_header(source)
        except PictureError as error:
            refuse(error)
        else:
            sizes.append((source, header.width * header.height, 1 if isinstance(header, Picture) else header.pages))
    share = min(1.0, _MOST_PIXELS / max(1, sum(pixels * pages for _, pixels, pages in sizes)))
    largest = max((pixels for _, pixels, _ in sizes), default=1)
    every = max(1, math.ceil(_SMALLEST_WINDOW**2 / max(1.0, share * largest)))
    windows: list[Picture] = []
    for source, _, _ in sizes:
        pages = [PictureStream.of(source)] if isinstance(source, Picture) else open_pages(source)
        try:
            windows += [
                _window(page, share, len(windows) + index) for index, page in enumerate(pages) if index % every == 0
            ]
        except PictureError as error:
            refuse(error)
    if not windows:
        raise refusals[0] if refusals else DataError("there is no picture to learn from")
    return windows


def _window(page: PictureStream, share: float, index: int) -> Picture:
    """A window of a page, at a random place; the whole where all pages can be held."""
    if share >= 1:
        return page.whole()
    sides = [min(side, max(_SMALLEST_WINDOW, int(side * math.sqrt(share)))) for side in (page.height, page.width)]
    generator = np.random.default_rng(index)
    top, left = (
        int(generator.integers(whole - side + 1)) for whole, side in zip((page.height, page.width), sides, strict=True)
    )
    rows = Window(page).rows(slice(top, top + sides[0]))
    columns = slice(left, left + sides[1])
    alpha = None if rows.alpha is None else rows.alpha[:, columns].copy()
    return replace(rows, pixels=rows.pixels[:, columns].copy(), alpha=alpha)


def _values(window: Picture) -> NDArray[np.float32]:
    values = tile_of(window, _WHOLE, _WHOLE).copy()
    weight = weight_of(window, _WHOLE, _WHOLE)
    if weight is not None:
        values[weight <= 0] = 0
    return values


def _levels(pictures: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """The values between which nearly all lie; 0 and 1 where they fill more than half of these."""
    every = max(1, sum(values.size for values in pictures) // 2**22)
    values = np.concatenate([picture.ravel()[::every] for picture in pictures])
    low, high = (float(value) for value in np.quantile(values, (_RARE, 1 - _RARE)))
    if not low < high:
        raise DataError("all values are the same; there is nothing to learn from")
    return (0.0, 1.0) if high - low > 0.5 else (low, high)
