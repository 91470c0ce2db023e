"""Pictures whose rows come one stripe after another, so that none is ever in memory whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pellucid.errors import PictureError
from pellucid.images.picture import BitDepth, Metadata, Numbers, Picture
from pellucid.images.view import count_not_numbers

_STRIPE_BYTES = 2**21  # of floats that are made, changed or written at a time
_MOST_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureStream:
    """All of a `Picture` but its pixels, and a way to go through these from top to bottom.

    Attributes:
        height, width, channels, has_alpha, bit_depth, numbers, span, no_data, metadata, notes: see `Picture`.
        not_numbers: how many pixels hold a value that is infinite or not a number.
        bytes_held: memory that the source takes while its rows come, besides the rows themselves.
        stripes: gives the rows from the first to the last, a few at a time, as pictures of full width; each call is a
            new pass, and each stripe remains as it is.
    """

    height: int
    width: int
    channels: int
    has_alpha: bool
    bit_depth: BitDepth
    numbers: Numbers
    span: tuple[float, float]
    no_data: float | None
    metadata: Metadata
    notes: tuple[str, ...]
    not_numbers: int
    bytes_held: int
    stripes: Callable[[], Iterator[Picture]]

    @classmethod
    def of(cls, picture: Picture) -> "PictureStream":
        """A picture in memory as a stream."""
        return cls(
            height=picture.height,
            width=picture.width,
            channels=picture.channels,
            has_alpha=picture.has_alpha,
            bit_depth=picture.bit_depth,
            numbers=picture.numbers,
            span=picture.span,
            no_data=picture.no_data,
            metadata=picture.metadata,
            notes=picture.notes,
            not_numbers=count_not_numbers(picture) if picture.numbers == "float" else 0,
            bytes_held=0,
            stripes=lambda: (rows_of(picture, rows) for rows in row_slices(picture.height, picture.width)),
        )

    def whole(self) -> Picture:
        """The picture in memory."""
        picture = Picture(
            pixels=np.empty((self.height, self.width, self.channels), np.float32),
            alpha=np.empty((self.height, self.width), np.float32) if self.has_alpha else None,
            bit_depth=self.bit_depth,
            numbers=self.numbers,
            span=self.span,
            no_data=self.no_data,
            metadata=self.metadata,
            notes=self.notes,
        )
        top = 0
        for stripe in self.stripes():
            _put(stripe, picture, top)
            top += stripe.height
        return picture


class Window:
    """Rows of a stream in memory: those that are looked at, moving down, in one buffer that is used again and again."""

    def __init__(self, stream: PictureStream) -> None:
        self._stripes = stream.stripes()
        self._buffer: Picture | None = None
        self._top = self._front = 0  # the first row in the buffer, and the one after its last
        self._rest: Picture | None = None  # of the stripe that came last, from the front on

    def rows(self, rows: slice) -> Picture:
        """These rows, until the next call, which may not start further up than this one.

        Raises PictureError where the stream ends before, ValueError for rows that are gone.
        """
        count = rows.stop - rows.start
        if rows.start < self._top:
            raise ValueError(f"row {rows.start} is gone; the window starts at {self._top}")
        kept = max(self._front - rows.start, 0)
        buffer = self._moved(rows.start - self._top, kept, count)
        self._top = rows.start
        while kept < count:
            stripe = self._rest or self._next()
            skipped = max(rows.start - self._front, 0)
            used = min(skipped + count - kept, stripe.height)
            if used > skipped:
                buffer = buffer or _room_like(stripe, count)
                _put(rows_of(stripe, slice(skipped, used)), buffer, kept)
                kept += used - skipped
            self._rest = rows_of(stripe, slice(used, None)) if used < stripe.height else None
            self._front += used
        assert buffer is not None
        self._buffer = buffer
        return rows_of(buffer, slice(0, count))

    def _moved(self, down: int, kept: int, count: int) -> Picture | None:
        """A buffer with room for `count` rows that starts with the `kept` ones; None before any row came."""
        old = self._buffer
        if old is None:
            return None
        new = old if old.height >= count else _room_like(old, count)
        if kept and (down or new is not old):
            for rows in row_slices(kept, old.width):  # in pieces, or numpy would copy all of it aside
                _put(rows_of(old, slice(rows.start + down, rows.stop + down)), new, rows.start)
        return new

    def _next(self) -> Picture:
        stripe = next(self._stripes, None)
        if stripe is None:
            raise PictureError("it is damaged: it has fewer rows than its header announces")
        return stripe


def rows_of(picture: Picture, rows: slice) -> Picture:
    """Some rows of a picture: a view, nothing is copied."""
    alpha = picture.alpha[rows] if picture.alpha is not None else None
    return replace(picture, pixels=picture.pixels[rows], alpha=alpha)


def row_slices(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture in stripes that are small enough to be there in several versions."""
    step = max(1, min(_MOST_ROWS, _STRIPE_BYTES // (4 * 3 * width)))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _room_like(picture: Picture, height: int) -> Picture:
    """A picture with other pixels, which are still to be filled in."""
    alpha = np.empty((height, picture.width), np.float32) if picture.alpha is not None else None
    return replace(picture, pixels=np.empty((height, *picture.pixels.shape[1:]), np.float32), alpha=alpha)


def _put(stripe: Picture, picture: Picture, top: int) -> None:
    rows = slice(top, top + stripe.height)
    picture.pixels[rows] = stripe.pixels
    if stripe.alpha is not None and picture.alpha is not None:
        picture.alpha[rows] = stripe.alpha
