"""Which values of a picture are black and white: scientific data fill a part of their range, and no file says which."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from pellucid.images._survey import Survey
from pellucid.images.picture import Picture, Samples
from pellucid.images.view import count_not_numbers

Span: TypeAlias = tuple[float, float]

_DEPTHS_IN_16 = (8, 10, 12, 14)
_RARE = 0.0001  # the share of outliers at either end, such as hot pixels
_MOST_LOOKED_AT = 2**22


def span_of(samples: Samples, survey: Survey) -> Span:
    """The values to be seen as black and white, in the units of a picture's pixels.

    Of unsigned numbers the fewest bits that hold them; of signed ones and floats 0..1 if that holds them all, else from
    0 or the darkest to the brightest. The rarest at either end do not count, nor do values that are not numbers.
    """
    values = samples.reshape(-1)[:: max(1, samples.size // _MOST_LOOKED_AT)]
    if survey.no_data is not None:
        values = values[values != survey.no_data]
    if not values.size:
        return 0.0, 1.0
    if survey.numbers == "unsigned":
        most = int(np.quantile(values, 1 - _RARE, method="higher"))
        depth = next((depth for depth in _DEPTHS_IN_16 if most < 2**depth), survey.bit_depth)
        return 0.0, (2**depth - 1) / (2**survey.bit_depth - 1)
    if samples.dtype.kind == "f" and bool(((samples >= 0) & (samples <= 1) | ~np.isfinite(samples)).all()):
        return 0.0, 1.0
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low = float(np.quantile(values, _RARE, method="lower"))
    high = float(np.quantile(values, 1 - _RARE, method="higher"))
    if 0 <= low <= high / 2:
        low = 0.0
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def about_values(picture: Picture) -> Iterator[str]:
    """What to tell of values that are not the usual ones."""
    low, high = picture.span
    if picture.numbers == "unsigned" and high < 1:
        top = 2**picture.bit_depth - 1
        yield f"its values use {round(high * top) + 1} of {top + 1} steps; the network sees the brightest step as white"
    elif picture.span != (0.0, 1.0):
        yield f"the network sees its values {low:g} to {high:g} as black to white; they are kept on their scale"
    if picture.numbers == "float" and (count := count_not_numbers(picture)):
        yield f"{count} of its pixels are not numbers (NaN or infinite); they stay as they are"
