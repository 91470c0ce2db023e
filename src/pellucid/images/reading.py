"""Reading pictures: recognised by content, turned upright, with everything their files say kept or noted."""

import errno
import functools
import itertools
import logging
import stat
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError
from pellucid.images import _bmp, _heif, _jpeg, _png, _pnm, _tiff, _webp
from pellucid.images._span import Span, about_values, values_of
from pellucid.images._survey import Page, Pages, Survey, only_page, upright
from pellucid.images.picture import Picture, PictureHeader, Samples, to_floats
from pellucid.images.stream import PictureStream, row_slices

# No codec packs photographs more tightly; checked only where being wrong would cost much memory.
_MOST_EXPANSION = 4096
_HARMLESS_BYTES = 2**28
_LOCK = threading.RLock()  # what keeps libraries quiet is one for all threads


def read_header(path: str | Path) -> PictureHeader:
    """What the file announces, without decoding its pixels; raises PictureError like `read_picture`."""
    path = Path(path)
    with _sentences(path), _open(path) as file:
        size = file.seek(0, 2)
        pages = list(_recognised(file)(file))
        largest = max(pages, key=lambda page: page.survey.width * page.survey.height)
        notes = tuple(dict.fromkeys(note for page in pages for note in page.survey.notes))
        held = max(_bytes_held(page, size) for page in pages)
        return replace(largest.survey.header, pages=len(pages), notes=notes, bytes_held=held)


def is_picture(path: str | Path) -> bool:
    """Whether a file starts as one of a known format does; raises PictureError when it cannot be opened."""
    path = Path(path)
    with _sentences(path), _open(path) as file:
        try:
            _recognised(file)
        except PictureError:
            return False
        return True


def read_picture(path: str | Path, *, max_pixels: int | None = None) -> Picture:
    """The picture in a file of any known format, upright, whatever the file's suffix.

    Raises PictureError when the file is missing, unreadable, damaged, of a kind not supported, holds several pages, or
    announces more than `max_pixels` pixels; the last is decided before anything is decoded.
    """
    with open_picture(path, max_pixels=max_pixels) as stream:
        return stream.whole()


@contextmanager
def open_picture(path: str | Path, *, max_pixels: int | None = None) -> Generator[PictureStream, None, None]:
    """The picture in a file as a stream, to be read within the context; raises PictureError like `read_picture`."""
    path = Path(path)
    with _sentences(path):
        file = _open(path)
    with file:
        with _sentences(path):
            pages = list(itertools.islice(_recognised(file)(file), 2))
            if len(pages) > 1:
                raise PictureError("it holds several pages; pellucid.images.read_pages gives one after another")
            stream = _stream(path, pages[0], file.seek(0, 2), max_pixels)
        yield stream


def read_pages(path: str | Path, *, max_pixels: int | None = None) -> Iterator[Picture]:
    """The pictures of a file one after another, each decoded when it is asked for; otherwise like `open_pages`."""
    return (stream.whole() for stream in open_pages(path, max_pixels=max_pixels))


def open_pages(path: str | Path, *, max_pixels: int | None = None) -> Iterator[PictureStream]:
    """The pictures of a file one after another as streams, each to be read until the next is asked for.

    The pages of a scientific stack share one span, so that each is seen as bright as it is. Raises PictureError like
    `read_picture`, damaged pixels where their rows are asked for; `max_pixels` is for each page.
    """
    path = Path(path)
    with _sentences(path):
        file = _open(path)
    with file:
        with _sentences(path):
            size, format_pages = file.seek(0, 2), _recognised(file)
            span = _common_span(format_pages(file), size, max_pixels)
            pages = format_pages(file)
        while True:
            with _sentences(path):
                page = next(pages, None)
                if page is None:
                    return
                stream = _stream(path, page, size, max_pixels, span)
            yield stream


