"""A picture in memory, what its file says about it, and the step between integers and floats."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError

BitDepth: TypeAlias = Literal[8, 16]
Samples: TypeAlias = NDArray[np.uint8 | np.uint16]

# A quarter of a million values: a float64 block of 2 MiB, small enough to stay in the cache.
_BLOCK_VALUES = 2**18


@dataclass(frozen=True, kw_only=True, eq=False)
class Metadata:
    """What travels with the pixels and is given back as it came.

    `icc` and `xmp` are bytes as stored; `exif` is the TIFF-structured block without the "Exif" prefix, its orientation
    already upright; `iptc` is the IPTC-IIM record; `resolution` is dots per inch, x then y, positive and finite.
    Raises PictureError for any other resolution.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.resolution is not None and not all(math.isfinite(dpi) and dpi > 0 for dpi in self.resolution):
            raise PictureError(f"a resolution must be two positive numbers of dots per inch, not {self.resolution}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureHeader:
    """What a picture file announces before its pixels are decoded; width and height are upright."""

    format: str
    width: int
    height: int
    channels: int
    bit_depth: BitDepth
    has_alpha: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """Pixels `(H, W, C)` float32 in 0..1, C = 1 grey or 3 RGB, with an optional straight `alpha` `(H, W)`.

    `bit_depth` is what the file held and what writing gives back; `notes` say what reading had to change.
    Raises PictureError for any other shape, type or depth.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    bit_depth: BitDepth = 8
    metadata: Metadata = Metadata()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
            raise PictureError(f"pixels must be (H, W, 1) or (H, W, 3) and not empty, not {shape}")
        if self.alpha is not None and self.alpha.shape != shape[:2]:
            raise PictureError(f"alpha must be {shape[:2]} like the pixels, not {self.alpha.shape}")
        for plane in (self.pixels, self.alpha):
            if plane is not None and plane.dtype != np.float32:
                raise PictureError(f"pixels and alpha must be float32, not {plane.dtype}")
        if self.bit_depth not in (8, 16):
            raise PictureError(f"the bit depth must be 8 or 16, not {self.bit_depth}")

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB; alpha is not counted."""
        return self.pixels.shape[2]

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has transparency."""
        return self.alpha is not None

    def save(self, path: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
        """Write to `path` in the format of its suffix; see `write_picture`."""
        from pellucid.images.writing import write_picture  # writing builds on this module

        return write_picture(self, path, overwrite=overwrite)


def to_floats(samples: Samples) -> NDArray[np.float32]:
    """Integers of 8 or 16 bits, any shape, as float32 in 0..1, of which `to_integers` gives exactly the same back."""
    top = np.float32(np.iinfo(samples.dtype).max)
    floats = np.empty(samples.shape, np.float32)
    np.divide(samples, top, out=floats)  # converts piecewise, in numpy's own small buffers
    return floats


def to_integers(values: NDArray[np.floating[Any]], bit_depth: BitDepth, *, out: Samples | None = None) -> Samples:
    """Values clipped to 0..1 and rounded half to even to `bit_depth` bits, into `out` if given; same shape.

    Raises PictureError when a value is not a number: clipping would turn it into an arbitrary shade.
    """
    if out is None:
        out = np.empty(values.shape, np.uint8 if bit_depth == 8 else np.uint16)
    top = 2**bit_depth - 1
    rows = max(1, _BLOCK_VALUES // max(1, math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], rows):
        # float64 holds float32 * 65535 exactly, so that the only rounding is the one asked for.
        block = values[start : start + rows].astype(np.float64)
        if np.isnan(block).any():
            raise PictureError("the picture holds values that are not numbers (NaN)")
        np.clip(block, 0.0, 1.0, out=block)
        block *= top
        out[start : start + rows] = np.rint(block, out=block)
    return out
