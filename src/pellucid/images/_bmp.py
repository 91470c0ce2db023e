"""BMP through Pillow."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image

from pellucid.images._metadata import normalise
from pellucid.images._survey import Survey
from pellucid.images.picture import BitDepth, Metadata, Samples

SIGNATURE = b"BM"
MOST_PIXELS_PER_SIDE = 2**15 - 1  # more is legal, and more than many programs read

_METRES_PER_INCH = 0.0254
_NARROW = {"BGR;15": "5", "BGR;16": "5 and 6"}  # Pillow's names of 16 bits for three colours


def survey(file: BinaryIO) -> Survey:
    """What its header says; raises what Pillow raises."""
    image = _open(file)
    notes: list[str] = []
    grey = image.mode in ("1", "L") or (image.mode == "P" and _is_grey(image))
    stored = _stored_as(image)
    if image.mode == "P":
        notes.append(f"converted from a palette to {'grey' if grey else 'RGB'}")
    elif image.mode == "1":
        notes.append("widened from 1 to 8 bits per channel")
    elif stored in _NARROW:
        notes.append(f"widened from {_NARROW[stored]} to 8 bits per channel")
    metadata, _, more = normalise(resolution=image.info.get("dpi"))
    return Survey(
        format="BMP",
        width=image.width,
        height=image.height,
        channels=1 if grey else 3,
        bit_depth=8,
        has_alpha=image.mode == "RGBA",
        orientation=1,
        metadata=metadata,
        notes=(*notes, *more),
    )


def decode(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises what Pillow raises for damaged data."""
    image = _open(file)
    mode = ("L" if survey.channels == 1 else "RGB") + "A" * survey.has_alpha
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    return samples.reshape(survey.height, survey.width, -1)


def encode(path: Path, samples: Samples, metadata: Metadata, bit_depth: BitDepth) -> list[str]:
    """Write 8-bit samples `(H, W)` or `(H, W, 3)`; returns what could not be kept."""
    del bit_depth  # there is one
    dpi = metadata.resolution
    lost: list[str] = []
    if dpi and not all(1 <= round(value / _METRES_PER_INCH) < 2**31 for value in dpi):
        lost.append("BMP cannot hold this resolution; it is not kept")
        dpi = None
    Image.fromarray(samples).save(path, format="BMP", dpi=dpi or (0, 0))
    return lost


def _open(file: BinaryIO) -> Image.Image:
    file.seek(0)
    return BmpImagePlugin.BmpImageFile(file)  # see _jpeg


def _stored_as(image: Image.Image) -> str | None:
    tiles: list[Any] = getattr(image, "tile", [])
    return tiles[0].args[0] if tiles else None


def _is_grey(image: Image.Image) -> bool:
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())
