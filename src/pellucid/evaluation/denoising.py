"""Measuring denoisers on pictures with known noise."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data import read_rgb8
from pellucid.errors import DataError, UsageError
from pellucid.files import atomic_path
from pellucid.images import Picture
from pellucid.images.picture import to_floats, to_integers
from pellucid.metrics import SSIM_WINDOW, psnr_rgb, ssim_rgb

Denoiser = Callable[[NDArray[np.float32], float], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One picture at one noise level: PSNR in dB, SSIM, seconds and megapixels."""

    picture: str
    sigma: float
    psnr_rgb: float
    ssim_rgb: float
    seconds: float
    megapixels: float


def measure_denoising(denoise: Denoiser, paths: Sequence[Path], sigmas: Sequence[float]) -> Iterator[Measurement]:
    """Add white Gaussian noise to clean pictures, denoise them and compare, in the field's usual protocol.

    The noise comes from NumPy's legacy generator, seeded with 0 for every picture, and is not clipped; the result is
    clipped and rounded to 8 bits before it is compared, on all colour channels and without leaving out a border.

    Args:
        denoise: maps (H, W, 3) values around 0..1 and σ on the scale 0..255 to (H, W, 3); blind methods ignore σ.
        paths: the clean pictures.
        sigmas: noise levels on the scale 0..255; 0 measures how well clean pictures pass through.

    Raises:
        UsageError: a noise level is negative.
        DataError: a picture is too small for SSIM.
    """
    if min(sigmas, default=0) < 0:
        raise UsageError(f"a noise level cannot be negative: {min(sigmas):g}")
    for sigma in sigmas:
        for path in paths:
            clean = read_rgb8(path)
            if min(clean.shape[:2]) < SSIM_WINDOW:
                raise DataError(f"{path} is too small to measure: SSIM needs {SSIM_WINDOW} × {SSIM_WINDOW} pixels")
            noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape)
            noisy = to_floats(clean) + noise.astype(np.float32)
            started = time.perf_counter()
            restored = denoise(noisy, sigma)
            seconds = time.perf_counter() - started
            result = to_integers(restored, 8).astype(np.uint8, copy=False)
            yield Measurement(
                picture=path.name,
                sigma=sigma,
                psnr_rgb=psnr_rgb(result, clean),
                ssim_rgb=ssim_rgb(result, clean),
                seconds=seconds,
                megapixels=clean.shape[0] * clean.shape[1] / 1e6,
            )


@dataclass(frozen=True, kw_only=True)
class Row:
    """The mean over a set of pictures at one noise level; seconds per megapixel over all of them together."""

    sigma: float
    pictures: int
    psnr_rgb: float
    ssim_rgb: float
    seconds_per_megapixel: float


def summarise(measurements: Sequence[Measurement]) -> list[Row]:
    """Average measurements over pictures, one row for each noise level in order of appearance."""
    rows: list[Row] = []
    for sigma in dict.fromkeys(m.sigma for m in measurements):
        of_level = [m for m in measurements if m.sigma == sigma]
        rows.append(
            Row(
                sigma=sigma,
                pictures=len(of_level),
                psnr_rgb=float(np.mean([m.psnr_rgb for m in of_level])),
                ssim_rgb=float(np.mean([m.ssim_rgb for m in of_level])),
                seconds_per_megapixel=sum(m.seconds for m in of_level) / sum(m.megapixels for m in of_level),
            )
        )
    return rows


def with_restorer(restorer: Callable[[Picture], Picture]) -> Denoiser:
    """Turn the tool itself into a blind denoiser to be measured."""
    return lambda noisy, _: restorer(Picture(pixels=noisy)).pixels


def plain_values(measured: Measurement | Row) -> dict[str, object]:
    """Return names and values for JSON, which has no infinity: the PSNR of equal pictures becomes null."""
    values = asdict(measured)
    return {name: None if value == math.inf else value for name, value in values.items()}


def save_measurements(path: Path, *, data: str, weights: str, measurements: Sequence[Measurement]) -> None:
    """Write the means and every single measurement as JSON, with what they were measured on."""
    content = {
        "data": data,
        "weights": weights,
        "protocol": "white Gaussian noise from RandomState(0) for each picture, not clipped; 8-bit RGB, no border cut",
        "rows": [plain_values(row) for row in summarise(measurements)],
        "pictures": [plain_values(measurement) for measurement in measurements],
    }
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
