"""Squares of pictures: to learn from, and to judge by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pictures = Sequence[NDArray[np.float32]]

_CORNERS = ((0, 0), (1, 1), (0, 1), (1, 0))  # top or bottom, left or right
_TRIALS = 100


class Place(NamedTuple):
    """A square of a picture, in pixels."""

    picture: int
    top: int
    left: int
    side: int

    def meets(self, other: "Place") -> bool:
        """Whether they share a pixel."""
        vertically = self.top < other.top + other.side and other.top < self.top + self.side
        horizontally = self.left < other.left + other.side and other.left < self.left + self.side
        return self.picture == other.picture and vertically and horizontally

    def cut(self, pictures: Pictures) -> Tensor:
        """Its pixels, (C, side, side)."""
        rows, columns = slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)
        return torch.from_numpy(pictures[self.picture][rows, columns]).permute(2, 0, 1)


def corners(pictures: Pictures, count: int, side: int, room: int) -> list[Place]:
    """Squares in corners of pictures, at most one in each corner and spread over the pictures.

    Args:
        pictures: (H, W, C) each.
        count: at most so many; fewer where there are not enough corners.
        side: in pixels.
        room: side of another square that has to find place beside those in the picture's corners.
    """
    roomy = [index for index, values in enumerate(pictures) if min(values.shape[:2]) >= 2 * side + room]
    places: list[Place] = []
    for bottom, right in _CORNERS:
        for picture in roomy[:: max(1, len(roomy) // count)]:
            height, width = pictures[picture].shape[:2]
            places.append(Place(picture, bottom * (height - side), right * (width - side), side))
    return places[:count]


def anywhere(
    pictures: Pictures, picture: int, side: int, avoid: Sequence[Place], generator: np.random.Generator
) -> Place:
    """A square at random that meets none of those to avoid, in a picture that has room for it beside these."""
    height, width = map(int, pictures[picture].shape[:2])
    place = Place(picture, 0, 0, side)
    for _ in range(_TRIALS):
        top, left = int(generator.integers(height - side + 1)), int(generator.integers(width - side + 1))
        place = Place(picture, top, left, side)
        if not any(place.meets(other) for other in avoid):
            return place
    return Place(picture, (height - side) // 2, (width - side) // 2, side)


def turned(crop: Tensor, generator: np.random.Generator) -> Tensor:
    """A crop (…, n, n) in one of its eight orientations, at random."""
    crop = torch.rot90(crop, int(generator.integers(4)), (-2, -1))
    return crop.flip(-1) if generator.integers(2) else crop
