"""The tags of a TIFF page that describe the photo or its arrays, to metadata and back, value bytes untouched."""

import json
import math
import re
from fractions import Fraction
from typing import Final

from pellucid.images._ifd import (
    BYTE,
    LONG8,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directory,
    Field,
    Layout,
    pack_block,
)
from pellucid.images._metadata import (
    INCH,
    ORIENTATION,
    RESOLUTION_TAGS,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    exif_directory,
    exif_resolution,
    normalise,
)
from pellucid.images.picture import ArrayTags, Metadata

_ICC, _XMP, _IPTC = 34675, 700, 33723
_DESCRIPTION = 270
# Document name, description, make, model, page name, software, date, artist, host, ratings, copyright, Windows' own.
_ABOUT_THE_PHOTO = {269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
# ImageJ, Micro-Manager, and the places and values of maps: GeoTIFF, GDAL.
_IMAGEJ, _MICROMANAGER = {50838, 50839}, {51123}
_MAPS = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844}
# How the pixels are stored, or handled apart; any other tag is left behind with a note.
_ABOUT_THE_STORAGE = {
    *range(254, 260), *range(262, 267), 273, ORIENTATION, *range(277, 285), *range(288, 294), *RESOLUTION_TAGS, 297,
    317, 320, *range(322, 326), *range(332, 342), 347, *range(512, 522), *range(529, 533), _ICC, _XMP, _IPTC,
}  # fmt: skip
_SMALLER_COPIES, _PLANAR, _NO_DATA = 330, 284, 42113

ARRAY_NAMES: Final = ("ImageJ description", "OME description", "array description", "Micro-Manager data", "map data")
# Descriptions that programs write for themselves and that speak of the array, not of the photo.
_DESCRIPTIONS: Final = {
    b"ImageJ=": ARRAY_NAMES[0],
    b"<?xml": ARRAY_NAMES[1],
    b"<OME": ARRAY_NAMES[1],
    b'{"shape"': ARRAY_NAMES[2],
}
_COPIED = {*RESOLUTION_TAGS, _PLANAR}  # to be given back as they were stored
_OTHER_FILES = re.compile(rb"""\sFileName\s*=\s*(?:"[^"]*"|'[^']*')""")


def metadata_of(
    directory: Directory, layout: Layout, shape: tuple[int, int, int, int], notes: list[str]
) -> tuple[Metadata, int, tuple[str, ...]]:
    """Metadata, orientation and notes; the photo's own tags become an EXIF block in the same byte order.

    `shape` is (pages, H, W, channels) as stored.
    """
    fields = dict(directory.fields)
    if not directory.whole:
        notes.append("some of its tags are damaged and are not kept")
    if fields.pop(_SMALLER_COPIES, None):
        notes.append("its smaller copies are not kept")
    array = _array_tags(fields, layout, shape, notes)
    others = sorted(fields.keys() - _ABOUT_THE_STORAGE - _ABOUT_THE_PHOTO)
    if others:
        notes.append(f"TIFF tags {', '.join(map(str, others))} are not kept")
    about = {tag: fields[tag] for tag in fields.keys() & (_ABOUT_THE_PHOTO | RESOLUTION_TAGS)}
    described = _classic(Directory(about, directory.children))
    has_exif = bool(about.keys() - RESOLUTION_TAGS or directory.children)  # a resolution alone travels as such
    orientation = fields.get(ORIENTATION)
    icc, xmp, iptc = (fields[tag].value if tag in fields else None for tag in (_ICC, _XMP, _IPTC))
    return normalise(
        icc=icc,
        exif=pack_block(described, layout.order) if has_exif else None,
        xmp=xmp,
        iptc=iptc,
        resolution=exif_resolution(fields, layout),
        orientation=layout.number(orientation.value) if orientation else None,
        array=array,
    )


def directory_of(metadata: Metadata, shape: tuple[int, int, int, int], layout: Layout, lost: list[str]) -> Directory:
    """What to add to the directory of a page in a file of this shape and byte order."""
    about = Directory()
    if metadata.exif:
        try:
            exif, order = exif_directory(metadata.exif)
            if order.order != layout.order:
                raise ValueError("another byte order")
            kept = _ABOUT_THE_PHOTO | RESOLUTION_TAGS
            fields = {tag: field for tag, field in exif.fields.items() if tag in kept}
            about = Directory(fields, exif.children)
            if not exif.whole:
                lost.append("a part of the EXIF data is damaged and is not kept")
        except ValueError:
            lost.append("the EXIF data is damaged and is not kept")
    blocks = ((_ICC, UNDEFINED, metadata.icc), (_XMP, BYTE, metadata.xmp), (_IPTC, UNDEFINED, metadata.iptc))
    about.fields |= {tag: Field(kind, len(value), value) for tag, kind, value in blocks if value}
    array = _array_fields(metadata.array, shape, layout, lost)
    stated = {tag: array.pop(tag) for tag in RESOLUTION_TAGS & array.keys()}
    about.fields |= array
    if exif_resolution(stated, layout) == metadata.resolution:
        about.fields |= stated
    elif metadata.resolution:
        ratios = [_rational(dpi).as_integer_ratio() for dpi in metadata.resolution]
        if all(0 < numerator < 2**32 for numerator, _ in ratios):
            x, y = (Field(RATIONAL, 1, layout.pack("II", *ratio)) for ratio in ratios)
            unit = Field(SHORT, 1, layout.pack("H", INCH))
            about.fields |= {X_RESOLUTION: x, Y_RESOLUTION: y, RESOLUTION_UNIT: unit}
        else:
            lost.append("TIFF cannot hold this resolution; it is not kept")
    return about


