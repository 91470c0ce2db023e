"""Writing pictures: whole or not at all, with what the format can hold, and a sentence for each thing it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pellucid.errors import PictureError
from pellucid.files import atomic_path
from pellucid.images import _jpeg, _png, _tiff, _webp
from pellucid.images.picture import BitDepth, Metadata, Picture, PictureHeader, Samples, to_integers


class _Format(NamedTuple):
    encode: Callable[[Path, Samples, Metadata], list[str]]
    most_bits: BitDepth
    holds_alpha: bool
    most_pixels_per_side: int = 2**31 - 1


FORMATS: Final = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

_FORMATS: Final = {
    "PNG": _Format(_png.encode, 16, True),
    "TIFF": _Format(_tiff.encode, 16, True),
    "JPEG": _Format(_jpeg.encode, 8, False, _jpeg.MOST_PIXELS_PER_SIDE),
    "WEBP": _Format(_webp.encode, 8, True, _webp.MOST_PIXELS_PER_SIDE),
}


def unsupported(picture: Picture | PictureHeader, suffix: str) -> tuple[str, ...]:
    """What of the pixels a file with this `suffix` (".jpg") cannot hold, a sentence each, to show before work starts.

    Raises PictureError where it could not be written at all: an unknown suffix, or too many pixels per side.
    """
    name = FORMATS.get(suffix.lower())
    if name is None:
        raise PictureError(f"cannot write {suffix or 'a file without suffix'}; use one of {', '.join(FORMATS)}")
    form = _FORMATS[name]
    if max(picture.width, picture.height) > form.most_pixels_per_side:
        raise PictureError(
            f"{name} holds at most {form.most_pixels_per_side} pixels per side; "
            f"this picture has {picture.width} × {picture.height}; use .tif"
        )
    sentences: list[str] = []
    if picture.bit_depth > form.most_bits:
        sentences.append(f"{name} holds {form.most_bits} bits per channel; this picture has {picture.bit_depth}")
    if picture.has_alpha and not form.holds_alpha:
        sentences.append(f"{name} holds no transparency; this picture has it")
    return tuple(sentences)


def write_picture(picture: Picture, path: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write in the format of the suffix of `path`, atomically; returns a sentence for each thing that was not kept.

    PNG, TIFF and WebP are lossless, JPEG has quality 95 without chroma subsampling. Raises PictureError for what
    `unsupported` refuses and for pixels that cannot be encoded, PellucidError where the file cannot be written.
    """
    path = Path(path)
    try:
        lost = unsupported(picture, path.suffix)
        form = _FORMATS[FORMATS[path.suffix.lower()]]
        with atomic_path(path, overwrite=overwrite) as temporary:
            samples = _samples(picture, min(picture.bit_depth, form.most_bits), with_alpha=form.holds_alpha)
            return (*lost, *form.encode(temporary, samples, picture.metadata))
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except (RuntimeError, ValueError) as error:  # codecs' own classes descend from RuntimeError
        raise PictureError(f"{path}: the pixels could not be encoded ({error})") from error
    except MemoryError as error:
        raise PictureError(f"{path}: encoding it needs more memory than there is") from error


def _samples(picture: Picture, bit_depth: BitDepth, *, with_alpha: bool) -> Samples:
    """Integers `(H, W)` for plain grey, else `(H, W, C)` with alpha last."""
    colours = picture.channels
    alpha = picture.alpha if with_alpha else None
    shape = (picture.height, picture.width, colours + (alpha is not None))
    samples = np.empty(shape, np.uint8 if bit_depth == 8 else np.uint16)
    to_integers(picture.pixels, bit_depth, out=samples[..., :colours])
    if alpha is not None:
        to_integers(alpha, bit_depth, out=samples[..., colours])
    return samples if shape[2] > 1 else samples[..., 0]
