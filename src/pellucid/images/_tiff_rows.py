"""The rows of a TIFF page, a row of its tiles or strips at a time, decoded by tifffile."""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import PictureError
from pellucid.images._cmyk import to_rgb
from pellucid.images.picture import Samples

_STRIPE_BYTES = 2**21  # of rows that can be read in any number


def stripes(file: BinaryIO, page: tifffile.TiffPage, plane: int | None) -> Iterator[Samples]:
    """The samples from top to bottom, black as 0, alpha last; raises PictureError where pixels are missing.

    Args:
        file: what holds the page.
        page: grey, RGB, palette or CMYK.
        plane: which of several pictures that stand one after another under this directory; None where it has but one.

    Yields:
        Stripes (h, W, C) of one row of tiles or strips each. What codecs raise for damaged data passes through.
    """
    end = file.seek(0, 2)
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    # tifffile would fill such gaps with black.
    if len(parts) < math.prod(page.chunked) or not all(at and size and at + size <= end for at, size in parts):
        raise truncated()
    rows = _plain_rows(file, page, plane or 0) if _is_plain(page) else _coded_rows(file, page)
    for samples in rows:
        yield _meaningful(page, samples)


def bytes_held(page: tifffile.TiffPage) -> int:
    """Memory that reading the page by stripes takes: a row of its tiles, coded and decoded."""
    if _is_plain(page):
        return 2 * _STRIPE_BYTES
    return 2 * _rows_of_chunk(page) * page.imagewidth * page.samplesperpixel * _itemsize(page)


def palette(page: tifffile.TiffPage) -> Samples:
    """Colours `(N, 3)`, or `(N, 1)` where all are grey; as 8 bits where none needs more."""
    colours = page.colormap
    if colours is None:
        raise PictureError("the TIFF data is damaged: it has no palette")
    if (colours == colours[:1]).all():
        colours = colours[:1]
    # Writers widen a byte by repeating it or by a zero.
    if not (colours % 257).any() or not (colours % 256).any():
        return (colours.T >> 8).astype(np.uint8)
    return colours.T


def profile(page: tifffile.TiffPage) -> bytes | None:
    """The ICC profile of a page."""
    value = page.iccprofile
    return bytes(value) if value else None


def truncated() -> PictureError:
    """The error where pixels are missing."""
    return PictureError("the TIFF data is truncated; get a whole copy of the file")


def _itemsize(page: tifffile.TiffPage) -> int:
    return page.dtype.itemsize if page.dtype is not None else 8


def _rows_of_chunk(page: tifffile.TiffPage) -> int:
    return page.chunks[0]


def _is_plain(page: tifffile.TiffPage) -> bool:
    """Whether rows stand in the file as they are, one after another."""
    whole_bytes = page.dtype is not None and page.bitspersample == 8 * page.dtype.itemsize
    return page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and page.is_contiguous and whole_bytes


def _plain_rows(file: BinaryIO, page: tifffile.TiffPage, plane: int) -> Iterator[NDArray[Any]]:
    planes, _, height, width, samples = page.shaped
    kind = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    row = width * samples * kind.itemsize
    start = page.dataoffsets[0] + plane * page.nbytes
    step = max(1, _STRIPE_BYTES // (row * planes))
    for top in range(0, height, step):
        count = min(step, height - top)
        parts: list[NDArray[Any]] = []
        for apart in range(planes):
            file.seek(start + (apart * height + top) * row)
            data = file.read(count * row)
            if len(data) < count * row:
                raise truncated()
            parts.append(np.frombuffer(data, kind).reshape(count, width, samples))
        yield np.concatenate(parts, axis=2) if planes > 1 else parts[0]


def _coded_rows(file: BinaryIO, page: tifffile.TiffPage) -> Iterator[NDArray[Any]]:
    planes, _, height, width, samples = page.shaped
    kind = np.dtype(page.dtype)
    down = _rows_of_chunk(page)
    rows_of_chunks = -(-height // down)
    across = math.prod(page.chunked) // (rows_of_chunks * planes)
    for number in range(rows_of_chunks):
        stripe = np.empty((min(down, height - number * down), width, planes * samples), kind)
        for apart in range(planes):
            for column in range(across):
                index = (apart * rows_of_chunks + number) * across + column
                file.seek(page.dataoffsets[index])
                coded = file.read(page.databytecounts[index])
                tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
                chunk, (_, _, _, left, _), _ = page.decode(coded, index, **tables)
                place = stripe[:, left : left + page.chunks[1], apart * samples : (apart + 1) * samples]
                if chunk is None or chunk.shape[1] < place.shape[0] or chunk.shape[2] < place.shape[1]:
                    raise truncated()
                place[:] = chunk[0, : place.shape[0], : place.shape[1]]  # the last ones stick out
        yield stripe


def _meaningful(page: tifffile.TiffPage, samples: NDArray[Any]) -> Samples:
    """Stored numbers as the samples of a picture."""
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.dtype == np.float64:
        with np.errstate(over="ignore"):
            samples = samples.astype(np.float32)
    if samples.dtype == np.bool_:
        samples = samples.astype(np.uint8)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return palette(page)[samples[..., 0]]
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        return to_rgb(Image.fromarray(np.ascontiguousarray(samples), "CMYK"), profile(page))
    top = 2**page.bitspersample - 1
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        samples = np.concatenate([samples.dtype.type(top) - samples[..., :1], samples[..., 1:]], axis=2)
    if top < 255:
        samples = samples.astype(np.uint8) * np.uint8(255 // top)
    return samples
