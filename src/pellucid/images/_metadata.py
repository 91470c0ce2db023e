"""What files say beside their pixels, ready to travel: damaged parts left out with a note, orientation upright."""

import re
import struct
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np

from pellucid.errors import PictureError
from pellucid.images._ifd import (
    EXIF,
    LONG,
    RATIONAL,
    SHORT,
    Directory,
    Field,
    Layout,
    next_pointer,
    read_directory,
    read_layout,
)
from pellucid.images.picture import ArrayTags, Metadata

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 274, 282, 283, 296
RESOLUTION_TAGS = {X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT}
INCH, CENTIMETRE = 2, 3

_EXIF_PREFIX = b"Exif\0\0"
_SIZE_TAGS = {256, 257, 40962, 40963}  # width and height
_XMP_SIZE = re.compile(
    rb"""((?:tiff:Image(?:Width|Length)|tiff:[XY]Resolution|exif:Pixel[XY]Dimension)\s*(?:=\s*["']|>)\s*)(\d{1,9})(?![\d.])"""
)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])""")


def normalise(
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    resolution: tuple[float, float] | None = None,
    orientation: int | None = None,
    comment: bytes | None = None,
    chunks: tuple[tuple[bytes, bytes], ...] = (),
    array: ArrayTags | None = None,
) -> tuple[Metadata, int, tuple[str, ...]]:
    """Metadata ready to travel, the orientation 1..8 still to be applied to the pixels, and notes.

    The orientation is the given one (TIFF), else that of the EXIF, else that of the XMP, as Pillow and others do.
    The resolution is the given one, of the container, unless the EXIF states the same more exactly.
    """
    notes: list[str] = []
    if icc is not None and (len(icc) < 132 or icc[36:40] != b"acsp"):
        notes.append("its colour profile is damaged and is not kept")
        icc = None
    if exif is not None:
        try:
            exif, found, stated, had_preview = _upright_exif(exif)
            if had_preview:
                notes.append("the small preview in its EXIF data lies on its side and is not kept")
            orientation = orientation or found
            if stated and (resolution is None or np.allclose(resolution, stated, rtol=0.005)):
                resolution = stated  # containers round to whole dots per inch or metre, EXIF does not
        except ValueError:
            notes.append("its EXIF data is damaged and is not kept")
            exif = None
    if xmp is not None and (match := _XMP_ORIENTATION.search(xmp)):
        orientation = orientation or int(match[2])
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    metadata = Metadata(icc=icc, exif=exif, xmp=xmp, iptc=iptc, comment=comment, chunks=chunks, array=array)
    with suppress(PictureError):  # 0 dots per inch: files mean "unknown"
        metadata = replace(metadata, resolution=resolution)
    if orientation is None or not 1 <= orientation <= 8:
        orientation = 1
    return metadata, orientation, tuple(notes)


def exif_directory(exif: bytes) -> tuple[Directory, Layout]:
    """The directories of an EXIF block; raises ValueError where it has none."""
    source = BytesIO(exif)
    layout, at = read_layout(source)
    return read_directory(source, layout, at), layout


def exif_resolution(fields: dict[int, Field], layout: Layout) -> tuple[float, float] | None:
    """Dots per inch from the resolution tags of a directory, or None where they state no absolute one."""
    x, y = (_ratio(fields.get(tag), layout) for tag in (X_RESOLUTION, Y_RESOLUTION))
    unit = layout.number(fields[RESOLUTION_UNIT].value) if RESOLUTION_UNIT in fields else INCH
    if not x or not y or unit not in (INCH, CENTIMETRE):
        return None
    scale = 2.54 if unit == CENTIMETRE else 1.0
    return x * scale, y * scale


def resolution_lost(metadata: Metadata, name: str) -> list[str]:
    """For formats that state a resolution in their EXIF alone; and EXIF bytes are not ours to change."""
    try:
        if not metadata.resolution:
            return []
        if metadata.exif is not None:
            directory, layout = exif_directory(metadata.exif)
            stated = exif_resolution(directory.fields, layout)
            if stated and np.allclose(stated, metadata.resolution, rtol=0.005):
                return []
    except ValueError:
        pass  # a damaged block states nothing
    return [f"{name} has no place for a resolution outside EXIF; it is not kept"]


def grey_profile_lost(name: str) -> str:
    """For formats that store grey as three equal channels."""
    return f"{name} stores grey as RGB, which a grey colour profile does not describe; the profile is not kept"


def enlarged_metadata(metadata: Metadata, scale: int) -> Metadata:
    """What is true of the picture `scale` times larger: more pixels to the inch, and sizes as they are."""
    if scale == 1:
        return metadata
    exif, xmp, resolution = metadata.exif, metadata.xmp, metadata.resolution
    if exif is not None:
        with suppress(ValueError):  # a damaged block states nothing
            exif = _enlarged_exif(exif, scale)
    if xmp is not None:
        xmp = _XMP_SIZE.sub(lambda found: found[1] + str(scale * int(found[2])).encode(), xmp)
    if resolution is not None:
        resolution = (scale * resolution[0], scale * resolution[1])
    return replace(metadata, exif=exif, xmp=xmp, resolution=resolution)


def _enlarged_exif(exif: bytes, scale: int) -> bytes:
    """The block with nothing but the sizes in it changed, and its resolution; raises ValueError where it has none."""
    directory, layout = exif_directory(exif)
    within = directory.children.get(EXIF, Directory()).fields
    for field in (found for tag, found in (directory.fields | within).items() if tag in _SIZE_TAGS):
        number = scale * layout.number(field.value)
        if field.kind in (SHORT, LONG) and field.count == 1 and number < 2**32:
            # An entry has room for the larger kind, which stands before the count of values.
            kind, count = layout.pack("H", LONG), exif[field.at - 4 : field.at]
            exif = exif[: field.at - 6] + kind + count + layout.pack("I", number) + exif[field.at + 4 :]
    for field in (directory.fields[tag] for tag in (X_RESOLUTION, Y_RESOLUTION) if tag in directory.fields):
        numerator = scale * layout.number(field.value[:4])
        if field.kind == RATIONAL and field.count == 1 and numerator < 2**32:
            exif = exif[: field.at] + layout.pack("I", numerator) + exif[field.at + 4 :]
    return exif


def _upright_exif(exif: bytes) -> tuple[bytes, int | None, tuple[float, float] | None, bool]:
    """The block with nothing but its orientation changed, the orientation it had, its resolution; raises ValueError.

    A preview is turned by the same orientation, so it is cut off where that changes; the last value says so.
    """
    exif = exif.removeprefix(_EXIF_PREFIX)
    directory, layout = exif_directory(exif)
    resolution = exif_resolution(directory.fields, layout)
    tag = directory.fields.get(ORIENTATION)
    if tag is None:
        return exif, None, resolution, False
    orientation = layout.number(tag.value)
    if orientation in range(2, 9):
        size = len(tag.value)
        upright = (1).to_bytes(size, "little" if layout.order == "<" else "big")
        exif = exif[: tag.at] + upright + exif[tag.at + size :]
        at = _next_directory_at(exif, layout)
        if any(exif[at : at + 4]):
            return exif[:at] + bytes(4) + exif[at + 4 :], orientation, resolution, True
    return exif, orientation, resolution, False


def _next_directory_at(exif: bytes, layout: Layout) -> int:
    """Where a block says where its second directory stands, that of the preview."""
    _, at = read_layout(BytesIO(exif))
    return next_pointer(at, layout.number(exif[at : at + 2]), layout)


def _ratio(field: Field | None, layout: Layout) -> float | None:
    if field is None or field.kind != RATIONAL or field.count != 1:
        return None
    numerator, denominator = struct.unpack(layout.order + "II", field.value)
    return numerator / denominator if denominator else None
