"""Pictures made larger, or coloured, before a network sees them: streams from streams, a few rows at a time."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pellucid.errors import PictureError
from pellucid.images.mosaic import SUPPORT as MOSAIC_SUPPORT
from pellucid.images.mosaic import malvar
from pellucid.images.picture import Picture
from pellucid.images.resampling import resized_rows, source_rows
from pellucid.images.stream import PictureStream, Window, row_slices, rows_of
from pellucid.images.transparency import bleed
from pellucid.images.view import weight_of


def enlarged(stream: PictureStream, scale: int) -> PictureStream:
    """The picture `scale` times larger by cubic convolution, transparency too.

    What shows nothing keeps its values and colours nothing around it.
    """

    def stripes() -> Iterator[Picture]:
        window = Window(stream)
        for rows in row_slices(scale * stream.height, scale * stream.width):
            needed = source_rows(stream.height, scale * stream.height, rows)
            yield enlarged_rows(window.rows(needed), needed.start, stream.height, scale, rows)

    height, width = scale * stream.height, scale * stream.width
    return replace(stream, height=height, width=width, not_numbers=scale**2 * stream.not_numbers, stripes=stripes)


def enlarged_rows(band: Picture, top: int, height: int, scale: int, rows: slice) -> Picture:
    """Some rows of an enlarged picture.

    Args:
        band: the rows of the picture from `top` on, with all that `rows` depend on.
        top: the first of them.
        height: of the whole picture.
        scale: how many times larger the result is.
        rows: those of the result that are wanted.
    """
    needed = source_rows(height, scale * height, rows)
    part = rows_of(band, slice(needed.start - top, needed.stop - top))
    size = (height, scale * height, scale * part.width, rows)
    weight = weight_of(part, slice(None), slice(None))
    if weight is None:
        return replace(part, pixels=resized_rows(part.pixels, *size), alpha=None)
    pixels = resized_rows(np.where(np.isfinite(shown := bleed(part.pixels, weight)), shown, 0), *size)
    nearest = np.arange(rows.start, rows.stop, dtype=np.intp) // scale - needed.start
    hidden = np.repeat(weight[nearest] <= 0, scale, axis=1)
    np.copyto(pixels, np.repeat(part.pixels[nearest], scale, axis=1), where=hidden[..., np.newaxis])
    alpha = None
    if part.alpha is not None:
        alpha = resized_rows(part.alpha[..., np.newaxis], *size)[..., 0]
        np.clip(alpha, 0, 1, out=alpha)
    return replace(part, pixels=pixels, alpha=alpha)


def demosaiced(stream: PictureStream) -> PictureStream:
    """The colours of a grey picture that is the RGGB mosaic of a camera's sensor, by Malvar's interpolation.

    Raises PictureError for a picture that is in colour already, or has transparency.
    """
    if stream.channels != 1 or stream.has_alpha:
        raise PictureError("a mosaic is a grey picture without transparency; this one is in colour")

    def stripes() -> Iterator[Picture]:
        window = Window(stream)
        for rows in row_slices(stream.height, stream.width):
            start = max(rows.start - MOSAIC_SUPPORT, 0) // 2 * 2
            band = window.rows(slice(start, min(rows.stop + MOSAIC_SUPPORT, stream.height)))
            colours = malvar(band.pixels[..., 0])[rows.start - start : rows.stop - start]
            yield replace(rows_of(band, slice(0, len(colours))), pixels=colours)

    return replace(stream, channels=3, stripes=stripes)
