"""Comparing pictures that may lie a few pixels beside each other, as after a blur whose centre nobody knows."""

import itertools

import numpy as np
from numpy.typing import NDArray


def best_aligned(
    restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, reach: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut two pictures so that they fit each other best: by the whole shift of the least mean square error.

    A. Levin et al., "Understanding and evaluating blind deconvolution algorithms", CVPR 2009, compare so.

    Args:
        restored, clean: (H, W, C) each.
        reach: the largest shift in pixels along each axis.

    Returns:
        Both, smaller by `reach` pixels at each side: what of the restored fits best, and the middle of the clean one.

    Raises:
        ValueError: the shapes differ, or nothing is left.
    """
    if restored.shape != clean.shape or clean.ndim != 3 or min(clean.shape[:2]) <= 2 * reach:
        raise ValueError(f"{restored.shape} and {clean.shape} cannot be aligned within {reach} pixels")
    height, width = clean.shape[0] - 2 * reach, clean.shape[1] - 2 * reach
    middle = clean[reach : reach + height, reach : reach + width]
    wanted = middle.astype(np.float32)

    def error(corner: tuple[int, int]) -> float:
        top, left = corner
        return float(np.square(restored[top : top + height, left : left + width] - wanted).mean(dtype=np.float64))

    places = range(2 * reach + 1)
    top, left = min(itertools.product(places, places), key=error)
    return restored[top : top + height, left : left + width], middle
