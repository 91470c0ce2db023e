"""Pictures made larger, or coloured, before a network sees them: streams from streams, a few rows at a time."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError
from pellucid.images._metadata import enlarged_metadata
from pellucid.images.mosaic import SUPPORT as MOSAIC_SUPPORT
from pellucid.images.mosaic import malvar
from pellucid.images.picture import Picture, PictureHeader
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

    return replace(
        stream,
        height=scale * stream.height,
        width=scale * stream.width,
        not_numbers=scale**2 * stream.not_numbers,
        metadata=enlarged_metadata(stream.metadata, scale),
        stripes=stripes,
    )


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
        return replace(part, pixels=resized_rows(part.pixels, *size))
    pixels = resized_rows(bleed(part.pixels, weight), *size)
    nearest = np.arange(rows.start, rows.stop, dtype=np.intp) // scale - needed.start
    means_something = weight_of(replace(part, alpha=None), slice(None), slice(None))
    alpha, hidden = None, np.zeros(pixels.shape[:2], np.bool_)
    if means_something is not None:
        hidden |= np.repeat(means_something[nearest] <= 0, scale, axis=1)
    if part.alpha is not None:
        # It fades, so that next to what shows something shows where nothing did.
        alpha = np.clip(resized_rows(part.alpha[..., np.newaxis], *size)[..., 0], 0, 1)
        hidden |= alpha <= 0
    np.copyto(pixels, np.repeat(part.pixels[nearest], scale, axis=1), where=hidden[..., np.newaxis])
    return replace(part, pixels=pixels, alpha=alpha)


def demosaiced(stream: PictureStream) -> PictureStream:
    """The colours of a grey picture that is the RGGB mosaic of a camera's sensor, by Malvar's interpolation.

    What means nothing keeps its value and spreads nowhere. Raises PictureError like `refuse_no_mosaic`.
    """
    refuse_no_mosaic(stream)

    def stripes() -> Iterator[Picture]:
        window = Window(stream)
        for rows in row_slices(stream.height, stream.width):
            start = max(rows.start - MOSAIC_SUPPORT, 0) // 2 * 2
            band = window.rows(slice(start, min(rows.stop + MOSAIC_SUPPORT, stream.height)))
            weight = weight_of(band, slice(None), slice(None))
            colours = malvar(band.pixels[..., 0] if weight is None else _filled_in(band, weight))
            if weight is not None:
                np.copyto(colours, band.pixels, where=(weight <= 0)[..., np.newaxis])
            yield replace(band, pixels=colours[rows.start - start : rows.stop - start])

    metadata, notes = stream.metadata, stream.notes
    if metadata.icc and metadata.icc[16:20] == b"GRAY":
        metadata = replace(metadata, icc=None)
        notes = (*notes, "its grey colour profile does not describe the colours of a mosaic and is not kept")
    return replace(stream, channels=3, metadata=metadata, notes=notes, stripes=stripes)


def refuse_no_mosaic(picture: PictureStream | PictureHeader) -> None:
    """Raise PictureError for a picture that is in colour already, or has transparency."""
    if picture.channels != 1 or picture.has_alpha:
        what = "is in colour" if picture.channels != 1 else "has transparency"
        raise PictureError(f"a mosaic is a grey picture without transparency; this one {what}")


def _filled_in(band: Picture, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mosaic in which each colour takes the place of what means nothing at its own sites."""
    seen = band.pixels[..., 0].copy()
    for site in (np.s_[0::2, 0::2], np.s_[0::2, 1::2], np.s_[1::2, 0::2], np.s_[1::2, 1::2]):
        seen[site] = bleed(band.pixels[site], weight[site])[..., 0]
    return seen
