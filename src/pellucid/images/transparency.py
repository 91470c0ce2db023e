"""What a network sees where a picture shows nothing: the colours around it, so that no halo comes from hidden ones.

Files store any colour under full transparency, often black. A network that saw it would draw it into the pixels around.
"""

import numpy as np
from numpy.typing import NDArray


def bleed(pixels: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill the pixels of weight 0 smoothly from those around them; the others stay bit for bit.

    Args:
        pixels: colours (H, W, C); what stands under weight 0 is not looked at, and may be NaN.
        weight: how much each pixel (H, W) shows, 0..1, such as alpha.

    Returns:
        A new array, of zeros where no pixel shows; `pixels` itself where all do.
    """
    hidden = weight <= 0
    if not hidden.any():
        return pixels
    if hidden.all():
        return np.zeros_like(pixels)
    known = np.where(hidden[..., np.newaxis], np.float32(0), pixels)
    return _filled(known, np.where(hidden, np.float32(0), weight)[..., np.newaxis])


def _filled(colours_HWC: NDArray[np.float32], weight_HW1: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace colours of weight 0 by the same of the half-sized picture, which averages what shows; at least one does.

    So a hole takes the colours nearest to it, and no pixel is further away than the picture has levels.
    """
    hidden_HW1 = weight_HW1 <= 0
    if not hidden_HW1.any():
        return colours_HWC
    total = _halved(weight_HW1)
    average = _halved(colours_HWC * weight_HW1)
    np.divide(average, total, out=average, where=total > 0)
    coarse = _filled(average, np.minimum(total, 1))
    height, width, _ = colours_HWC.shape
    around = _doubled(_doubled(coarse, 0)[:height], 1)[:, :width]
    return np.where(hidden_HW1, around, colours_HWC)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of 2 × 2; an odd last row or column stands alone."""
    for axis in (0, 1):
        values = np.add.reduceat(values, range(0, values.shape[axis], 2), axis=axis)
    return values


def _doubled(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Twice the length along an axis, with straight lines between the middles of neighbours."""
    ends = [(int(i == axis),) * 2 for i in range(values.ndim)]
    padded = np.moveaxis(np.pad(values, ends, mode="edge"), axis, 0)
    middle = padded[1:-1] * np.float32(0.75)
    doubled = np.stack([middle + padded[:-2] * np.float32(0.25), middle + padded[2:] * np.float32(0.25)], axis=1)
    return np.moveaxis(doubled.reshape(-1, *doubled.shape[2:]), 0, axis)