def no_data_of(directory: Directory) -> float | None:
    """The value that stands for no data, as GDAL writes it."""
    text = directory.fields[_NO_DATA].value.rstrip(b"\0 ") if _NO_DATA in directory.fields else b""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None  # what is not a number shows nothing anyway


def stores_planes_apart(metadata: Metadata) -> bool:
    """Whether the file kept each channel for itself, as those of scientific arrays do."""
    if metadata.array is None:
        return False
    directory, layout = exif_directory(metadata.array.block)
    return _PLANAR in directory.fields and layout.number(directory.fields[_PLANAR].value) == 2


def byte_order(metadata: Metadata) -> Layout:
    """That of the metadata's blocks, so that no value needs swapping."""
    for block in (metadata.array.block if metadata.array else None, metadata.exif):
        try:
            if block:
                return Layout(exif_directory(block)[1].order)
        except ValueError:
            pass  # a damaged block has none
    return Layout("<")


def _array_tags(
    fields: dict[int, Field], layout: Layout, shape: tuple[int, int, int, int], notes: list[str]
) -> ArrayTags | None:
    """Take the tags of the arrays out of `fields`."""
    kept = {tag: fields[tag] for tag in _COPIED & fields.keys()}
    names: list[str] = []
    description = fields.get(_DESCRIPTION)
    name = next(
        (name for start, name in _DESCRIPTIONS.items() if description and description.value.startswith(start)), None
    )
    if name and description:
        text = _true_of_this_file(fields.pop(_DESCRIPTION).value)
        if text is None:
            notes.append(f"its {name} speaks of other files and is not kept")
        else:
            kept[_DESCRIPTION] = Field(description.kind, len(text), text)
            names.append(name)
    for tags, name in ((_IMAGEJ, ARRAY_NAMES[0]), (_MICROMANAGER, ARRAY_NAMES[3]), (_MAPS, ARRAY_NAMES[4])):
        found = {tag: fields.pop(tag) for tag in tags & fields.keys()}
        kept |= found
        if found and name not in names:
            names.append(name)
    orientation = fields.get(ORIENTATION)
    if names and orientation and layout.number(orientation.value) in range(2, 9):
        notes.append(f"its {', '.join(names)} would not be true of the picture turned upright and is not kept")
        kept, names = {tag: field for tag, field in kept.items() if tag in _COPIED}, []
    block = _classic(Directory(kept))
    return ArrayTags(block=pack_block(block, layout.order), shape=shape, names=tuple(names)) if kept else None


def _true_of_this_file(description: bytes) -> bytes | None:
    """A description for the result: it neither names the original nor speaks of pages under one directory.

    None where it speaks of several files.
    """
    if description.startswith(b'{"shape"'):
        try:
            stated = json.loads(description.rstrip(b"\0"))
        except ValueError:
            return None
        stated.pop("truncated", None)  # many arrays under one directory
        return json.dumps(stated).encode() + b"\0"
    if b"<BinaryOnly" in description or len(set(_OTHER_FILES.findall(description))) > 1:
        return None
    return _OTHER_FILES.sub(b"", description)


def _array_fields(
    array: ArrayTags | None, shape: tuple[int, int, int, int], layout: Layout, lost: list[str]
) -> dict[int, Field]:
    if array is None:
        return {}
    try:
        directory, order = exif_directory(array.block)
    except ValueError:
        return {}
    directory.fields.pop(_PLANAR, None)
    if array.shape == shape and order.order == layout.order:
        return directory.fields
    if array.names:
        lost.append(f"the {', '.join(array.names)} is not true of these pages and is not kept")
    same_pixels = order == layout and sorted(array.shape[1:3]) == sorted(shape[1:3])
    return {tag: field for tag, field in directory.fields.items() if tag in RESOLUTION_TAGS and same_pixels}


def _classic(directory: Directory) -> Directory:
    """Without the 64-bit numbers only BigTIFF knows; no tag of a photo needs them."""
    fields = {tag: field for tag, field in directory.fields.items() if field.kind < LONG8}
    return Directory(fields, {tag: _classic(child) for tag, child in directory.children.items()})


def _rational(value: float) -> Fraction:
    """As exact as two numbers of 32 bits allow."""
    return Fraction(value).limit_denominator(max(1, 2**31 // (int(value) + 1)))
