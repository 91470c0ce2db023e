"""What a network sees of a picture, and how its answer becomes a picture again.

A network sees values in 0..1 and, where the picture shows nothing, the colours around. Its answer counts as a change,
so that a network that changes nothing gives back every picture bit for bit, whatever its range.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.images.picture import Picture, scaled
from pellucid.images.transparency import bleed


def tile_of(picture: Picture, rows: slice, columns: slice) -> NDArray[np.float32]:
    """A tile `(rows, columns, C)` as a network is to see it, finite wherever the picture shows anything.

    Each tile is filled by itself, so memory is bounded; what is filled in never reaches the result.
    """
    tile = scaled(picture.pixels[rows, columns], picture.span)
    weight = weight_of(picture, rows, columns)
    return tile if weight is None else bleed(tile, weight)


def changed(picture: Picture, answer: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """The pixels of a picture with a share of the network's change, within its span, on its scale.

    Those that show nothing (transparent, no data, not numbers) come back as they were, and so does what lies beyond the
    span but for being drawn towards it.
    """
    source, (low, high) = picture.pixels, picture.span
    with np.errstate(invalid="ignore"):  # of what shows nothing
        change = np.float32(strength) * (answer - scaled(source, picture.span))
        if picture.span != (0.0, 1.0):
            change = change.astype(np.float64) * (high - low)
        result = (source + change).astype(np.float32)
        np.clip(result, np.minimum(source, np.float32(low)), np.maximum(source, np.float32(high)), out=result)
    weight = weight_of(picture, slice(None), slice(None))
    if weight is not None:
        np.copyto(result, source, where=(weight <= 0)[..., np.newaxis])
    return result


def count_not_numbers(picture: Picture) -> int:
    """How many pixels hold a value that is infinite or not a number."""
    return picture.height * picture.width - int(np.isfinite(picture.pixels).all(axis=2).sum())


def weight_of(picture: Picture, rows: slice, columns: slice) -> NDArray[np.float32] | None:
    """How much each pixel shows; None where that is no question."""
    alpha = picture.alpha[rows, columns] if picture.alpha is not None else None
    if picture.numbers != "float" and picture.no_data is None:
        return alpha
    tile = picture.pixels[rows, columns]
    shows: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(tile), axis=2)
    if picture.no_data is not None:
        shows &= np.logical_or.reduce(tile != np.float32(picture.no_data), axis=2)
    if alpha is None:
        return None if shows.all() else shows.astype(np.float32)
    weight = alpha.copy()
    weight[~(shows & (alpha > 0))] = 0
    return weight
