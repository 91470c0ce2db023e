"""Reading pictures: recognised by content, turned upright, with everything their files say kept or noted."""

import errno
import itertools
import logging
import stat
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError
from pellucid.images import _bmp, _heif, _jpeg, _png, _pnm, _tiff, _webp
from pellucid.images._span import Span, about_values, span_of
from pellucid.images._survey import Decoded, Page, Pages, Survey, only_page, upright
from pellucid.images.picture import Picture, PictureHeader, Samples, to_floats

# No codec packs photographs more tightly; checked only where being wrong would cost much memory.
_MOST_EXPANSION = 4096
_HARMLESS_BYTES = 2**28
_ROWS = 64


def read_header(path: str | Path) -> PictureHeader:
    """What the file announces, without decoding its pixels; raises PictureError like `read_picture`."""
    path = Path(path)
    with _sentences(path), _open(path) as file:
        headers = [page.survey.header for page in _recognised(file)(file)]
        largest = max(headers, key=lambda header: header.width * header.height)
        notes = tuple(dict.fromkeys(note for header in headers for note in header.notes))
        return replace(largest, pages=len(headers), notes=notes)


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
    path = Path(path)
    with _sentences(path), _open(path) as file:
        pages = list(itertools.islice(_recognised(file)(file), 2))
        if len(pages) > 1:
            raise PictureError("it holds several pages; pellucid.images.read_pages gives one after another")
        _check_size(pages[0].survey, file.seek(0, 2), max_pixels)
        return _picture(pages[0].survey, pages[0].decode())


def read_pages(path: str | Path, *, max_pixels: int | None = None) -> Iterator[Picture]:
    """The pictures of a file one after another, each decoded when it is asked for; most formats hold but one.

    The pages of a scientific stack share one span, so that each is seen as bright as it is. Raises PictureError like
    `read_picture`; `max_pixels` is for each page.
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
                _check_size(page.survey, size, max_pixels)
                picture = _picture(page.survey, page.decode(), span)
            yield picture


def _common_span(pages: Iterator[Page], file_size: int, max_pixels: int | None) -> Span | None:
    """What the values of all pages span; None where each may speak for itself."""
    first = list(itertools.islice(pages, 2))
    if len(first) < 2:
        return None
    spans: list[Span] = []
    for page in itertools.chain(first, pages):
        if page.survey.measured:
            _check_size(page.survey, file_size, max_pixels)
            spans.append(span_of(page.decode().samples[..., : page.survey.channels], page.survey))
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def _picture(survey: Survey, decoded: Decoded, span: Span | None = None) -> Picture:
    """The picture of these samples."""
    samples = decoded.samples
    stored = (survey.height, survey.width, survey.channels + survey.has_alpha)
    if samples.shape != stored or samples.dtype != survey.stored_type:
        raise PictureError("it is damaged: its pixels are not what its header announces")
    notes = survey.notes + decoded.notes
    if not survey.measured:
        span = (0.0, 1.0)
    elif span is None:
        span = span_of(samples[..., : survey.channels], survey)
    samples = upright(samples, survey.orientation)
    pixels = _floats(samples[..., : survey.channels], survey)
    alpha = _floats(samples[..., -1], survey) if survey.has_alpha else None
    if survey.premultiplied and alpha is not None:
        _unmultiply(pixels, alpha, at_most=1.0 if survey.numbers == "unsigned" else np.inf)
        notes = (*notes, "its colours were premultiplied by alpha and are now straight")
    picture = Picture(
        pixels=pixels,
        alpha=alpha,
        bit_depth=survey.bit_depth,
        numbers=survey.numbers,
        span=span,
        no_data=_no_data(survey),
        metadata=survey.metadata,
        notes=notes,
    )
    return replace(picture, notes=(*notes, *about_values(picture)))


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
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        opacity = alpha[rows, :, np.newaxis]
        np.divide(pixels[rows], opacity, out=pixels[rows], where=opacity > 0)
        np.minimum(pixels[rows], np.float32(at_most), out=pixels[rows])


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
    (_png.SIGNATURE, only_page(_png.survey, _png.decode)),
    (_jpeg.SIGNATURE, only_page(_jpeg.survey, _jpeg.decode)),
    (_tiff.SIGNATURES, _tiff.pages),
    (_bmp.SIGNATURE, only_page(_bmp.survey, _bmp.decode)),
    (_pnm.SIGNATURES, only_page(_pnm.survey, _pnm.decode)),
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
        with _quiet():
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
