"""BMP through Pillow."""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image

from pellucid.errors import PictureError
from pellucid.images._metadata import normalise
from pellucid.images._sheet import Sheet, as_image, regrouped
from pellucid.images._survey import Stripes, Survey
from pellucid.images.picture import Samples

SIGNATURE = b"BM"
MOST_PIXELS_PER_SIDE = 2**15 - 1  # more is legal, and more than many programs read

_METRES_PER_INCH = 0.0254
_NARROW = {"BGR;15": "5", "BGR;16": "5 and 6"}  # Pillow's names of 16 bits for three colours


def survey(file: BinaryIO) -> Survey:
    """What its header says; raises what Pillow raises."""
    image = _open(file)
    notes: list[str] = []
    grey = image.mode in ("1", "L") or (image.mode == "P" and _is_grey(image))
    stored = _stored_as(image)
    if image.mode == "P":
        notes.append(f"converted from a palette to {'grey' if grey else 'RGB'}")
    elif image.mode == "1":
        notes.append("widened from 1 to 8 bits per channel")
    elif stored and stored[0] in _NARROW:
        notes.append(f"widened from {_NARROW[stored[0]]} to 8 bits per channel")
    metadata, _, more = normalise(resolution=image.info.get("dpi"))
    return Survey(
        format="BMP",
        width=image.width,
        height=image.height,
        channels=1 if grey else 3,
        bit_depth=8,
        has_alpha=image.mode == "RGBA",
        orientation=1,
        metadata=metadata,
        notes=(*notes, *more),
    )


def decode(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises what Pillow raises for damaged data."""
    return _samples(_open(file), survey)


def stripes_of(file: BinaryIO, survey: Survey) -> Stripes | None:
    """How to decode stripe by stripe; None where the data are compressed."""
    image = _open(file)
    stored = _stored_as(image)
    return None if stored is None else lambda: _stripes(file, image, stored, survey)


def encode(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write 8 bits; returns what could not be kept."""
    dpi = sheet.metadata.resolution
    lost: list[str] = []
    if dpi and not all(1 <= round(value / _METRES_PER_INCH) < 2**31 for value in dpi):
        lost.append("BMP cannot hold this resolution; it is not kept")
        dpi = None
    stride = -(-sheet.width * sheet.channels // 4) * 4
    head = _head(sheet, stride, dpi)
    with path.open("wb") as file:
        file.write(head)
        end = len(head) + sheet.height * stride
        for stripe in regrouped(sheet, rows, sheet.stripe_rows):
            # The last row stands first, blue before red.
            padded = np.zeros((len(stripe), stride), np.uint8)
            padded[:, : sheet.width * sheet.channels] = stripe[::-1, :, ::-1].reshape(len(stripe), -1)
            end -= padded.nbytes
            file.seek(end)
            file.write(padded.data)
    return lost


def _head(sheet: Sheet, stride: int, dpi: tuple[float, float] | None) -> bytes:
    """What Pillow writes before the pixels, of a picture with one row and then of this one."""
    buffer = BytesIO()
    as_image(np.zeros((1, sheet.width, sheet.channels), np.uint8)).save(buffer, format="BMP", dpi=dpi or (0, 0))
    (at,) = struct.unpack_from("<I", buffer.getvalue(), 10)
    head, size = bytearray(buffer.getvalue()[:at]), sheet.height * stride
    for place, number in ((2, at + size), (22, sheet.height), (34, size)):
        struct.pack_into("<I", head, place, number)
    return bytes(head)


def _stripes(
    file: BinaryIO, image: BmpImagePlugin.BmpImageFile, stored: tuple[Any, ...], survey: Survey
) -> Iterator[Samples]:
    """The samples of one stripe after another; raises PictureError where rows are missing."""
    kind, stride, direction = stored
    for start in range(0, survey.height, survey.stripe_rows):
        count = min(survey.stripe_rows, survey.height - start)
        first = start if direction > 0 else survey.height - start - count
        file.seek(image.tile[0].offset + first * stride)
        data = file.read(count * stride)
        if len(data) < count * stride:
            raise PictureError("the BMP data is truncated; get a whole copy of the file")
        part = Image.frombytes(image.mode, (survey.width, count), data, "raw", kind, stride, direction)
        if image.mode == "P":
            part.putpalette(*_palette(image))
        yield _samples(part, survey)


def _samples(image: Image.Image, survey: Survey) -> Samples:
    mode = ("L" if survey.channels == 1 else "RGB") + "A" * survey.has_alpha
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    return samples.reshape(image.height, image.width, -1)


def _open(file: BinaryIO) -> BmpImagePlugin.BmpImageFile:
    file.seek(0)
    return BmpImagePlugin.BmpImageFile(file)  # see _jpeg


def _stored_as(image: BmpImagePlugin.BmpImageFile) -> tuple[Any, ...] | None:
    """Of plain data Pillow's name of their kind, the bytes of a row and the direction of rows; None of compressed."""
    tile = image.tile[0]
    return tile.args if tile.codec_name == "raw" and isinstance(tile.args, tuple) else None


def _palette(image: Image.Image) -> tuple[bytes, str]:
    """Its colours, and Pillow's name of the kind in which they stand; `getpalette` would decode all pixels."""
    kind, colours = image.palette.getdata() if image.palette else ("RGB", b"")
    return bytes(colours), kind


def _is_grey(image: Image.Image) -> bool:
    colours, kind = _palette(image)
    levels = np.frombuffer(colours, np.uint8).reshape(-1, len(kind))[:, :3]
    return bool((levels == levels[:, :1]).all())
