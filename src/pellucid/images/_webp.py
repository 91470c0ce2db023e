"""WebP: the RIFF container here, pixels by libwebp: decoded through imagecodecs, encoded through Pillow."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs

from pellucid.errors import PictureError
from pellucid.images._metadata import grey_profile_lost, normalise, resolution_lost
from pellucid.images._sheet import Sheet, as_image, gathered
from pellucid.images._survey import Survey
from pellucid.images.picture import Samples

MOST_PIXELS_PER_SIDE = 16383

_ANIMATED, _ALPHA = 0x02, 0x10


def survey(file: BinaryIO) -> Survey:
    """What the container says; raises PictureError for truncated or animated files."""
    chunks = _chunks(file)
    flags = chunks[b"VP8X"][0] if chunks.get(b"VP8X") else 0
    if flags & _ANIMATED or b"ANIM" in chunks:
        raise PictureError("animated WebP is not supported; extract one frame first")
    width, height, has_alpha = _frame(chunks)
    metadata, orientation, notes = normalise(icc=chunks.get(b"ICCP"), exif=chunks.get(b"EXIF"), xmp=chunks.get(b"XMP "))
    return Survey(
        format="WEBP",
        width=width,
        height=height,
        channels=3,
        bit_depth=8,
        has_alpha=has_alpha or bool(flags & _ALPHA),
        orientation=orientation,
        metadata=metadata,
        notes=notes,
    )


def decode(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises imagecodecs.WebpError for damaged data."""
    file.seek(0)
    return imagecodecs.webp_decode(file.read(), hasalpha=survey.has_alpha)


def encode(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write losslessly, as a whole; returns what could not be kept."""
    metadata = sheet.metadata
    lost = resolution_lost(metadata, "WebP")
    icc = metadata.icc
    if icc and icc[16:20] == b"GRAY":
        lost.append(grey_profile_lost("WebP"))
        icc = None
    as_image(gathered(sheet, rows)).save(
        path,
        format="WEBP",
        lossless=True,
        exact=True,
        icc_profile=icc or b"",
        exif=metadata.exif or b"",
        xmp=metadata.xmp or b"",
    )
    return lost


def _chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """The first chunk of each kind, of pixel chunks only the head; raises PictureError where the file stops early."""
    end = file.seek(0, 2)
    file.seek(4)
    (size,) = struct.unpack("<I", file.read(4))
    at, stop = 12, size + 8
    if stop > end:
        raise PictureError("the WebP data is truncated; get a whole copy of the file")
    chunks: dict[bytes, bytes] = {}
    while at + 8 <= stop:
        file.seek(at)
        kind, size = struct.unpack("<4sI", file.read(8))
        if at + 8 + size > stop:
            raise PictureError("the WebP data is damaged: a part reaches beyond its end")
        chunks.setdefault(kind, file.read(size if kind in (b"ICCP", b"EXIF", b"XMP ") else min(size, 10)))
        at += 8 + size + size % 2
    return chunks


def _frame(chunks: dict[bytes, bytes]) -> tuple[int, int, bool]:
    """Width, height and transparency from the head of the lossy or lossless pixels."""
    lossy, lossless = chunks.get(b"VP8 ", b""), chunks.get(b"VP8L", b"")
    if len(lossy) == 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", lossy[6:])
        return width & 0x3FFF, height & 0x3FFF, b"ALPH" in chunks
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    raise PictureError("the WebP data is damaged: it has no pixels")
