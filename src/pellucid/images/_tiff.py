"""TIFF: pixels through tifffile; the tags that describe the photo through our own directories, byte for byte."""

import itertools
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from pellucid.errors import PictureError
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
    pack_directory,
    read_directory,
    read_layout,
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
from pellucid.images._survey import Decoded, Survey
from pellucid.images.picture import Metadata, Samples

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_ICC, _XMP, _IPTC, _DNG = 34675, 700, 33723, 50706
_DESCRIPTION = 270
# Document name, description, make, model, page name, software, date, artist, host, ratings, copyright, Windows' own.
_ABOUT_THE_PHOTO = {269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
# How the pixels are stored, or handled apart; any other tag is left behind with a note.
_ABOUT_THE_STORAGE = {
    *range(254, 260), *range(262, 267), 273, ORIENTATION, *range(277, 285), *range(288, 294), *RESOLUTION_TAGS, 297,
    317, 320, *range(322, 326), *range(332, 342), 347, *range(512, 522), *range(529, 533), _ICC, _XMP, _IPTC,
}  # fmt: skip
# Descriptions that programs write for themselves and that speak of the array, not of the photo.
_ABOUT_THE_ARRAY = (b'{"shape"', b"ImageJ=", b"<?xml", b"<OME")

_GREY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
_MOST_PAGES_LOOKED_AT = 64
_MOST_CLASSIC = 2**32 - 2**26  # bytes; beyond, offsets need BigTIFF


def survey(file: BinaryIO) -> Survey:
    """What the tags say; raises PictureError for the kinds not supported, ValueError and others for damaged ones."""
    with _opened(file) as tif:
        page = _only_page(tif)
        channels, has_alpha, notes = _kind(page)
        has_preview = len(tif.pages) > 1
        width, height, extras = page.imagewidth, page.imagelength, page.extrasamples
        bit_depth = 16 if _depth(page) == 16 else 8
    if has_preview:
        notes.append("its small preview is not kept")
    layout, at = read_layout(file)
    directory = read_directory(file, layout, at)
    metadata, orientation, more = _metadata(directory, layout, notes)
    return Survey(
        format="TIFF",
        width=width,
        height=height,
        channels=channels,
        bit_depth=bit_depth,
        has_alpha=has_alpha,
        premultiplied=has_alpha and tuple(extras) == (tifffile.EXTRASAMPLE.ASSOCALPHA,),
        orientation=orientation,
        metadata=metadata,
        notes=(*notes, *more),
    )


def decode(file: BinaryIO, survey: Survey) -> Decoded:
    """The samples, black as 0; raises PictureError when pixels are missing, what the codecs raise when damaged."""
    del survey
    end = file.seek(0, 2)
    with _opened(file) as tif:
        page = tif.pages.first
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        # tifffile would fill such gaps with black.
        if len(parts) < math.prod(page.chunked) or not all(at and size and at + size <= end for at, size in parts):
            raise PictureError("the TIFF data is truncated; get a whole copy of the file")
        # (planes, depth = 1, height, width, samples), with one plane or one sample.
        planes = page.asarray(squeeze=False)[:, 0]
        samples = planes[0] if len(planes) == 1 else np.moveaxis(planes[..., 0], 0, -1)
        samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            np.invert(samples[..., :1], out=samples[..., :1])
        elif page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            samples = _palette(page)[samples[..., 0]]
    return Decoded(samples)


def encode(path: Path, samples: Samples, metadata: Metadata) -> list[str]:
    """Write samples `(H, W)` or `(H, W, C)` losslessly; returns what could not be kept."""
    lost: list[str] = []
    about, layout = _description(metadata, lost)
    layout = Layout(layout.order, big=samples.nbytes > _MOST_CLASSIC)
    channels = samples.shape[2] if samples.ndim == 3 else 1
    with tifffile.TiffWriter(path, bigtiff=layout.big, byteorder=layout.order) as tif:
        tif.write(
            samples,
            photometric="rgb" if channels >= 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=("unassalpha",) if channels in (2, 4) else None,
            compression="zlib",
            predictor=True,
            metadata=None,
            software=False,
        )
    try:
        _rewrite_directory(path, about)
    except (ValueError, struct.error) as error:
        # The directory tifffile wrote still stands, so the picture is whole without them.
        lost.append(f"the descriptions could not be written ({error}) and are not kept")
    return lost


def _opened(file: BinaryIO) -> tifffile.TiffFile:
    file.seek(0)
    return tifffile.TiffFile(file)


def _only_page(tif: tifffile.TiffFile) -> tifffile.TiffPage:
    """The page of a single-page file, previews not counted; raises PictureError for any other file."""
    page = tif.pages.first
    if page.is_reduced or _DNG in page.tags:
        raise PictureError("camera raw files are not supported; develop it to an ordinary TIFF first")
    others = list(itertools.islice(tif.pages, 1, _MOST_PAGES_LOOKED_AT))
    previews = [other for other in others if isinstance(other, tifffile.TiffPage) and other.is_reduced]
    # ImageJ and tifffile may store many pictures under one directory.
    if len(previews) != len(tif.pages) - 1 or page.imagedepth > 1 or tif.series[0].size != page.size:
        raise PictureError("TIFF with several pages is not supported yet; save each page as a file of its own")
    return page


def _depth(page: tifffile.TiffPage) -> int:
    """Bits per channel of the colours."""
    return page.bitspersample if page.photometric != tifffile.PHOTOMETRIC.PALETTE else _palette(page).itemsize * 8


def _kind(page: tifffile.TiffPage) -> tuple[int, bool, list[str]]:
    """Colour channels, transparency, notes; raises PictureError for kinds not supported."""
    photometric, notes = page.photometric, list[str]()
    if page.sampleformat != tifffile.SAMPLEFORMAT.UINT or page.bitspersample not in (8, 16):
        kind = tifffile.SAMPLEFORMAT(page.sampleformat).name
        raise PictureError(f"TIFF of {page.bitspersample} bits ({kind}) is not supported yet; convert it to 8 or 16")
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        notes.append("converted from a palette to RGB")
        stored, channels = 1, 3
    elif photometric in _GREY:
        stored, channels = 1, 1
    elif photometric == tifffile.PHOTOMETRIC.RGB or (
        # tifffile has libjpeg turn this one into RGB
        photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.JPEG
    ):
        stored, channels = 3, 3
    else:
        kind = tifffile.PHOTOMETRIC(photometric).name
        raise PictureError(f"TIFF of the kind {kind} is not supported yet; convert it to RGB")
    extra = page.samplesperpixel - stored
    if extra not in ((0,) if stored < channels else (0, 1)):
        raise PictureError(f"TIFF with {page.samplesperpixel} channels is not supported yet; keep colour and one alpha")
    if extra and tuple(page.extrasamples) not in ((1,), (2,)):
        notes.append("its last channel is not described; it is taken for transparency")
    return channels, bool(extra), notes


def _palette(page: tifffile.TiffPage) -> Samples:
    """Colours `(N, 3)`, as 8 bits where none needs more."""
    colours = page.colormap
    if colours is None:
        raise PictureError("the TIFF data is damaged: it has no palette")
    # Writers widen a byte by repeating it or by a zero.
    if not (colours % 257).any() or not (colours % 256).any():
        return (colours.T >> 8).astype(np.uint8)
    return colours.T


def _metadata(directory: Directory, layout: Layout, notes: list[str]) -> tuple[Metadata, int, tuple[str, ...]]:
    """Metadata, orientation and notes; the photo's own tags become an EXIF block in the same byte order."""
    fields = directory.fields
    if not directory.whole:
        notes.append("some of its tags are damaged and are not kept")
    others = sorted(fields.keys() - _ABOUT_THE_STORAGE - _ABOUT_THE_PHOTO)
    if others:
        notes.append(f"TIFF tags {', '.join(map(str, others))} are not kept")
    about = {tag: fields[tag] for tag in fields.keys() & (_ABOUT_THE_PHOTO | RESOLUTION_TAGS)}
    if _DESCRIPTION in about and about[_DESCRIPTION].value.startswith(_ABOUT_THE_ARRAY):
        del about[_DESCRIPTION]
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
    )