def _common_span(pages: Iterator[Page], file_size: int, max_pixels: int | None) -> Span | None:
    """What the values of all pages span; None where each may speak for itself."""
    first = list(itertools.islice(pages, 2))
    if len(first) < 2:
        return None
    spans: list[Span] = []
    for page in itertools.chain(first, pages):
        if page.survey.measured:
            _check_size(page.survey, file_size, max_pixels)
            spans.append(values_of(page.stripes(), page.survey).span)
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def _stream(path: Path, page: Page, file_size: int, max_pixels: int | None, span: Span | None = None) -> PictureStream:
    """The picture of a page; one whose values must be looked at is gone through once for that."""
    survey = page.survey
    _check_size(survey, file_size, max_pixels)
    stripes = _upright_stripes(page)
    values = values_of(stripes(), survey) if survey.measured else None
    notes = survey.notes
    if survey.premultiplied and survey.has_alpha:
        notes = (*notes, "its colours were premultiplied by alpha and are now straight")
    like = Picture(  # of the stripes, but for their pixels
        pixels=np.zeros((1, 1, survey.channels), np.float32),
        bit_depth=survey.bit_depth,
        numbers=survey.numbers,
        span=(span or values.span) if values else (0.0, 1.0),
        no_data=_no_data(survey),
        metadata=survey.metadata,
    )
    not_numbers = values.not_numbers if values else 0
    header = survey.header
    return PictureStream(
        height=header.height,
        width=header.width,
        channels=survey.channels,
        has_alpha=survey.has_alpha,
        bit_depth=survey.bit_depth,
        numbers=survey.numbers,
        span=like.span,
        no_data=like.no_data,
        metadata=survey.metadata,
        notes=(*notes, *about_values(like, not_numbers)),
        not_numbers=not_numbers,
        bytes_held=_bytes_held(page, file_size),
        stripes=lambda: _guarded(path, _pictures(stripes(), survey, like)),
    )


def _upright_stripes(page: Page) -> Callable[[], Iterator[Samples]]:
    """Ways through the samples of a page, upright; those that cannot be read so are decoded once and kept."""
    survey = page.survey
    if _streams(page):
        return lambda: (upright(samples, survey.orientation) for samples in page.stripes())

    @functools.cache
    def whole() -> Samples:
        stripes = list(page.stripes())
        samples = stripes[0] if len(stripes) == 1 else np.concatenate(stripes)
        if samples.shape[:2] != (survey.height, survey.width):
            raise _not_as_announced()
        return upright(samples, survey.orientation)

    def at_once() -> Iterator[Samples]:
        yield whole()

    return at_once


def _streams(page: Page) -> bool:
    """Whether its upright rows can be read one after another: it is so stored, or but mirrored."""
    return page.held is not None and page.survey.orientation in (1, 2)


def _bytes_held(page: Page, file_size: int) -> int:
    """Memory that going through a page takes."""
    if page.held is not None and _streams(page):
        return page.held
    survey = page.survey
    size = survey.width * survey.height * (survey.channels + survey.has_alpha) * np.dtype(survey.stored_type).itemsize
    return size + file_size


def _pictures(stripes: Iterator[Samples], survey: Survey, like: Picture) -> Iterator[Picture]:
    """Samples, upright, as pictures of a few rows each."""
    missing, width, channels = survey.header.height, survey.header.width, survey.channels + survey.has_alpha
    for samples in stripes:
        missing -= len(samples)
        if samples.shape[1:] != (width, channels) or samples.dtype != survey.stored_type or missing < 0:
            raise _not_as_announced()
        for rows in row_slices(len(samples), width):
            part = samples[rows]
            pixels = _floats(part[..., : survey.channels], survey)
            alpha = _floats(part[..., -1], survey) if survey.has_alpha else None
            if survey.premultiplied and alpha is not None:
                _unmultiply(pixels, alpha, at_most=1.0 if survey.numbers == "unsigned" else np.inf)
            yield replace(like, pixels=pixels, alpha=alpha)
    if missing:
        raise _not_as_announced()


def _not_as_announced() -> PictureError:
    return PictureError("it is damaged: its pixels are not what its header announces")


def _guarded(path: Path, pictures: Iterator[Picture]) -> Iterator[Picture]:
    """The same; what goes wrong is told in a sentence."""
    while True:
        with _sentences(path):
            picture = next(pictures, None)
        if picture is None:
            return
        yield picture


