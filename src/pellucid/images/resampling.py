"""Resizing by cubic convolution, as MATLAB's `imresize` does: what super-resolution is trained on and measured with.

R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 15 (a = −1/2). Where a
picture shrinks, the kernel is stretched by the same factor, so that nothing aliases. Pixels are areas: the centre of
target pixel i lies at (i + 1/2) · source/target − 1/2 of the source. Beyond the border the picture is reflected, the
border pixel included.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SUPPORT = 2
"""Source pixels on either side that a value depends on; times source/target where the picture shrinks."""


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel, a = −1/2: 1 at 0, 0 at the other whole numbers and from ±2 outwards."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def resized(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize a picture.

    Args:
        values: (H, W, C), any values.
        height, width: of the result, at least 1.

    Returns:
        (height, width, C), not clipped: the kernel overshoots at edges.
    """
    return resized_rows(values, values.shape[0], height, width, slice(0, height))


def source_rows(source: int, target: int, rows: slice) -> slice:
    """Return the rows that some rows of a resized picture depend on.

    Args:
        source, target: rows of the picture before and after.
        rows: of the picture after.
    """
    indices = _taps(source, target, rows).indices
    return slice(int(indices.min()), int(indices.max()) + 1)


def resized_rows(band: NDArray[np.float32], source: int, height: int, width: int, rows: slice) -> NDArray[np.float32]:
    """Resize a band of a picture: the same values, to the bit, as these rows of the whole picture resized.

    Args:
        band: (B, W, C), the rows `source_rows(source, height, rows)` of the picture.
        source: rows of the whole picture.
        height, width: of the whole result.
        rows: those of the result that are wanted.

    Returns:
        (rows, width, C).
    """
    vertical = _taps(source, height, rows)
    horizontal = _taps(band.shape[1], width, slice(0, width))
    values = band
    if source != height:
        values = _combined(values, vertical._replace(indices=vertical.indices - vertical.indices.min()), axis=0)
    return values if band.shape[1] == width else _combined(values, horizontal, axis=1)


class _Taps(NamedTuple):
    """For each target pixel, the source pixels that it is made of and their weights, each (targets, taps)."""

    indices: NDArray[np.intp]
    weights: NDArray[np.float32]


def _taps(source: int, target: int, rows: slice) -> _Taps:
    if source == target:
        return _Taps(np.arange(rows.start, rows.stop)[:, None], np.ones((rows.stop - rows.start, 1), np.float32))
    stretch = max(source / target, 1.0)
    centres = (np.arange(rows.start, rows.stop, dtype=np.float64) + 0.5) * (source / target) - 0.5
    first = np.floor(centres - SUPPORT * stretch).astype(np.intp)
    indices = first[:, None] + np.arange(math.ceil(2 * SUPPORT * stretch) + 1)
    weights = cubic((centres[:, None] - indices) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = (weights != 0).any(axis=0)
    return _Taps(_reflected(indices[:, used], source), weights[:, used].astype(np.float32))


def _reflected(indices: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices of a signal that is reflected at its borders without end: … 1 0 | 0 1 … n−1 | n−1 n−2 …"""
    indices = indices % (2 * length)
    return np.minimum(indices, 2 * length - 1 - indices)


def _combined(values: NDArray[np.float32], taps: _Taps, axis: int) -> NDArray[np.float32]:
    """Weighted sums along an axis of (H, W, C)."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total = np.zeros(1, np.float32)
    for indices, weights in zip(taps.indices.T, taps.weights.T, strict=True):
        total = total + weights.reshape(shape) * np.take(values, indices, axis=axis)
    return total
