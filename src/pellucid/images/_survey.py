"""What the formats share: the survey of a picture before its pixels are decoded, and turning them upright."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from pellucid.errors import PictureError
from pellucid.images._sheet import stripe_rows
from pellucid.images.picture import BitDepth, Metadata, Numbers, PictureHeader, Sample, Samples, stored_type
from pellucid.images.provenance import restorations


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What a file says of a picture as stored: sizes before `orientation` (EXIF's 1..8) is applied.

    `premultiplied` says that the stored colours are already multiplied by alpha; `measured` that the values themselves
    must tell which are black and white, as those of scientific files do; `no_data` is a value that means nothing.
    """

    format: str
    width: int
    height: int
    channels: int
    bit_depth: BitDepth
    numbers: Numbers = "unsigned"
    has_alpha: bool
    premultiplied: bool = False
    measured: bool = False
    no_data: float | None = None
    orientation: int
    metadata: Metadata
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise PictureError("it is damaged: its picture has no pixels")

    @property
    def stored_type(self) -> type[Sample]:
        """The type of its samples in memory."""
        return stored_type(self.numbers, self.bit_depth)

    @property
    def stripe_rows(self) -> int:
        """How many rows make a stripe."""
        return stripe_rows(self.width, self.channels + self.has_alpha, self.stored_type)

    @property
    def header(self) -> PictureHeader:
        """The same, upright, for the public."""
        lying = self.orientation >= 5
        return PictureHeader(
            format=self.format,
            width=self.height if lying else self.width,
            height=self.width if lying else self.height,
            channels=self.channels,
            bit_depth=self.bit_depth,
            has_alpha=self.has_alpha,
            numbers=self.numbers,
            carries=self.metadata.carries,
            restored_with=restorations(self.metadata.xmp),
            notes=self.notes,
        )


Stripes = Callable[[], Iterator[Samples]]


class Page(NamedTuple):
    """A picture in a file, and how to decode it.

    `stripes` gives its samples `(h, W, C)` as stored, from top to bottom, alpha last where there is one. `held` is the
    memory that this takes, beyond some stripes of usual size, where they are decoded as they are asked for; None where
    all are decoded at once.
    """

    survey: Survey
    stripes: Stripes
    held: int | None = None


Pages = Callable[[BinaryIO], Iterator[Page]]


def only_page(
    survey: Callable[[BinaryIO], Survey],
    decode: Callable[[BinaryIO, Survey], Samples],
    stripes_of: Callable[[BinaryIO, Survey], Stripes | None] = lambda _, __: None,
) -> Pages:
    """The pages of a format whose files hold one picture each; `stripes_of` is None for those to decode at once."""

    def pages(file: BinaryIO) -> Iterator[Page]:
        found = survey(file)

        def whole() -> Iterator[Samples]:
            yield decode(file, found)

        stripes = stripes_of(file, found)
        yield Page(found, stripes or whole, held=0 if stripes else None)

    return pages


def upright(samples: Samples, orientation: int) -> Samples:
    """Samples `(H, W, C)` turned and mirrored as EXIF's `orientation` asks: a view, nothing is copied."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples
