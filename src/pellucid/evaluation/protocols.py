"""How each task is measured: what is done to clean pictures, at which levels, and which values are then compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.data.degradations.blur import blurred, disc_kernel, motion_kernel
from pellucid.data.degradations.jpeg import jpeg
from pellucid.errors import DataError, UsageError
from pellucid.images import Picture, PictureStream, preparing
from pellucid.images.mosaic import mosaic
from pellucid.images.picture import to_floats, to_integers
from pellucid.images.resampling import resized

Level: TypeAlias = float | str
Kernels: TypeAlias = Sequence[NDArray[np.float32]]


class Problem(NamedTuple):
    """A degraded picture, and the clean one (H, W, C) that it should become."""

    degraded: Picture
    clean: NDArray[np.uint8]


Degrade: TypeAlias = Callable[[NDArray[np.uint8], float], Problem]


def unprepared(degraded: Picture) -> Picture:
    """The picture as it is: most tasks start from that."""
    return degraded


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a task is measured.

    Attributes:
        task: its name.
        text: in words, what makes the degraded pictures.
        unit: what a level is.
        levels: those that are measured unless others are asked for.
        limits: the least and the largest level there can be; None where the levels are names.
        degrade: makes a degraded picture of a clean one and a level, with what of the clean one it still shows; None
            where only pairs can be measured.
        prepare: the plain enlargement or interpolation that restoration starts from, and is compared with.
        scale: how much larger the restored picture is.
        values: which are compared: those of all channels, or luma. Of grey pictures it is always grey.
        grey: whether pictures are made grey before anything else.
        border: pixels left out at each side.
        reach: the largest shift, in pixels, that is undone before comparing.
        averaged: whether the levels are examples of one degradation, of which the mean says most.
    """

    task: str
    text: str
    unit: str
    levels: tuple[Level, ...]
    limits: tuple[float, float] | None = None
    degrade: Degrade | None = None
    prepare: Callable[[Picture], Picture] = unprepared
    scale: int = 1
    values: Literal["rgb", "y"] = "rgb"
    grey: bool = False
    border: int = 0
    reach: int = 0
    averaged: bool = False

    @property
    def compared(self) -> Literal["rgb", "y", "grey"]:
        """The values that are compared, as the names of the measures have it."""
        return "grey" if self.grey else self.values

    def __str__(self) -> str:
        names = {"rgb": "8-bit RGB", "y": "8-bit luma (BT.601)", "grey": "8-bit grey"}
        border = f"a border of {self.border} pixels cut" if self.border else "no border cut"
        shift = f", best whole shift of at most {self.reach} pixels" if self.reach else ""
        return f"{self.text}; {names[self.compared]}, {border}{shift}"


def noisy(clean: NDArray[np.uint8], sigma: float) -> Problem:
    """Add noise of NumPy's legacy generator, seeded with 0 for every picture, which the field uses; not clipped."""
    noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape)
    return Problem(Picture(pixels=to_floats(clean) + noise.astype(np.float32)), clean)


def compressed(clean: NDArray[np.uint8], quality: float) -> Problem:
    """Compress as JPEG with libjpeg's quality, colour subsampled 4:2:0, and decode."""
    return Problem(Picture(pixels=jpeg(to_floats(clean), int(quality))), clean)


