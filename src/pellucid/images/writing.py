"""Writing pictures: whole or not at all, with what the format can hold, and a sentence for each thing it cannot."""

import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pellucid.errors import PictureError
from pellucid.files import atomic_path
from pellucid.images import _bmp, _heif, _jpeg, _png, _pnm, _tiff_writing, _webp
from pellucid.images._tiff_tags import ARRAY_NAMES
from pellucid.images.picture import (
    BitDepth,
    Metadata,
    Picture,
    PictureHeader,
    Samples,
    scaled,
    stored_type,
    to_samples,
)
from pellucid.images.view import count_not_numbers


class _Writer(Protocol):
    """Takes the pages of one file; the first two give back what could not be kept, the last lets go of the file."""

    def add(self, samples: Samples, metadata: Metadata, bit_depth: BitDepth) -> list[str]: ...

    def close(self) -> list[str]: ...

    def release(self) -> None: ...


class _OnePage:
    """The writer of a format whose files hold one picture."""

    def __init__(self, encode: Callable[[Path, Samples, Metadata, BitDepth], list[str]], path: Path) -> None:
        self._encode, self._path = encode, path

    def add(self, samples: Samples, metadata: Metadata, bit_depth: BitDepth) -> list[str]:
        if self._path.stat().st_size:
            raise PictureError("its format holds one picture; several pages need .tif")
        return self._encode(self._path, samples, metadata, bit_depth)

    def close(self) -> list[str]:
        return []

    def release(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _Format:
    """How to write a format and what it can hold; `loses` are names from `Metadata.carries`."""

    writer: Callable[[Path], _Writer]
    depths: tuple[BitDepth, ...] = (8,)
    any_numbers: bool = False
    holds_alpha: bool = False
    holds_colour: bool = True
    most_pixels_per_side: int = 2**31 - 1
    loses: frozenset[str] = frozenset()
    why_not: Callable[[], str | None] = lambda: None


FORMATS: Final = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PGM",
    ".pnm": "PNM",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
}

_PROFILE_AND_TEXTS: Final = frozenset({"colour profile", "EXIF data", "XMP data", "IPTC data"})
_ALL: Final = _PROFILE_AND_TEXTS | {"resolution"}
_OF_ONE_FORMAT: Final = {"JPEG": {"comment"}, "PNG": {"texts", "colour description"}, "TIFF": set(ARRAY_NAMES)}
_FORMATS: Final = {
    "PNG": _Format(
        writer=partial(_OnePage, _png.encode), depths=(8, 16), holds_alpha=True, loses=frozenset({"IPTC data"})
    ),
    "TIFF": _Format(writer=_tiff_writing.PagesWriter, depths=(8, 16, 32), any_numbers=True, holds_alpha=True),
    "JPEG": _Format(writer=partial(_OnePage, _jpeg.encode), most_pixels_per_side=_jpeg.MOST_PIXELS_PER_SIDE),
    "WEBP": _Format(
        writer=partial(_OnePage, _webp.encode),
        holds_alpha=True,
        most_pixels_per_side=_webp.MOST_PIXELS_PER_SIDE,
        loses=frozenset({"IPTC data"}),
    ),
    "BMP": _Format(
        writer=partial(_OnePage, _bmp.encode), most_pixels_per_side=_bmp.MOST_PIXELS_PER_SIDE, loses=_PROFILE_AND_TEXTS
    ),
    "PPM": _Format(writer=partial(_OnePage, _pnm.encode_colour), depths=(8, 10, 12, 16), loses=_ALL),
    "PGM": _Format(writer=partial(_OnePage, _pnm.encode), depths=(8, 10, 12, 16), holds_colour=False, loses=_ALL),
    "AVIF": _Format(
        writer=partial(_OnePage, _heif.encode_avif),
        holds_alpha=True,
        most_pixels_per_side=_heif.MOST_PIXELS_PER_SIDE,
        loses=frozenset({"IPTC data"}),
        why_not=_heif.why_no_avif,
    ),
    "HEIC": _Format(
        writer=partial(_OnePage, _heif.encode_heic),
        depths=(8, 10),
        holds_alpha=True,
        most_pixels_per_side=_heif.MOST_PIXELS_PER_SIDE,
        loses=frozenset({"IPTC data"}),
        why_not=_heif.why_no_heic,
    ),
    "PNM": _Format(writer=partial(_OnePage, _pnm.encode), depths=(8, 10, 12, 16), loses=_ALL),
}