def _no_data(survey: Survey) -> float | None:
    """The value in the units of the pixels; None also where no pixel can have it."""
    if survey.no_data is None or survey.numbers != "unsigned":
        return survey.no_data
    top = 2**survey.bit_depth - 1
    return float(np.float32(survey.no_data) / np.float32(top)) if 0 <= survey.no_data <= top else None


def _floats(samples: Samples, survey: Survey) -> NDArray[np.float32]:
    if survey.numbers == "unsigned":
        return to_floats(samples, survey.bit_depth)
    return samples.astype(np.float32, order="C")


def _unmultiply(pixels: NDArray[np.float32], alpha: NDArray[np.float32], at_most: float) -> None:
    """Divide the colours by alpha, in place; where alpha is 0 there is no colour to recover, and 0 stays."""
    opacity = alpha[..., np.newaxis]
    np.divide(pixels, opacity, out=pixels, where=opacity > 0)
    np.minimum(pixels, np.float32(at_most), out=pixels)


def _recognised(file: BinaryIO) -> Pages:
    """The format whose signature the file starts with; raises PictureError if there is none."""
    file.seek(0)
    start = file.read(32)
    if not start:
        raise PictureError("the file is empty")
    for signatures, pages in _FORMATS:
        if start.startswith(signatures):
            return pages
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return only_page(_webp.survey, _webp.decode)
    if _heif.is_avif(start):
        return only_page(_heif.survey_avif, _heif.decode_avif)
    if _heif.is_heic(start):
        return only_page(_heif.survey_heic, _heif.decode_heic)
    raise PictureError("its content is not a picture of a known format (PNG, JPEG, WebP, TIFF, BMP, PPM, AVIF, HEIC)")


_FORMATS: Final = (
    (_png.SIGNATURE, only_page(_png.survey, _png.decode, _png.stripes_of)),
    (_jpeg.SIGNATURE, only_page(_jpeg.survey, _jpeg.decode)),
    (_tiff.SIGNATURES, _tiff.pages),
    (_bmp.SIGNATURE, only_page(_bmp.survey, _bmp.decode, _bmp.stripes_of)),
    (_pnm.SIGNATURES, only_page(_pnm.survey, _pnm.decode, _pnm.stripes_of)),
)


def _check_size(survey: Survey, file_size: int, max_pixels: int | None) -> None:
    """Raise PictureError before decoding what is too large, or could not possibly be in so small a file."""
    pixels = survey.width * survey.height
    if max_pixels is not None and pixels > max_pixels:
        raise PictureError(f"it has {survey.width} × {survey.height} pixels, more than the {max_pixels} allowed")
    size = pixels * (survey.channels + survey.has_alpha) * np.dtype(survey.stored_type).itemsize
    if size > _HARMLESS_BYTES and size > _MOST_EXPANSION * file_size:
        raise PictureError(f"it is damaged: {file_size} bytes cannot hold {survey.width} × {survey.height} pixels")


@contextmanager
def _sentences(path: Path) -> Generator[None, None, None]:
    """Whatever goes wrong with the file becomes a PictureError that starts with its name; libraries keep quiet."""
    try:
        with _LOCK, _quiet():
            yield
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except MemoryError as error:
        raise PictureError(f"{path}: it needs more memory than there is") from error
    except Exception as error:
        # Codecs meet damaged bytes with errors of every class; to the user they all mean the same.
        raise PictureError(f"{path}: it is damaged or not supported ({_reason(error)})") from error


def _open(path: Path) -> BinaryIO:
    """The file, open; raises PictureError when it cannot be, or is not an ordinary file."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError("it is a directory; name the pictures in it")
        if not stat.S_ISREG(mode):
            raise PictureError("it is not an ordinary file")
        return path.open("rb")
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise PictureError("there is no such file") from error
        raise PictureError(f"it cannot be read: {error.strerror}") from error


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Keep libraries from speaking to the user: what matters is raised or noted."""
    loggers = [logging.getLogger(name) for name in ("tifffile", "imagecodecs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: Exception) -> str:
    """The first line of the library's own words, if any."""
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
