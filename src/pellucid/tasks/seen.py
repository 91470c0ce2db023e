"""Which values of its pictures a network has learned to see as black and white, where those are not the usual ones."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Self

from pellucid.errors import CheckpointError
from pellucid.images import PictureStream

Pair = tuple[float, float]


class Seen(NamedTuple):
    """What a network sees of a picture.

    Attributes:
        span: the values of scientific pictures that are 0 and 1, as `Picture.span`; None for each picture's own.
        levels: the values between these, or of other pictures, that are the network's 0 and white.
    """

    span: Pair | None = None
    levels: Pair = (0.0, 1.0)

    @classmethod
    def by(cls, about: Mapping[str, str]) -> Self:
        """Read what a weight file says; raises CheckpointError where that makes no sense."""
        span = _pair(about["span"]) if "span" in about else None
        return cls(span, _pair(about["levels"])) if "levels" in about else cls(span)

    def about(self) -> dict[str, str]:
        """What a weight file says of it."""
        said = {"levels": f"{self.levels[0]!r} {self.levels[1]!r}"}
        return said if self.span is None else {**said, "span": f"{self.span[0]!r} {self.span[1]!r}"}

    def spanning(self, stream: PictureStream) -> PictureStream:
        """A picture that is to be seen so."""
        if self.span is None or stream.numbers == "unsigned":
            return stream
        stripes, span = stream.stripes, self.span
        return replace(stream, span=span, stripes=lambda: (replace(stripe, span=span) for stripe in stripes()))


def _pair(words: str) -> Pair:
    try:
        low, high = map(float, words.split())
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CheckpointError(f"these weights say of the values they are for what makes no sense: {words!r}")
    return low, high
