"""Reading TIFF page by page, pixels through tifffile."""

import math
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

import tifffile

from pellucid.errors import PictureError
from pellucid.images._cmyk import about_inks
from pellucid.images._ifd import read_directory, read_layout
from pellucid.images._survey import Page, Survey
from pellucid.images._tiff_rows import bytes_held, palette, profile, stripes
from pellucid.images._tiff_tags import metadata_of, no_data_of
from pellucid.images.picture import BitDepth, Numbers

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_ICC, _DNG = 34675, 50706
_GREY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
_FORMATS: dict[int, Numbers] = {
    tifffile.SAMPLEFORMAT.UINT: "unsigned",
    tifffile.SAMPLEFORMAT.INT: "signed",
    tifffile.SAMPLEFORMAT.IEEEFP: "float",
}
_DEPTHS: dict[Numbers, dict[int, BitDepth]] = {
    "unsigned": {1: 8, 2: 8, 4: 8, 8: 8, 10: 10, 12: 12, 16: 16},
    "signed": {16: 16},
    "float": {16: 16, 32: 32, 64: 32},
}
_MOST_TILE = 2**24  # samples of a tile beyond those of the picture


class _Kind(NamedTuple):
    """What the samples of a page mean."""

    numbers: Numbers
    bit_depth: BitDepth
    channels: int
    has_alpha: bool
    notes: list[str]


def pages(file: BinaryIO) -> Iterator[Page]:
    """The pages, previews left out; raises PictureError for the kinds not supported, others for damaged files."""
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        first = _page(tif, 0)
        if first.is_reduced or _DNG in first.tags:
            raise PictureError("camera raw files are not supported; develop it to an ordinary TIFF first")
        kept = [index for index in range(len(tif.pages)) if index == 0 or not _page(tif, index).is_reduced]
        slices = _slices(tif) if len(tif.pages) == 1 else 1
        if len(tif.pages) > 1 and any(_hides_pictures(_page(tif, index)) for index in kept):
            raise _several_in_one()
        count = len(kept) * slices
        for index in kept:
            page = first if index == 0 else _page(tif, index)
            has_previews = index == 0 and len(kept) < len(tif.pages)
            survey = _survey(file, page, count, has_previews=has_previews)
            for plane in range(slices):
                yield Page(survey, partial(stripes, file, page, plane if slices > 1 else None), bytes_held(page))


def _page(tif: tifffile.TiffFile, index: int) -> tifffile.TiffPage:
    page = tif.pages[index]
    if not isinstance(page, tifffile.TiffPage):
        raise PictureError("the TIFF data is damaged: its pages do not describe themselves")
    sizes = (page.imagelength, page.imagewidth, page.imagedepth, page.samplesperpixel, page.tilelength, page.tilewidth)
    if not all(type(size) is int for size in (*sizes, page.rowsperstrip)):  # a tuple times a number is a long tuple
        raise PictureError("the TIFF data is damaged: a size in it is not one number")
    return page


def _slices(tif: tifffile.TiffFile) -> int:
    """How many pictures stand one after another under the only directory, as ImageJ and tifffile may store them."""
    page = _page(tif, 0)
    # OME never does so, and tifffile would open the other files that it names.
    size = page.size if tif.is_ome else tif.series[0].size
    if page.imagedepth == 1 and size == page.size:
        return 1
    plain = page.compression == 1 and page.is_contiguous and size % page.size == 0
    if page.imagedepth > 1 or not plain or not (tif.is_imagej or tif.is_shaped):
        raise _several_in_one()
    return size // page.size


def _hides_pictures(page: tifffile.TiffPage) -> bool:
    """Whether one of several pages is a volume, or the first of an array whose others have no directories."""
    return page.imagedepth > 1 or (page.is_shaped and '"truncated": true' in page.description)


def _several_in_one() -> PictureError:
    return PictureError("TIFF with several pictures in one is not supported in this form; save them as pages")


