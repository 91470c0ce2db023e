"""JPEG through Pillow; CMYK becomes RGB."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from pellucid.errors import PictureError
from pellucid.images._cmyk import about_inks, to_rgb
from pellucid.images._metadata import normalise
from pellucid.images._survey import Survey
from pellucid.images.picture import BitDepth, Metadata, Samples

SIGNATURE = b"\xff\xd8\xff"
MOST_PIXELS_PER_SIDE = 65500  # libjpeg's limit

_QUALITY = 95
_SCAN, _MOST_SCANS = b"\xff\xda", 128  # each costs as much time as the whole picture, in a few bytes of the file
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
    samples = to_rgb(image, image.info.get("icc_profile")) if image.mode == "CMYK" else np.asarray(image)
    return samples.reshape(survey.height, survey.width, survey.channels)


def encode(path: Path, samples: Samples, metadata: Metadata, bit_depth: BitDepth) -> list[str]:
    """Write 8-bit samples `(H, W)` or `(H, W, 3)` without chroma subsampling; returns what could not be kept."""
    del bit_depth  # that of the samples
    lost: list[str] = []

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
    Image.fromarray(samples).save(
        path,
        format="JPEG",
        quality=_QUALITY,
        subsampling=0,
        dpi=dpi,
        icc_profile=fitting("colour profile", metadata.icc, _MOST_PROFILE),
        exif=b"Exif\0\0" + exif if exif else b"",
        xmp=fitting("XMP", metadata.xmp, _SEGMENT - _XMP_HEAD),
        comment=fitting("comment", metadata.comment, _SEGMENT),
        extra=_iptc_segment(fitting("IPTC", metadata.iptc, _SEGMENT - 64)),
    )
    return lost


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
