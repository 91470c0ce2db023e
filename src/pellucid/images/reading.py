"""Reading pictures: recognised by content, turned upright, with everything their files say kept or noted."""

import errno
import logging
import stat
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import PictureError
from pellucid.images import _jpeg, _png, _tiff, _webp
from pellucid.images._survey import Decoded, Survey, upright
from pellucid.images.picture import Picture, PictureHeader, to_floats

# No codec packs photographs more tightly; checked only where being wrong would cost much memory.
_MOST_EXPANSION = 4096
_HARMLESS_BYTES = 2**28
_ROWS = 64


class _Format(NamedTuple):
    survey: Callable[[BinaryIO], Survey]
    decode: Callable[[BinaryIO, Survey], Decoded]


def read_header(path: str | Path) -> PictureHeader:
    """What the file announces, without decoding its pixels; raises PictureError like `read_picture`."""
    with _reading(Path(path)) as file:
        return _recognised(file).survey(file).header


def read_picture(path: str | Path, *, max_pixels: int | None = None) -> Picture:
    """The picture in a PNG, JPEG, WebP or TIFF file, upright, whatever the file's suffix.

    Raises PictureError when the file is missing, unreadable, damaged, of a kind not supported, or announces more than
    `max_pixels` pixels; the last is decided before anything is decoded.
    """
    with _reading(Path(path)) as file:
        form = _recognised(file)
        survey = form.survey(file)
        _check_size(survey, file.seek(0, 2), max_pixels)
        decoded = form.decode(file, survey)
        return _picture(survey, decoded)


def _picture(survey: Survey, decoded: Decoded) -> Picture:
    """The picture of these samples."""
    samples = decoded.samples
    stored = (survey.height, survey.width, survey.channels + survey.has_alpha)
    if samples.shape != stored or samples.dtype.itemsize * 8 != survey.bit_depth:
        raise PictureError("it is damaged: its pixels are not what its header announces")
    samples = upright(samples, survey.orientation)
    pixels = to_floats(samples[..., : survey.channels])
    alpha = to_floats(samples[..., -1]) if survey.has_alpha else None
    notes = survey.notes + decoded.notes
    if survey.premultiplied and alpha is not None:
        _unmultiply(pixels, alpha)
        notes = (*notes, "its colours were premultiplied by alpha and are now straight")
    return Picture(pixels=pixels, alpha=alpha, bit_depth=survey.bit_depth, metadata=survey.metadata, notes=notes)


def _unmultiply(pixels: NDArray[np.float32], alpha: NDArray[np.float32]) -> None:
    """Divide the colours by alpha, in place; where alpha is 0 there is no colour to recover, and 0 stays."""
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        opacity = alpha[rows, :, np.newaxis]
        np.divide(pixels[rows], opacity, out=pixels[rows], where=opacity > 0)
        np.minimum(pixels[rows], 1.0, out=pixels[rows])


def _recognised(file: BinaryIO) -> _Format:
    """The format whose signature the file starts with; raises PictureError if there is none."""
    file.seek(0)
    start = file.read(16)
    if not start:
        raise PictureError("the file is empty")
    if start.startswith(_png.SIGNATURE):
        return _Format(_png.survey, _png.decode)
    if start.startswith(_jpeg.SIGNATURE):
        return _Format(_jpeg.survey, _jpeg.decode)
    if start.startswith(_tiff.SIGNATURES):
        return _Format(_tiff.survey, _tiff.decode)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _Format(_webp.survey, _webp.decode)
    raise PictureError("its content is not a picture of a known format (PNG, JPEG, WebP, TIFF)")


def _check_size(survey: Survey, file_size: int, max_pixels: int | None) -> None:
    """Raise PictureError before decoding what is too large, or could not possibly be in so small a file."""
    pixels = survey.width * survey.height
    if max_pixels is not None and pixels > max_pixels:
        raise PictureError(f"it has {survey.width} × {survey.height} pixels, more than the {max_pixels} allowed")
    size = pixels * (survey.channels + survey.has_alpha) * survey.bit_depth // 8
    if size > _HARMLESS_BYTES and size > _MOST_EXPANSION * file_size:
        raise PictureError(f"it is damaged: {file_size} bytes cannot hold {survey.width} × {survey.height} pixels")


@contextmanager
def _reading(path: Path) -> Generator[BinaryIO, None, None]:
    """The open file; whatever goes wrong with it becomes a PictureError that starts with its name."""
    try:
        with _open(path) as file, _quiet():
            yield file
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: it has more pixels than is safe to decode; scale it down first") from error
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