def _survey(file: BinaryIO, page: tifffile.TiffPage, count: int, *, has_previews: bool) -> Survey:
    kind = _kind(page)
    tile = math.prod(page.chunks)
    if tile > 4 * page.size and tile > _MOST_TILE:
        raise PictureError("the TIFF data is damaged: its tiles are far larger than the picture")
    notes = [*kind.notes]
    if has_previews:
        notes.append("its small preview is not kept")
    layout, _ = read_layout(file)
    shape = (count, page.imagelength, page.imagewidth, kind.channels + kind.has_alpha)
    directory = read_directory(file, layout, page.offset)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        notes += about_inks(profile(page))
        directory.fields.pop(_ICC, None)  # it describes inks; the pixels become sRGB
    no_data = no_data_of(directory)
    if no_data is not None:
        notes.append(f"its pixels of no data ({no_data:g}) stay as they are")
    metadata, orientation, more = metadata_of(directory, layout, shape, notes)
    is_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    return Survey(
        format="TIFF",
        width=page.imagewidth,
        height=page.imagelength,
        channels=kind.channels,
        bit_depth=kind.bit_depth,
        numbers=kind.numbers,
        has_alpha=kind.has_alpha,
        premultiplied=kind.has_alpha and tuple(page.extrasamples) == (tifffile.EXTRASAMPLE.ASSOCALPHA,),
        # A profile says what white is.
        measured=kind.numbers != "unsigned" or (kind.bit_depth == 16 and not is_palette and not metadata.icc),
        no_data=no_data,
        orientation=orientation,
        metadata=metadata,
        notes=(*notes, *more),
    )


def _kind(page: tifffile.TiffPage) -> _Kind:
    """What the samples mean; raises PictureError for kinds not supported."""
    photometric, notes = page.photometric, list[str]()
    numbers, bits = _FORMATS.get(page.sampleformat), page.bitspersample
    if numbers is None or bits not in _DEPTHS[numbers]:
        kind = tifffile.SAMPLEFORMAT(page.sampleformat).name
        raise PictureError(f"TIFF of {bits} bits ({kind}) is not supported; convert it to 8 or 16, or to 32-bit floats")
    depth = _DEPTHS[numbers][bits]
    if depth < bits:
        notes.append(f"its {bits}-bit numbers are rounded to {depth} bits")
    elif depth > bits and photometric != tifffile.PHOTOMETRIC.PALETTE:
        notes.append(f"widened from {bits} to {depth} bits per channel")
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        colours = palette(page)
        grey = colours.shape[1] == 1
        notes.append(f"converted from a palette to {'grey' if grey else 'RGB'}")
        depth, stored, channels = 8 if colours.itemsize == 1 else 16, 1, colours.shape[1]
    elif photometric in _GREY:
        stored, channels = 1, 1
    elif photometric == tifffile.PHOTOMETRIC.RGB or (
        # tifffile has libjpeg turn this one into RGB
        photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.JPEG
    ):
        stored, channels = 3, 3
    elif photometric == tifffile.PHOTOMETRIC.SEPARATED and (page.samplesperpixel, bits) == (4, 8):
        stored, channels = 4, 3
    else:
        kind = tifffile.PHOTOMETRIC(photometric).name
        raise PictureError(f"TIFF of the kind {kind} is not supported yet; convert it to RGB")
    if photometric in (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.PALETTE) and numbers != "unsigned":
        raise PictureError("TIFF of signed or floating-point numbers with white as zero or a palette is not supported")
    extra = page.samplesperpixel - stored
    if extra not in ((0,) if photometric == tifffile.PHOTOMETRIC.PALETTE else (0, 1)) or (
        extra and numbers == "signed"
    ):
        raise PictureError(f"TIFF with {page.samplesperpixel} channels is not supported yet; keep colour and one alpha")
    if extra and tuple(page.extrasamples) not in ((1,), (2,)):
        notes.append("its last channel is not described; it is taken for transparency")
    return _Kind(numbers, depth, channels, bool(extra), notes)