def unsupported(picture: Picture | PictureHeader, suffix: str) -> tuple[str, ...]:
    """What of the picture a file with this `suffix` (".jpg") cannot hold, a sentence each, to show before work starts.

    Raises PictureError where it could not be written at all: an unknown suffix, too many pixels per side, several
    pages, colour in a grey format, or values that are not numbers where there is no place for them.
    """
    name = FORMATS.get(suffix.lower())
    if name is None:
        raise PictureError(f"cannot write {suffix or 'a file without suffix'}; use one of {', '.join(FORMATS)}")
    form = _FORMATS[name]
    if missing := form.why_not():
        raise PictureError(missing)
    if max(picture.width, picture.height) > form.most_pixels_per_side:
        raise PictureError(
            f"{name} holds at most {form.most_pixels_per_side} pixels per side; "
            f"this picture has {picture.width} × {picture.height}; use .tif"
        )
    if picture.channels > 1 and not form.holds_colour:
        raise PictureError(f"{name} holds no colour; use .ppm or .png")
    if isinstance(picture, PictureHeader):
        if picture.pages > 1 and name != "TIFF":
            raise PictureError(f"{name} holds one picture; this file has {picture.pages} pages; use .tif")
    elif picture.numbers == "float" and not form.any_numbers and count_not_numbers(picture):
        raise PictureError(f"{name} holds no values that are not numbers (NaN or infinite); use .tif")
    sentences: list[str] = []
    if picture.numbers != "unsigned" and not form.any_numbers:
        kind = "negative numbers" if picture.numbers == "signed" else "floating-point numbers"
        depth = max(form.depths)
        sentences.append(f"{name} holds no {kind}; what the network sees as black to white fills {depth} bits")
    elif picture.bit_depth > max(form.depths):
        sentences.append(f"{name} holds {max(form.depths)} bits per channel; this picture has {picture.bit_depth}")
    if picture.has_alpha and not form.holds_alpha:
        sentences.append(f"{name} holds no transparency; this picture has it")
    carries = picture.carries if isinstance(picture, PictureHeader) else picture.metadata.carries
    loses = form.loses.union(*(names for other, names in _OF_ONE_FORMAT.items() if other != name))
    sentences += [f"{name} has no place for the {what}; it is not kept" for what in carries if what in loses]
    return tuple(sentences)


def most_xmp(suffix: str) -> int:
    """How many bytes of XMP data a file with this `suffix` (".jpg") can hold; 0 where it has no place for any."""
    name = FORMATS[suffix.lower()]
    if "XMP data" in _FORMATS[name].loses:
        return 0
    return 65502 if name == "JPEG" else 2**24 - 2**8  # as its specification says; what our own PNG reader believes


def write_picture(picture: Picture, path: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write in the format of the suffix of `path`, atomically; returns a sentence for each thing that was not kept.

    All but JPEG (quality 95) and AVIF (quality 100), both without chroma subsampling, are lossless. Raises PictureError
    for what `unsupported` refuses and pixels that cannot be encoded, PellucidError where the file cannot be written.
    """
    return write_pages([picture], path, overwrite=overwrite)


def write_pages(pages: Iterable[Picture], path: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write pictures as the pages of one file, each as soon as it comes; several need TIFF. Otherwise `write_picture`.

    What goes wrong in making the pages passes through as it is.
    """
    path, following = Path(path), iter(pages)
    first = next(following, None)
    with _sentences(path):
        if first is None:
            raise PictureError("there is no page to write")
        lost = list(unsupported(first, path.suffix))
        form = _FORMATS[FORMATS[path.suffix.lower()]]
    with atomic_path(path, overwrite=overwrite) as temporary:
        with _sentences(path):
            writer = form.writer(temporary)
        try:
            for picture in itertools.chain([first], following):
                with _sentences(path):
                    lost += unsupported(picture, path.suffix)
                    lost += writer.add(*_encodable(picture, form))
            with _sentences(path):
                lost += writer.close()
        finally:
            writer.release()
    return tuple(dict.fromkeys(lost))


@contextmanager
def _sentences(path: Path) -> Generator[None, None, None]:
    """Whatever keeps the pixels from being encoded becomes a PictureError that starts with the name of the file."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except (RuntimeError, ValueError) as error:  # codecs' own classes descend from RuntimeError
        raise PictureError(f"{path}: the pixels could not be encoded ({error})") from error
    except MemoryError as error:
        raise PictureError(f"{path}: encoding it needs more memory than there is") from error


def _encodable(picture: Picture, form: _Format) -> tuple[Samples, Metadata, BitDepth]:
    """Samples as the format holds them, `(H, W)` for plain grey, else `(H, W, C)` with alpha last."""
    pixels, numbers, bit_depth = picture.pixels, picture.numbers, picture.bit_depth
    if numbers != "unsigned" and not form.any_numbers:
        pixels, numbers, bit_depth = scaled(pixels, picture.span), "unsigned", form.depths[-1]
    elif bit_depth > form.depths[-1]:
        pixels, bit_depth = scaled(pixels, picture.span), form.depths[-1]
    held: BitDepth = next(depth for depth in form.depths if depth >= bit_depth)
    alpha = picture.alpha if form.holds_alpha else None
    shape = (picture.height, picture.width, picture.channels + (alpha is not None))
    samples: Samples = np.empty(shape, stored_type(numbers, held))
    to_samples(pixels, numbers, held, out=samples[..., : picture.channels])
    if alpha is not None:
        to_samples(alpha, numbers, held, out=samples[..., -1])
    return samples if shape[2] > 1 else samples[..., 0], picture.metadata, held
