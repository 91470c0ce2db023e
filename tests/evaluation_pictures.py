"""Saving arrays of bytes as the pictures of a set."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.images import Picture
from pellucid.images.picture import to_floats


def save(pixels: NDArray[np.uint8], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture(pixels=to_floats(pixels)).save(path)
    return path
