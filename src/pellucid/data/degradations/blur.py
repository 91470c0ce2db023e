"""Blur: kernels of a shaken camera, of a lens out of focus, and of soft optics; and convolution with them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_FREQUENCIES, _INSTANTS = 6, 512


def blurred(clean: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolve (H, W, C) with a (2r + 1)² kernel; beyond the border the picture is reflected."""
    reach = kernel.shape[0] // 2
    padded = np.pad(clean, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    shape = tuple(-(-length // 16) * 16 for length in padded.shape[:2])  # lengths whose transforms are fast
    spectrum = np.fft.rfft2(padded, s=shape, axes=(0, 1)) * np.fft.rfft2(kernel, s=shape)[..., None]
    whole = np.fft.irfft2(spectrum, s=shape, axes=(0, 1))
    height, width = clean.shape[:2]
    return whole[2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width].astype(np.float32, copy=False)


def motion_kernel(extent: float, wander: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw the path of a shaken camera: a random smooth curve, brighter where the camera moves slowly.

    Each coordinate is a sum of half-waves with random amplitudes; that of frequency k is divided by k^(3 − 2 wander).

    Args:
        extent: longer side of the path in pixels.
        wander: 0 gives nearly straight strokes, 1 tangled ones.
        generator: of the path.

    Returns:
        (2r + 1, 2r + 1), of sum 1, with its centre of gravity in the middle.
    """
    time = np.linspace(0, 1, _INSTANTS)
    frequency = np.arange(1, _FREQUENCIES + 1)
    amplitude = generator.standard_normal((2, _FREQUENCIES)) / frequency ** (3 - 2 * wander)
    phase = generator.uniform(0, 2 * np.pi, (2, _FREQUENCIES))
    path = (amplitude[..., None] * np.sin(np.pi * frequency[:, None] * time + phase[..., None])).sum(axis=1)
    path *= extent / max(np.ptp(path, axis=1).max(), 1e-9)
    path -= path.mean(axis=1, keepdims=True)
    return _drawn(path)


def _drawn(path: NDArray[np.float64]) -> NDArray[np.float32]:
    """Spread the instants of a (2, N) path over the four pixels around each."""
    reach = int(np.ceil(np.abs(path).max())) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    corner = np.floor(path).astype(int)
    part = path - corner
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - part[0]) * np.abs(1 - right - part[1])
            np.add.at(kernel, (corner[0] + down + reach, corner[1] + right + reach), weight)
    return (kernel / kernel.sum()).astype(np.float32)


def disc_kernel(radius: float) -> NDArray[np.float32]:
    """Return the circle of confusion of a lens out of focus, of sum 1; pixels that its edge crosses count in part."""
    return _round_kernel(radius + 0.5, lambda distance: (radius + 0.5 - distance).clip(0, 1))


def gaussian_kernel(sigma: float) -> NDArray[np.float32]:
    """Return a Gaussian of standard deviation `sigma` > 0 pixels, cut at 3 sigma, of sum 1."""
    return _round_kernel(3 * sigma, lambda distance: np.exp(-0.5 * (distance / sigma) ** 2))


def _round_kernel(reach: float, profile: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float32]:
    axis = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 1)
    kernel = profile(np.hypot(axis[:, None], axis[None, :]))
    return (kernel / kernel.sum()).astype(np.float32)