def _classic(directory: Directory) -> Directory:
    """Without the 64-bit numbers only BigTIFF knows; no tag of a photo needs them."""
    fields = {tag: field for tag, field in directory.fields.items() if field.kind < LONG8}
    return Directory(fields, {tag: _classic(child) for tag, child in directory.children.items()})


def _description(metadata: Metadata, lost: list[str]) -> tuple[Directory, Layout]:
    """What to add to the directory, and the byte order, which is that of the EXIF so that no value needs swapping."""
    about, layout = Directory(), Layout("<")
    if metadata.exif:
        try:
            exif, layout = exif_directory(metadata.exif)
            kept = _ABOUT_THE_PHOTO | RESOLUTION_TAGS
            fields = {tag: field for tag, field in exif.fields.items() if tag in kept}
            about = Directory(fields, exif.children)
            if not exif.whole:
                lost.append("a part of the EXIF data is damaged and is not kept")
        except ValueError:
            lost.append("the EXIF data is damaged and is not kept")
    blocks = ((_ICC, UNDEFINED, metadata.icc), (_XMP, BYTE, metadata.xmp), (_IPTC, UNDEFINED, metadata.iptc))
    about.fields |= {tag: Field(kind, len(value), value) for tag, kind, value in blocks if value}
    if metadata.resolution:
        ratios = [_rational(dpi).as_integer_ratio() for dpi in metadata.resolution]
        if all(0 < numerator < 2**32 for numerator, _ in ratios):
            x, y = (Field(RATIONAL, 1, layout.pack("II", *ratio)) for ratio in ratios)
            unit = Field(SHORT, 1, layout.pack("H", INCH))
            about.fields |= {X_RESOLUTION: x, Y_RESOLUTION: y, RESOLUTION_UNIT: unit}
        else:
            lost.append("TIFF cannot hold this resolution; it is not kept")
    return about, layout


def _rational(value: float) -> Fraction:
    """As exact as two numbers of 32 bits allow."""
    return Fraction(value).limit_denominator(max(1, 2**31 // (int(value) + 1)))


def _rewrite_directory(path: Path, about: Directory) -> None:
    """Append a directory with everything the first one has and `about`, and make it the first.

    tifffile cannot write Exif and GPS directories, and recodes the values of other tags; this does neither.
    """
    with path.open("r+b") as file:
        layout, at = read_layout(file)
        directory = read_directory(file, layout, at)
        directory.fields |= about.fields
        directory.children = about.children
        end = file.seek(0, 2)
        file.write(b"\0" * (end % 2))
        packed = pack_directory(directory, layout, end + end % 2)
        file.write(packed)
        file.seek(8 if layout.big else 4)
        file.write(layout.pack("Q" if layout.big else "I", end + end % 2))
