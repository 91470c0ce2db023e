"""Writing pictures: whole or not at all, with what the format can hold, and a sentence for each thing it cannot."""

import itertools
import struct
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pellucid.errors import PictureError
from pellucid.files import atomic_path
from pellucid.images import _bmp, _heif, _jpeg, _png, _pnm, _tiff_writing, _webp
from pellucid.images._sheet import Sheet
from pellucid.images._tiff_tags import ARRAY_NAMES
from pellucid.images.picture import (
    BitDepth,
    Picture,
    PictureHeader,
    Samples,
    scaled,
    stored_type,
    to_samples,
)
from pellucid.images.stream import PictureStream
from pellucid.images.view import count_not_numbers
from pellucid.pipelines import fed

_STRIPES_AHEAD = 4  # rows that wait for being encoded


class _Writer(Protocol):
    """Takes the pages of one file; the first two give back what could not be kept, the last lets go of the file."""

    def add(self, sheet: Sheet, rows: Iterator[Samples]) -> list[str]: ...

    def close(self) -> list[str]: ...

    def release(self) -> None: ...


class _OnePage:
    """The writer of a format whose files hold one picture."""

    def __init__(self, encode: Callable[[Path, Sheet, Iterator[Samples]], list[str]], path: Path) -> None:
        self._encode, self._path = encode, path

    def add(self, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
        if self._path.stat().st_size:
            raise PictureError("its format holds one picture; several pages need .tif")
        return self._encode(self._path, sheet, rows)

    def close(self) -> list[str]:
        return []

    def release(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _Format:
    """How to write a format and what it can hold; `loses` are names from `Metadata.carries`.

    One that `streams` is written row by row; the others take the picture whole.
    """

    writer: Callable[[Path], _Writer]
    streams: bool = False
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
        writer=partial(_OnePage, _png.encode),
        streams=True,
        depths=(8, 16),
        holds_alpha=True,
        loses=frozenset({"IPTC data"}),
    ),
    "TIFF": _Format(
        writer=_tiff_writing.PagesWriter, streams=True, depths=(8, 16, 32), any_numbers=True, holds_alpha=True
    ),
    "JPEG": _Format(
        writer=partial(_OnePage, _jpeg.encode), streams=True, most_pixels_per_side=_jpeg.MOST_PIXELS_PER_SIDE
    ),
    "WEBP": _Format(
        writer=partial(_OnePage, _webp.encode),
        holds_alpha=True,
        most_pixels_per_side=_webp.MOST_PIXELS_PER_SIDE,
        loses=frozenset({"IPTC data"}),
    ),
    "BMP": _Format(
        writer=partial(_OnePage, _bmp.encode),
        streams=True,
        most_pixels_per_side=_bmp.MOST_PIXELS_PER_SIDE,
        loses=_PROFILE_AND_TEXTS,
    ),
    "PPM": _Format(writer=partial(_OnePage, _pnm.encode_colour), streams=True, depths=(8, 10, 12, 16), loses=_ALL),
    "PGM": _Format(
        writer=partial(_OnePage, _pnm.encode), streams=True, depths=(8, 10, 12, 16), holds_colour=False, loses=_ALL
    ),
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
    "PNM": _Format(writer=partial(_OnePage, _pnm.encode), streams=True, depths=(8, 10, 12, 16), loses=_ALL),
}


def unsupported(picture: Picture | PictureStream | PictureHeader, suffix: str) -> tuple[str, ...]:
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
    elif not form.any_numbers and _not_numbers(picture):
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


def bytes_to_write(picture: PictureStream | PictureHeader, suffix: str) -> int:
    """Memory that writing a page in the format of a suffix takes besides its rows: nothing where it is done by rows."""
    form = _FORMATS[FORMATS[suffix.lower()]]
    whole_pages = isinstance(picture, PictureStream) and _tiff_writing.takes_whole_pages(picture.metadata)
    if form.streams and not (whole_pages and form.any_numbers):
        return 0
    coded = 2  # the encoder's own copy, which is seldom as large
    channels = picture.channels + (picture.has_alpha and form.holds_alpha)
    return coded * picture.width * picture.height * channels * -(-min(picture.bit_depth, form.depths[-1]) // 8)


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


def write_pages(
    pages: Iterable[Picture | PictureStream],
    path: str | Path,
    *,
    overwrite: bool = False,
    before_move: Callable[[Path], None] = lambda _: None,
) -> tuple[str, ...]:
    """Write pictures as the pages of one file, each as it comes; several need TIFF. Otherwise like `write_picture`.

    The rows of streams are made in this thread while earlier ones are encoded in another. `before_move` is called with
    the whole temporary file before it moves into place. What goes wrong in making pages and rows, and in `before_move`,
    passes through as it is.
    """
    path, following = Path(path), (PictureStream.of(page) if isinstance(page, Picture) else page for page in pages)
    first = next(following, None)
    with _sentences(path):
        if first is None:
            raise PictureError("there is no page to write")
        lost = list(unsupported(first, path.suffix))
        form = _FORMATS[FORMATS[path.suffix.lower()]]
    with atomic_path(path, overwrite=overwrite, before_move=before_move) as temporary:
        with _sentences(path):
            writer = form.writer(temporary)
        try:
            for page in itertools.chain([first], following):
                with _sentences(path):
                    lost += unsupported(page, path.suffix)
                lost += fed(partial(_add, path, writer, page, form), page.stripes(), _STRIPES_AHEAD)
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
    except (RuntimeError, ValueError, struct.error) as error:  # codecs' own classes descend from the first
        raise PictureError(f"{path}: the pixels could not be encoded ({error})") from error
    except MemoryError as error:
        raise PictureError(f"{path}: encoding it needs more memory than there is") from error


def _add(path: Path, writer: _Writer, page: PictureStream, form: _Format, stripes: Iterator[Picture]) -> list[str]:
    with _sentences(path):
        return writer.add(*_encodable(page, stripes, form))


def _encodable(picture: PictureStream, stripes: Iterator[Picture], form: _Format) -> tuple[Sheet, Iterator[Samples]]:
    """The picture as the format holds it, alpha last."""
    numbers, bit_depth = picture.numbers, picture.bit_depth
    as_seen = bit_depth > form.depths[-1] or (numbers != "unsigned" and not form.any_numbers)
    if as_seen:
        bit_depth = form.depths[-1]
        numbers = numbers if form.any_numbers else "unsigned"
    held: BitDepth = next(depth for depth in form.depths if depth >= bit_depth)
    has_alpha = picture.has_alpha and form.holds_alpha
    sheet = Sheet(
        height=picture.height,
        width=picture.width,
        channels=picture.channels + has_alpha,
        type=stored_type(numbers, held),
        bit_depth=held,
        metadata=picture.metadata,
    )

    def converted(stripe: Picture) -> Samples:
        samples: Samples = np.empty((stripe.height, sheet.width, sheet.channels), sheet.type)
        pixels = scaled(stripe.pixels, stripe.span) if as_seen else stripe.pixels
        to_samples(pixels, numbers, held, out=samples[..., : picture.channels])
        if has_alpha and stripe.alpha is not None:
            to_samples(stripe.alpha, numbers, held, out=samples[..., -1])
        return samples

    return sheet, map(converted, stripes)


def _not_numbers(picture: Picture | PictureStream | PictureHeader) -> int:
    """How many pixels are not numbers, where that is known."""
    if isinstance(picture, PictureStream):
        return picture.not_numbers
    return count_not_numbers(picture) if isinstance(picture, Picture) and picture.numbers == "float" else 0
