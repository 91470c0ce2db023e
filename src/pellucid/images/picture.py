"""A picture in memory, what its file says about it, and the step between integers and floats."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError

BitDepth: TypeAlias = Literal[8, 10, 12, 16, 32]
Numbers: TypeAlias = Literal["unsigned", "signed", "float"]
Sample: TypeAlias = np.uint8 | np.uint16 | np.int16 | np.float16 | np.float32
Samples: TypeAlias = NDArray[Sample]

TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")  # of PNG

# Which depths each kind of number has, and how it is stored: 10 and 12 bits in the lower ones of 16.
_TYPES: dict[tuple[Numbers, BitDepth], type[Sample]] = {
    ("unsigned", 8): np.uint8,
    ("unsigned", 10): np.uint16,
    ("unsigned", 12): np.uint16,
    ("unsigned", 16): np.uint16,
    ("signed", 16): np.int16,
    ("float", 16): np.float16,
    ("float", 32): np.float32,
}
# A quarter of a million values: a float64 block of 2 MiB, small enough to stay in the cache.
_BLOCK_VALUES = 2**18


@dataclass(frozen=True, kw_only=True)
class ArrayTags:
    """What a TIFF file says of its pages as arrays: ImageJ's, OME's and GIS tags, and its resolution as stored.

    `block` is a TIFF structure that holds the tags; they are true of a file of `shape` (pages, H, W, channels) alone.
    `names` are what to call them, and empty where there is nothing but the resolution.
    """

    block: bytes
    shape: tuple[int, int, int, int]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Metadata:
    """What travels with the pixels and is given back as it came.

    `icc` and `xmp` are bytes as stored; `exif` is the TIFF-structured block without the "Exif" prefix, its orientation
    already upright; `iptc` is the IPTC-IIM record; `resolution` is dots per inch, x then y, positive and finite;
    `comment` is JPEG's, `chunks` are PNG's texts and colour description, `array` is what only TIFF has a place for.
    Raises PictureError for any other resolution.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    comment: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    array: ArrayTags | None = None

    def __post_init__(self) -> None:
        if self.resolution is not None and not all(math.isfinite(dpi) and dpi > 0 for dpi in self.resolution):
            raise PictureError(f"a resolution must be two positive numbers of dots per inch, not {self.resolution}")

    @property
    def carries(self) -> tuple[str, ...]:
        """The names of what is there, for sentences."""
        parts = {
            "colour profile": self.icc,
            "EXIF data": self.exif,
            "XMP data": self.xmp,
            "IPTC data": self.iptc,
            "resolution": self.resolution,
            "comment": self.comment,
            "texts": any(kind in TEXT_CHUNKS for kind, _ in self.chunks),
            "colour description": not self.icc and any(kind in (b"gAMA", b"cICP") for kind, _ in self.chunks),
        }
        return (*(name for name, part in parts.items() if part), *(self.array.names if self.array else ()))


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureHeader:
    """What a picture file announces before its pixels are decoded; width and height are upright.

    `carries` names its metadata, `restored_with` says what pellucid did to it before, `notes` what reading will change;
    `bytes_held` is the memory that going through its rows takes. Of several pages it describes the largest.
    """

    format: str
    width: int
    height: int
    channels: int
    bit_depth: BitDepth
    has_alpha: bool
    numbers: Numbers = "unsigned"
    pages: int = 1
    bytes_held: int = 0
    carries: tuple[str, ...] = ()
    restored_with: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """Pixels `(H, W, C)` float32, C = 1 grey or 3 RGB, with an optional straight `alpha` `(H, W)` in 0..1.

    `numbers` and `bit_depth` are what the file held and what writing gives back. Unsigned pixels are in 0..1, the whole
    of what the depth can count; signed and float ones are the file's own values. `span` are those that a network is to
    see as black and white, `no_data` the value of pixels that mean nothing. `notes` say what reading had to change.
    Raises PictureError for any other shape, type, depth or span.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    bit_depth: BitDepth = 8
    numbers: Numbers = "unsigned"
    span: tuple[float, float] = (0.0, 1.0)
    no_data: float | None = None
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
        stored_type(self.numbers, self.bit_depth)
        low, high = self.span
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise PictureError(f"the span must be two rising finite numbers, not {self.span}")

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


def stored_type(numbers: Numbers, bit_depth: BitDepth) -> type[Sample]:
    """The type of such samples in memory; raises PictureError where there is none."""
    if (numbers, bit_depth) not in _TYPES:
        raise PictureError(f"there are no pictures of {numbers} numbers with {bit_depth} bits")
    return _TYPES[numbers, bit_depth]


def scaled(values: NDArray[np.float32], span: tuple[float, float]) -> NDArray[np.float32]:
    """Values of a picture as a network sees them: `span` becomes 0..1, and what lies beyond is clipped to it.

    Those of the usual span 0..1 are given back as they are.
    """
    low, high = span
    if span == (0.0, 1.0):
        return values
    between = (values.astype(np.float64) - low) / (high - low)
    return np.clip(between, 0.0, 1.0, out=between).astype(np.float32)


def to_floats(samples: Samples, bit_depth: BitDepth | None = None) -> NDArray[np.float32]:
    """Unsigned integers, any shape, as float32 in 0..1, of which `to_integers` gives exactly the same back.

    `bit_depth` is that of their type where it is not given.
    """
    top = np.float32(2**bit_depth - 1 if bit_depth else np.iinfo(samples.dtype.name).max)
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


def to_samples(values: NDArray[np.float32], numbers: Numbers, bit_depth: BitDepth, *, out: Samples) -> None:
    """The values of a picture as its file held them, rounded half to even and clipped where they are integers.

    Raises PictureError for integers of a value that is not a number.
    """
    if numbers == "unsigned":
        to_integers(values, bit_depth, out=out)
    elif numbers == "float":
        with np.errstate(over="ignore"):  # 16 bits reach to 65504; beyond is infinity
            out[...] = values
    else:
        if np.isnan(values).any():
            raise PictureError("the picture holds values that are not numbers (NaN)")
        limits = np.iinfo(np.int16)
        out[...] = np.rint(np.clip(values, limits.min, limits.max))
