"""PBM, PGM and PPM: a few numbers as text and then the samples, so simple that the whole of it stands here."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError
from pellucid.images._sheet import Sheet, regrouped
from pellucid.images._survey import Stripes, Survey
from pellucid.images.picture import BitDepth, Metadata, Samples

SIGNATURES = tuple(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b" \t\r\n#")

_MOST_HEADER = 2**16  # bytes, comments included
_NAMES = {1: "PBM", 2: "PGM", 0: "PPM"}
_DEPTHS: dict[int, BitDepth] = {1: 8, 255: 8, 1023: 10, 4095: 12, 65535: 16}


class _Head(NamedTuple):
    kind: int
    width: int
    height: int
    top: int
    raster: int

    @property
    def channels(self) -> int:
        """Colours: of the six kinds, the third and the last have three."""
        return 1 if self.kind % 3 else 3

    @property
    def depth(self) -> BitDepth:
        """The depth that holds its values."""
        return _DEPTHS.get(self.top, 8 if self.top < 255 else 16)


def survey(file: BinaryIO) -> Survey:
    """What its first numbers say; raises PictureError where they are missing or absurd."""
    head = _head(file)
    notes: list[str] = []
    if head.top == 1:
        notes.append("widened from 1 to 8 bits per channel")
    elif head.top not in _DEPTHS:
        notes.append(f"its values up to {head.top} are widened to {2**head.depth - 1}")
    if head.kind >= 4:
        end = head.raster + head.height * _row_bytes(head)
        if end > file.seek(0, 2):
            raise _truncated()
        file.seek(end)
        if file.read(3).strip()[:1] == b"P":
            notes.append("more pictures follow in the file; only the first is kept")
    return Survey(
        format=_NAMES[head.kind % 3],
        width=head.width,
        height=head.height,
        channels=head.channels,
        bit_depth=head.depth,
        has_alpha=False,
        orientation=1,
        metadata=Metadata(),
        notes=tuple(notes),
    )


def decode(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises PictureError where some are missing, or larger than announced."""
    head = _head(file)
    if head.kind >= 4:
        return _binary(file, head, survey, 0, head.height)
    file.seek(head.raster)
    return _samples(_text(file, head), head, survey)


def stripes_of(file: BinaryIO, survey: Survey) -> Stripes | None:
    """How to decode stripe by stripe; None where the samples are written out as text."""
    head = _head(file)
    if head.kind < 4:
        return None
    return lambda: _stripes(file, head, survey)


def encode(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write grey as PGM and colour as PPM."""
    with path.open("wb") as file:
        kind = 6 if sheet.channels == 3 else 5
        file.write(b"P%d\n%d %d\n%d\n" % (kind, sheet.width, sheet.height, 2**sheet.bit_depth - 1))
        for stripe in regrouped(sheet, rows, sheet.stripe_rows):
            file.write(np.ascontiguousarray(stripe, stripe.dtype.newbyteorder(">")).data)
    return []


def encode_colour(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write a PPM, grey as three equal channels."""
    if sheet.channels == 3:
        return encode(path, sheet, rows)
    return encode(path, sheet._replace(channels=3), (np.repeat(stripe, 3, axis=2) for stripe in rows))


def _head(file: BinaryIO) -> _Head:
    file.seek(0)
    data = file.read(_MOST_HEADER)
    kind, at = int(data[1:2]), 2
    numbers: list[int] = []
    while len(numbers) < (2 if kind % 3 == 1 else 3):
        while data[at : at + 1].isspace() or data[at : at + 1] == b"#":
            at = data.find(b"\n", at) + 1 or len(data) if data[at] == ord("#") else at + 1
        start = at
        while data[at : at + 1].isdigit():
            at += 1
        if not 0 < at - start < 10:
            raise PictureError("the data is damaged: its first lines are not the numbers of a picture")
        numbers.append(int(data[start:at]))
    width, height, top = (*numbers, 1)[:3]
    if not 0 < top < 65536:
        raise PictureError(f"the data is damaged: it announces values up to {top}")
    return _Head(kind, width, height, top, at + 1)


def _row_bytes(head: _Head) -> int:
    if head.kind == 4:
        return -(-head.width // 8)
    return head.width * head.channels * (1 if head.top < 256 else 2)


def _stripes(file: BinaryIO, head: _Head, survey: Survey) -> Iterator[Samples]:
    for start in range(0, head.height, survey.stripe_rows):
        yield _binary(file, head, survey, start, min(survey.stripe_rows, head.height - start))


def _binary(file: BinaryIO, head: _Head, survey: Survey, start: int, count: int) -> Samples:
    """The samples of `count` rows of those stored as bytes."""
    row_bytes = _row_bytes(head)
    file.seek(head.raster + start * row_bytes)
    data = file.read(count * row_bytes)
    if len(data) < count * row_bytes:
        raise _truncated()
    if head.kind == 4:
        return _samples(np.unpackbits(np.frombuffer(data, np.uint8).reshape(count, -1), 1, head.width), head, survey)
    return _samples(np.frombuffer(data, np.uint8 if head.top < 256 else ">u2"), head, survey)


def _samples(values: NDArray[np.unsignedinteger], head: _Head, survey: Survey) -> Samples:
    """Full rows of values as samples `(h, W, C)`."""
    if head.kind % 3 == 1:
        values = 1 - values  # 1 is ink
    if values.max() > head.top:
        raise PictureError(f"it is damaged: it announces values up to {head.top} and has {values.max()}")
    top = 2**survey.bit_depth - 1
    if head.top != top:
        values = (values.astype(np.uint32) * top + head.top // 2) // head.top
    return values.astype(survey.stored_type, copy=False).reshape(-1, head.width, head.channels)


def _text(file: BinaryIO, head: _Head) -> NDArray[np.unsignedinteger]:
    count = head.width * head.height * head.channels
    data = file.read()
    if len(data) < count * (1 if head.kind == 1 else 2) - 1:
        raise _truncated()
    if head.kind == 1:  # digits may stand without a space between them
        values = np.frombuffer(data.translate(None, b" \t\r\n\v\f"), np.uint8)[:count] - ord("0")
    else:
        values = np.fromstring(data, np.uint32, count, sep=" ")
    if len(values) < count:
        raise _truncated()
    return values


def _truncated() -> PictureError:
    return PictureError("the data is truncated; get a whole copy of the file")