def shrunken(clean: NDArray[np.uint8], scale: float) -> Problem:
    """Shrink by MATLAB's bicubic, to 8 bits; what does not divide by the scale is cut off at the right and below."""
    factor = int(scale)
    height, width = (length // factor * factor for length in clean.shape[:2])
    clean = clean[:height, :width]
    return Problem(_rounded(resized(to_floats(clean), height // factor, width // factor)), clean)


def enlarged(degraded: Picture, *, scale: int) -> Picture:
    """Enlarge by MATLAB's bicubic."""
    return preparing.enlarged(PictureStream.of(degraded), scale).whole()


def mosaicked(clean: NDArray[np.uint8], _: float) -> Problem:
    """Keep one colour of each pixel, in the order RGGB."""
    return Problem(Picture(pixels=mosaic(to_floats(clean))[..., np.newaxis]), clean)


def interpolated(degraded: Picture) -> Picture:
    """Interpolate a mosaic with the filters of Malvar, He and Cutler."""
    return preparing.demosaiced(PictureStream.of(degraded)).whole()


def shaken(clean: NDArray[np.uint8], number: float, *, kernels: Kernels) -> Problem:
    """Blur with one of several kernels, of which the first has the number 1, and add noise of 1 %."""
    degraded, clean = _blurred_inside(clean, kernels[int(number) - 1])
    return Problem(_rounded(degraded + np.random.RandomState(0).normal(0, 0.01, clean.shape).astype(np.float32)), clean)


def defocused(clean: NDArray[np.uint8], radius: float) -> Problem:
    """Blur with a disc."""
    degraded, clean = _blurred_inside(clean, disc_kernel(radius))
    return Problem(_rounded(degraded), clean)


def _blurred_inside(
    clean: NDArray[np.uint8], kernel: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Blur, and keep what depends on nothing beyond the border; the clean picture is cut alike.

    Raises DataError where nothing is left.
    """
    reach = kernel.shape[0] // 2
    if min(clean.shape[:2]) <= 2 * reach:
        raise DataError(f"it is too small to measure: a blur of {kernel.shape[0]} pixels leaves nothing of it")
    inside = np.s_[reach : clean.shape[0] - reach, reach : clean.shape[1] - reach]
    return blurred(to_floats(clean), kernel)[inside], clean[inside]


def _rounded(pixels: NDArray[np.float32]) -> Picture:
    """As a file of 8 bits holds it."""
    return Picture(pixels=to_floats(to_integers(pixels, 8)))


def drawn_kernels() -> Kernels:
    """Eight paths of a shaken camera, from 9 to 23 pixels long, always the same."""
    return [motion_kernel(7 + 2 * number, 0.5, np.random.default_rng(number)) for number in range(1, 9)]


def read_kernels(path: Path) -> Kernels:
    """Read the blur kernels of an .npz file, in the order of its keys, each scaled to the sum 1.

    Where keys start with levin09, as in the collection that most papers take theirs from, only those are taken.

    Raises:
        DataError: it is no such file, or holds what is no kernel: a square of odd side without negative values.
    """
    try:
        with np.load(path) as arrays:
            found = {name: np.asarray(arrays[name], np.float64) for name in arrays.files}
    except Exception as error:
        raise DataError(f"{path} is not an .npz file of blur kernels") from error
    found = {name: kernel for name, kernel in found.items() if name.startswith("levin09")} or found
    for name, kernel in found.items():
        square = kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
        if not (square and np.isfinite(kernel).all() and kernel.min() >= 0 and kernel.sum() > 0):
            raise DataError(f"{path}: {name} is not a blur kernel (a square of odd side without negative values)")
    if not found:
        raise DataError(f"{path} holds no blur kernel")
    return [(kernel / kernel.sum()).astype(np.float32) for kernel in found.values()]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "denoise": Protocol(
            task="denoise",
            text="white Gaussian noise from RandomState(0) for each picture, not clipped",
            unit="σ",
            levels=(15, 25, 50),
            limits=(0, 255),
            degrade=noisy,
        ),
        "dejpeg": Protocol(
            task="dejpeg",
            text="JPEG by Pillow, colour subsampled 4:2:0",
            unit="quality",
            levels=(10, 20, 30, 40),
            limits=(1, 100),
            degrade=compressed,
        ),
        "sr": Protocol(
            task="sr",
            text="shrunk by MATLAB's bicubic to 8 bits; the input is enlarged by it",
            unit="scale",
            levels=(2,),
            degrade=shrunken,
            values="y",
        ),
        "demosaic": Protocol(
            task="demosaic",
            text="RGGB mosaic without noise; the input is interpolated after Malvar et al., 2004",
            unit="pattern",
            levels=("RGGB",),
            degrade=mosaicked,
            prepare=interpolated,
        ),
        "deblur": Protocol(
            task="deblur",
            text="blurred inside the picture with {kernels}, Gaussian noise of 1 % from RandomState(0), 8 bits",
            unit="kernel",
            levels=(),
            border=16,
            averaged=True,
        ),
        "defocus": Protocol(
            task="defocus",
            text="blurred inside the picture with a disc, synthetic, 8 bits",
            unit="radius",
            levels=(2, 4, 6),
            limits=(0.5, 50),
            degrade=defocused,
            border=16,
        ),
        "derain": Protocol(task="derain", text="pairs", unit="input", levels=(), values="y"),
    }
)


def protocol_for(task: str, *, scale: int | None = None, kernels: Path | None = None) -> Protocol:
    """Return how a task is measured on clean pictures that are degraded here.

    Args:
        task: one of `PROTOCOLS`.
        scale: of super-resolution, 2 unless it is given.
        kernels: a file of blur kernels for deblurring; kernels of our own unless it is given.

    Raises:
        UsageError: there is no such task, or it has no such option.
        DataError: the file of kernels cannot be used.
    """
    if task not in PROTOCOLS:
        raise UsageError(f"there is no task {task!r} to measure; there is {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[task]
    if scale is not None and task != "sr":
        raise UsageError(f"{task} has no scale; only sr has")
    if kernels is not None and task != "deblur":
        raise UsageError(f"{task} takes no kernels; only deblur does")
    if task == "sr":
        factor = 2 if scale is None else scale
        if not 2 <= factor <= 8:
            raise UsageError(f"pictures are enlarged 2 to 8 times, not {factor}")
        limits = (float(factor), float(factor))
        prepare = partial(enlarged, scale=factor)
        return replace(protocol, scale=factor, levels=(factor,), limits=limits, border=factor, prepare=prepare)
    if task == "deblur":
        found = drawn_kernels() if kernels is None else read_kernels(kernels)
        named = "paths of a shaken camera drawn here" if kernels is None else f"the kernels of {kernels.name}"
        return replace(
            protocol,
            text=protocol.text.format(kernels=named),
            levels=tuple(range(1, len(found) + 1)),
            limits=(1, len(found)),
            degrade=partial(shaken, kernels=found),
        )
    return protocol
