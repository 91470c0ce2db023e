"""Before and after, gathered from the bands of a picture while it is restored, so that nothing is read twice.

What is kept is bounded: two pairs made smaller by averaging, one to lie side by side in a file and a larger one to look
into, and the three places that changed most, pixel by pixel, because averaging hides noise.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.images.picture import Picture, scaled, to_integers
from pellucid.images.view import weight_of

_MOST_SIDE = 4096  # of the picture with both
_MOST_SIDE_OF_ONE = 16384  # what browsers show
_GAP = 8  # pixels between before and after
_GREY = 128  # of gaps, and what shows through where a picture is transparent
_DETAILS, _DETAIL_SIDE = 3, 256


class View(NamedTuple):
    """Before and after as 8-bit samples `(H, W, C)`; each of their pixels stands for `reduction`² of the result."""

    name: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    reduction: int = 1


class Comparison:
    """Takes a picture before and after its restoration, from the first row to the last.

    Args:
        width, height, channels: of both.
        most_pixels: of the larger pair; how much memory that and the rest take is `bytes_held`.
    """

    def __init__(self, width: int, height: int, channels: int, *, most_pixels: int = 2**24) -> None:
        self.width, self.height, self._channels = width, height, channels
        self._side_by_side = self._reduction(lambda w, h: 2 * w + _GAP <= _MOST_SIDE and h <= _MOST_SIDE)
        self._large = self._reduction(lambda w, h: w * h <= most_pixels and max(w, h) <= _MOST_SIDE_OF_ONE)
        size = (width, height, channels)
        self._pairs = {
            factor: (_Reduced(*size, factor), _Reduced(*size, factor)) for factor in {self._side_by_side, self._large}
        }
        self._details = _Details(*size) if self._side_by_side > 1 else None
        self._rows, self._change, self.largest_change = 0, 0.0, 0.0

    def add(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        """Take the next rows `(h, W, C)`, in 0..1 as `shown` gives them.

        Raises ValueError for rows that are not those of the picture.
        """
        self._rows += len(after)
        if not before.shape == after.shape == (len(after), self.width, self._channels) or self._rows > self.height:
            raise ValueError(f"rows of shape {before.shape} and {after.shape} are not those of the picture")
        change = np.abs(after - before)
        self._change += float(change.sum(dtype=np.float64))
        self.largest_change = max(self.largest_change, float(change.max()))
        for reduced_before, reduced_after in self._pairs.values():
            reduced_before.add(before)
            reduced_after.add(after)
        if self._details:
            self._details.add(before, after, change.sum(axis=2))

    @property
    def mean_change(self) -> float:
        """Mean of |after − before| over all pixels and channels, 0..1."""
        return self._change / (self.width * self.height * self._channels)

    @property
    def bytes_held(self) -> int:
        """Memory that it takes once rows have come, besides some copies of those that come at a time."""
        pairs = sum(reduced.samples.nbytes for pair in self._pairs.values() for reduced in pair)
        return pairs + (self._details.bytes_held if self._details else 0)

    def side_by_side(self) -> NDArray[np.uint8]:
        """Before on the left, after on the right, and below, where these are reduced, pairs of details as they are."""
        before, after = self._pairs[self._side_by_side]
        pictures = [_joined([before.samples, after.samples], 1)]
        if details := self.details():
            pairs = [_joined([detail.before, detail.after], 1) for detail in details]
            pictures.append(_joined(pairs, 1, gap=3 * _GAP))
        return _joined(pictures, 0)

    def whole(self) -> View:
        """All of the picture, reduced where it is larger than a browser should show."""
        before, after = self._pairs[self._large]
        name = "Whole picture" if self._large == 1 else f"Whole picture at 1/{self._large} of its size"
        return View(name, before.samples, after.samples, self._large)

    def details(self) -> list[View]:
        """The places that changed most, the most first; none where the whole is not reduced side by side."""
        best = self._details.best if self._details else []
        return [
            View(f"Detail {number} at {tile.left}, {tile.top}", tile.before, tile.after)
            for number, tile in enumerate(best, 1)
        ]

    def _reduction(self, fits: Callable[[int, int], bool]) -> int:
        """The smallest whole number by which to reduce the picture so that it fits."""
        return next(n for n in itertools.count(1) if fits(-(-self.width // n), -(-self.height // n)))


def shown(picture: Picture) -> NDArray[np.float32]:
    """A picture or rows of it as a person is to see it: its span from black to white, grey where it shows nothing.

    Returns (H, W, C) in 0..1.
    """
    grey = np.float32(_GREY / 255)
    values = np.clip(scaled(picture.pixels, picture.span), 0, 1)
    weight = weight_of(picture, slice(None), slice(None))
    if weight is None:
        return values
    weight = weight[..., np.newaxis]
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, grey + weight * (values - grey), grey)


class _Reduced:
    """A picture made smaller, each pixel the average of a square of `factor`² (fewer at the right and lower edge)."""

    def __init__(self, width: int, height: int, channels: int, factor: int) -> None:
        self.samples = np.empty((-(-height // factor), -(-width // factor), channels), np.uint8)
        self._factor, self._rows_left, self._done = factor, height, 0
        self._waiting: NDArray[np.float32] = np.empty((0, self.samples.shape[1], channels), np.float32)

    def add(self, rows: NDArray[np.float32]) -> None:
        self._rows_left -= len(rows)
        rows = np.concatenate([self._waiting, _averaged(rows, 1, self._factor)])
        whole = len(rows) // self._factor * self._factor if self._rows_left else len(rows)
        if whole:
            means = _averaged(rows[:whole], 0, self._factor)
            to_integers(means, 8, out=self.samples[self._done : self._done + len(means)])
            self._done += len(means)
        self._waiting = rows[whole:].copy()


class _Tile(NamedTuple):
    """A place in a picture, how much it changed, and its pixels."""

    change: float
    left: int
    top: int
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


class _Details:
    """The tiles of a grid that changed most; what is left over at the right and lower edge is not looked at."""

    def __init__(self, width: int, height: int, channels: int) -> None:
        self.best: list[_Tile] = []
        self._height, self._width = min(_DETAIL_SIDE, height), min(_DETAIL_SIDE, width)
        self._columns = width // self._width
        self._pixels = np.empty((2, self._height, self._columns * self._width, channels), np.uint8)
        self._changes = np.zeros(self._columns)
        self._top = self._filled = 0  # the first row of the present tiles, and how many of theirs have come

    @property
    def bytes_held(self) -> int:
        return self._pixels.nbytes + _DETAILS * 2 * self._pixels[0, :, : self._width].nbytes

    def add(self, before: NDArray[np.float32], after: NDArray[np.float32], change: NDArray[np.float32]) -> None:
        width = self._pixels.shape[2]
        while len(before):
            take = min(self._height - self._filled, len(before))
            rows = slice(self._filled, self._filled + take)
            for pixels, values in zip(self._pixels, (before, after), strict=True):
                to_integers(values[:take, :width], 8, out=pixels[rows])
            self._changes += change[:take, :width].reshape(take, self._columns, -1).sum((0, 2), dtype=np.float64)
            self._filled += take
            before, after, change = before[take:], after[take:], change[take:]
            if self._filled == self._height:
                self._judge()

    def _judge(self) -> None:
        for column in np.argsort(-self._changes, kind="stable")[:_DETAILS]:
            left, change = int(column) * self._width, float(self._changes[column])
            before, after = self._pixels[:, :, left : left + self._width].copy()
            if change:
                self.best.append(_Tile(change, left, self._top, before, after))
        self.best = sorted(self.best, key=lambda tile: -tile.change)[:_DETAILS]
        self._top += self._height
        self._filled = 0
        self._changes[:] = 0


def _averaged(values: NDArray[np.float32], axis: int, factor: int) -> NDArray[np.float32]:
    """The means of `factor` neighbours along an axis, of fewer at its end."""
    if factor == 1:
        return values
    starts = range(0, values.shape[axis], factor)
    counts = np.array([min(factor, values.shape[axis] - start) for start in starts], np.float32)
    counts = np.expand_dims(counts, tuple(other for other in range(3) if other != axis))
    sums: NDArray[np.float32] = np.add.reduceat(values, starts, axis=axis)
    return sums / counts


def _joined(pictures: Sequence[NDArray[np.uint8]], axis: int, gap: int = _GAP) -> NDArray[np.uint8]:
    """Pictures beside (axis 1) or below (axis 0) one another on grey."""
    shape = list(np.max([picture.shape for picture in pictures], axis=0))
    shape[axis] = sum(picture.shape[axis] for picture in pictures) + gap * (len(pictures) - 1)
    canvas = np.full(shape, _GREY, np.uint8)
    at = 0
    for picture in pictures:
        place = [slice(0, size) for size in picture.shape]
        place[axis] = slice(at, at + picture.shape[axis])
        canvas[tuple(place)] = picture
        at += picture.shape[axis] + gap
    return canvas
