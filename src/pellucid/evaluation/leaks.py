"""Finding pictures of a test set that are in a training set, whole or in part, by what they look like.

Pictures are compared by their grey values at a small size, normalised to the mean 0 and the norm 1, so that the product
of two is their correlation: changes of brightness, contrast, format and size do not hide a copy. Whole pictures are
compared in all eight orientations. Parts are compared upright and without what is coarser than a few pixels, because
the light and the shade of two skies are alike in any two photographs, and their details are not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.data import read_rgb8
from pellucid.images.picture import to_floats
from pellucid.images.resampling import resized

WHOLE, PART = 0.96, 0.74  # correlations above these are copies
_SIDE = 24  # pixels that whole pictures are compared at
_SUSPECT = 0.62  # a correlation of parts, at a coarse look, that makes a second look worth while
_SMALLEST = 0.26  # share of a photograph's shorter side that a part fills at least
_FLAT = 3e-3  # a standard deviation below which there is nothing to tell pictures by
_GREY = np.array([0.2989, 0.5870, 0.1140], np.float32)

Plane: TypeAlias = NDArray[np.float32]


class _View(NamedTuple):
    """How closely parts are compared: squares of so many pixels, whose sizes in the photograph follow by a factor."""

    side: int
    factor: float

    @property
    def shares(self) -> list[float]:
        """Of the photograph's shorter side that a square may fill: 1 and less."""
        return [self.factor**step for step in range(int(np.log(_SMALLEST) / np.log(self.factor)) + 1)]


# A line such as a horizon is like any other line from afar; a copy stays one when it is seen closely.
_AFAR, _CLOSELY = _View(24, 0.92), _View(48, 0.96)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is compared of a picture: its grey values (H, W), small."""

    path: Path
    grey: Plane


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Of all photographs, the one that is most like a picture, or that has a part most like the picture's middle."""

    photograph: Path
    picture: Path
    correlation: float


def look_at(path: Path, *, shorter: int = 200) -> Look:
    """Read a picture, and keep its grey values at that many pixels along the shorter side."""
    return Look(path=path, grey=_scaled(to_floats(read_rgb8(path)) @ _GREY, shorter))


def most_like(photographs: Sequence[Look], pictures: Iterable[Look]) -> Iterator[Likeness]:
    """Compare whole pictures, whatever their shape, in all eight orientations."""
    rows = _normalised(np.stack([_resized(look.grey, _SIDE, _SIDE) for look in photographs])).reshape(-1, _SIDE**2)
    for picture in pictures:
        square = _resized(picture.grey, _SIDE, _SIDE)
        turned = np.stack([np.rot90(way, turns) for way in (square, square[:, ::-1]) for turns in range(4)])
        found = (rows @ _normalised(turned).reshape(8, -1).T).max(axis=1)
        best = int(found.argmax())
        yield Likeness(photograph=photographs[best].path, picture=picture.path, correlation=float(found[best]))


def most_like_in_part(photographs: Sequence[Look], pictures: Sequence[Look]) -> list[Likeness]:
    """Look in photographs, at many sizes and at every place, for the square in the middle of each picture."""
    found = _in_part(photographs, pictures, _AFAR)
    for row, column in np.argwhere(found > _SUSPECT).tolist():
        found[row, column] = _in_part([photographs[row]], [pictures[column]], _CLOSELY).item()
    best: list[int] = found.argmax(axis=0).tolist()
    return [
        Likeness(photograph=photographs[row].path, picture=picture.path, correlation=float(found[row, column]))
        for column, (row, picture) in enumerate(zip(best, pictures, strict=True))
    ]


def _in_part(photographs: Sequence[Look], pictures: Sequence[Look], view: _View) -> Plane:
    """The highest correlation of each photograph with each picture's middle, (photographs, pictures)."""
    squares = _normalised(np.stack([_details(_middle(picture.grey, view.side), view.side) for picture in pictures]))
    found = np.zeros((len(photographs), len(pictures)), np.float32)
    for share in view.shares:
        spectra: dict[tuple[int, int], NDArray[np.complex64]] = {}  # large, and of use for photographs of one shape
        for row, photograph in zip(found, photographs, strict=True):
            plane = _details(_scaled(photograph.grey, round(view.side / share)), view.side)
            shape = (-(-plane.shape[0] // 12) * 12, -(-plane.shape[1] // 12) * 12)  # lengths whose transforms are fast
            if shape not in spectra:
                spectra[shape] = np.conj(np.fft.rfft2(squares, s=shape)).astype(np.complex64)
            np.maximum(row, _correlations(plane, spectra[shape], shape, view.side).max(axis=(1, 2)), out=row)
    return found


def _correlations(plane: Plane, spectra: NDArray[np.complex64], shape: tuple[int, int], side: int) -> Plane:
    """The correlation of each square with what lies at each place (n, H − side + 1, W − side + 1) of a plane."""
    height, width = (length - side + 1 for length in plane.shape)
    products = np.fft.irfft2(np.fft.rfft2(plane, s=shape) * spectra, s=shape)[:, :height, :width]
    sums = _box_sums(plane.astype(np.float64), side)
    squares = _box_sums(np.square(plane, dtype=np.float64), side)
    norms = np.sqrt(np.maximum(squares - sums**2 / side**2, 0))
    return np.where(norms > _FLAT * side, products / np.maximum(norms, 1e-9), 0).astype(np.float32)


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sums over the square at each place."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _normalised(squares: Plane) -> Plane:
    """Squares (n, side, side) of mean 0 and norm 1; flat ones become 0."""
    squares = squares - squares.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt(np.square(squares).sum(axis=(1, 2), keepdims=True))
    return np.where(norms > _FLAT * squares.shape[1], squares / np.maximum(norms, 1e-9), 0).astype(np.float32)


def _middle(grey: Plane, side: int) -> Plane:
    """The square in the middle, as large as there is room for, as (side, side)."""
    short = min(grey.shape)
    top, left = (grey.shape[0] - short) // 2, (grey.shape[1] - short) // 2
    return _resized(grey[top : top + short, left : left + short], side, side)


def _details(plane: Plane, side: int) -> Plane:
    """A plane without what is coarser than a few pixels, for squares of that side."""
    share = 6 / side
    coarse = _resized(plane, max(1, round(plane.shape[0] * share)), max(1, round(plane.shape[1] * share)))
    return plane - _resized(coarse, *plane.shape)


def _scaled(plane: Plane, shorter: int) -> Plane:
    factor = shorter / min(plane.shape)
    height, width = (max(shorter, round(length * factor)) for length in plane.shape)
    return _resized(plane, height, width)


def _resized(plane: Plane, height: int, width: int) -> Plane:
    return resized(plane[..., np.newaxis], height, width)[..., 0]
