"""Which values of a picture are black and white: scientific data fill a part of their range, and no file says which."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from pellucid.images._survey import Survey
from pellucid.images.picture import Picture, Samples

Span: TypeAlias = tuple[float, float]

_DEPTHS_IN_16 = (8, 10, 12, 14)
_RARE = 0.0001  # the share of outliers at either end, such as hot pixels
_MOST_LOOKED_AT = 2**22


class Values(NamedTuple):
    """What a picture's values span, and how many of its pixels hold one that is no number."""

    span: Span
    not_numbers: int


def values_of(stripes: Iterator[Samples], survey: Survey) -> Values:
    """Look at the values of a picture, going through its stripes once.

    The span is those to be seen as black and white, in the units of a picture's pixels. Of unsigned numbers the fewest
    bits that hold them; of signed ones and floats 0..1 if that holds them all, else from 0 or the darkest to the
    brightest. The rarest at either end do not count, nor do values that are not numbers.
    """
    step = max(1, survey.height * survey.width * survey.channels // _MOST_LOOKED_AT)
    looked_at: list[Samples] = []
    seen = not_numbers = 0
    all_usual = survey.numbers == "float"
    for stripe in stripes:
        samples = stripe[..., : survey.channels]
        values = samples.reshape(-1)
        looked_at.append(values[-seen % step :: step].copy())
        seen += len(values)
        if survey.numbers == "float":
            finite = np.isfinite(samples)
            not_numbers += finite[..., 0].size - int(finite.all(axis=2).sum())
            all_usual &= bool(((samples >= 0) & (samples <= 1) | ~finite).all())
    values = np.concatenate(looked_at)
    return Values((0.0, 1.0) if all_usual else _span(values, survey), not_numbers)


def about_values(picture: Picture, not_numbers: int) -> Iterator[str]:
    """What to tell of values that are not the usual ones."""
    low, high = picture.span
    if picture.numbers == "unsigned" and high < 1:
        top = 2**picture.bit_depth - 1
        yield f"its values use {round(high * top) + 1} of {top + 1} steps; the network sees the brightest step as white"
    elif picture.span != (0.0, 1.0):
        yield f"the network sees its values {low:g} to {high:g} as black to white; they are kept on their scale"
    if not_numbers:
        yield f"{not_numbers} of its pixels are not numbers (NaN or infinite); they stay as they are"


def _span(values: Samples, survey: Survey) -> Span:
    if survey.no_data is not None:
        values = values[values != survey.no_data]
    if not values.size:
        return 0.0, 1.0
    if survey.numbers == "unsigned":
        most = int(np.quantile(values, 1 - _RARE, method="higher"))
        depth = next((depth for depth in _DEPTHS_IN_16 if most < 2**depth), survey.bit_depth)
        return 0.0, (2**depth - 1) / (2**survey.bit_depth - 1)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low = float(np.quantile(values, _RARE, method="lower"))
    high = float(np.quantile(values, 1 - _RARE, method="higher"))
    if 0 <= low <= high / 2:
        low = 0.0
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))
