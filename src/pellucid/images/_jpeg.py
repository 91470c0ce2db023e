"""JPEG through Pillow; CMYK becomes RGB."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from pellucid.errors import PictureError
from pellucid.images._cmyk import about_inks, to_rgb
from pellucid.images._metadata import normalise
from pellucid.images._sheet import Sheet, as_image, regrouped
from pellucid.images._survey import Survey
from pellucid.images.picture import Metadata, Samples

SIGNATURE = b"\xff\xd8\xff"
MOST_PIXELS_PER_SIDE = 65500  # libjpeg's limit

_QUALITY = 95
_BLOCK = 8  # pixels per side of what is coded at a time
_MOST_BLOCKS = 2**16 - 1  # between two restart markers
_START, _FRAME, _SCAN, _END = b"\xff\xd8", b"\xff\xc0", b"\xff\xda", b"\xff\xd9"
_MOST_SCANS = 128  # each costs as much time as the whole picture, in a few bytes of the file
_SEGMENT = 65533  # bytes one JPEG segment holds
_XMP_HEAD = 29  # bytes of its name before an XMP packet
_MOST_PROFILE = 255 * (_SEGMENT - 14)  # a profile may span 255 segments
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404


def survey(file: BinaryIO) -> Survey:
    """What the segments before the pixels say; raises what Pillow raises."""
    image = _open(file)
    notes: list[str] = []
    icc: bytes | None = image.info.get("icc_profile")
    if image.mode == "CMYK":
        notes += about_inks(icc)
        icc = None  # it describes inks; the pixels become sRGB
    if any(name == "APP1" and data.startswith(_MORE_XMP) for name, data in getattr(image, "applist", ())):
        notes.append("its extended XMP data is not kept")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        notes.append(f"the file holds {pages} pictures (MPO); only the main one is kept")
    metadata, orientation, more = normalise(
        icc=icc,
        exif=image.info.get("exif"),
        xmp=image.info.get("xmp"),
        iptc=image.info.get("photoshop", {}).get(_IPTC_RESOURCE),
        resolution=_resolution(image),
        comment=image.info.get("comment"),
    )
    return Survey(
        format="JPEG",
        width=image.width,
        height=image.height,
        channels=1 if image.mode == "L" else 3,
        bit_depth=8,
        has_alpha=False,
        orientation=orientation,
        metadata=metadata,
        notes=(*notes, *more),
    )


def decode(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises PictureError for endless scans, what Pillow raises for damaged data."""
    file.seek(0)
    if file.read().count(_SCAN) > _MOST_SCANS:
        raise PictureError("it is damaged: no encoder splits a picture into so many scans")
    image = _open(file)
    if image.mode == "CMYK":
        return to_rgb(image, image.info.get("icc_profile"))
    # Pillow would copy all pixels twice on their way into an array.
    samples = np.empty((survey.height, survey.width, survey.channels), np.uint8)
    for start in range(0, survey.height, survey.stripe_rows):
        part = image.crop((0, start, survey.width, min(start + survey.stripe_rows, survey.height)))
        samples[start : start + part.height] = np.asarray(part).reshape(part.height, survey.width, -1)
    return samples


def encode(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write 8 bits without chroma subsampling; returns what could not be kept.

    Stripes are encoded by themselves and joined: in the file a restart marker stands between them, behind which the
    coding begins anew. The pixels are those of a picture encoded as a whole.
    """
    lost: list[str] = []
    across = -(-sheet.width // _BLOCK)
    blocks_high = max(1, min(_MOST_BLOCKS // across, sheet.stripe_rows // _BLOCK))
    interval = across * blocks_high if sheet.height > blocks_high * _BLOCK else 0
    with path.open("wb") as file:
        for index, stripe in enumerate(regrouped(sheet, rows, blocks_high * _BLOCK)):
            if index == 0:
                encoded = _encoded(as_image(stripe), interval, sheet.metadata, lost)
                height_at, scan_at = _places(encoded)
                file.write(encoded[:height_at] + sheet.height.to_bytes(2, "big") + encoded[height_at + 2 : scan_at])
            else:
                encoded = _encoded(as_image(stripe), interval, Metadata(), lost)
                _, scan_at = _places(encoded)
                file.write(bytes((0xFF, 0xD0 + (index - 1) % 8)))
            file.write(encoded[scan_at : -len(_END)])
        file.write(_END)
    return lost


def _encoded(image: Image.Image, interval: int, metadata: Metadata, lost: list[str]) -> bytes:
    """A whole file of this image, with a restart marker between so many blocks."""

    def fitting(name: str, data: bytes | None, most: int) -> bytes:
        if data and len(data) > most:
            lost.append(f"the {name} data is too large for JPEG ({len(data)} bytes, at most {most}) and is not kept")
            return b""
        return data or b""

    dpi = metadata.resolution or (0.0, 0.0)  # 0 is Pillow's way to say none
    if metadata.resolution and not all(1 <= round(value) <= 65535 for value in dpi):
        lost.append("JPEG cannot hold this resolution; it is not kept")
        dpi = (0.0, 0.0)
    exif = fitting("EXIF", metadata.exif, _SEGMENT - 6)
    buffer = BytesIO()
    image.save(
        buffer,
        format="JPEG",
        quality=_QUALITY,
        subsampling=0,
        restart_marker_blocks=interval,
        dpi=dpi,
        icc_profile=fitting("colour profile", metadata.icc, _MOST_PROFILE),
        exif=b"Exif\0\0" + exif if exif else b"",
        xmp=fitting("XMP", metadata.xmp, _SEGMENT - _XMP_HEAD),
        comment=fitting("comment", metadata.comment, _SEGMENT),
        extra=_iptc_segment(fitting("IPTC", metadata.iptc, _SEGMENT - 64)),
    )
    return buffer.getvalue()


def _places(encoded: bytes) -> tuple[int, int]:
    """Where a file that we encoded states its height, and where its coded pixels begin."""
    at, frame_at = len(_START), 0
    while True:
        marker, size = encoded[at : at + 2], int.from_bytes(encoded[at + 2 : at + 4], "big")
        if marker == _FRAME:
            frame_at = at
        at += 2 + size
        if marker == _SCAN:
            return frame_at + 5, at


def _open(file: BinaryIO) -> Image.Image:
    file.seek(0)
    # Not through Image.open, whose limit of pixels refuses the pictures of some telephones; ours is the memory budget.
    return JpegImagePlugin.jpeg_factory(file)


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """From the JFIF header alone: Pillow's `dpi` falls back on 72, which nobody stated."""
    x, y = image.info.get("jfif_density", (0, 0))
    scale = {1: 1.0, 2: 2.54}.get(image.info.get("jfif_unit", 0))
    return (x * scale, y * scale) if scale and x and y else None


def _iptc_segment(record: bytes) -> bytes:
    """The APP13 segment of Photoshop's image resources with this record alone, or nothing."""
    if not record:
        return b""
    resource = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(record).to_bytes(4, "big") + record
    body = _PHOTOSHOP + resource + b"\0" * (len(record) % 2)
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
