"""Likeness of a picture to its clean original, on 8-bit values of all colour channels, with no border left out."""

import math

import numpy as np
from numpy.typing import NDArray

SSIM_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_rgb(restored: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite where they are equal.

    Args:
        restored, clean: (H, W, C) each.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(restored, clean)
    error = np.square(restored.astype(np.float64) - clean).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim_rgb(restored: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Structural similarity, the mean over channels and over the region where the window fits.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: Gaussian window of
    11 × 11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, L = 255, population covariance.

    Args:
        restored, clean: (H, W, C) each, H and W at least 11.

    Raises:
        ValueError: the shapes differ or are smaller than the window.
    """
    _check_shapes(restored, clean)
    if min(clean.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs at least {SSIM_WINDOW} × {SSIM_WINDOW} pixels, not {clean.shape[0]} × {clean.shape[1]}"
        )
    x, y = restored.astype(np.float64), clean.astype(np.float64)
    mu_x, mu_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mu_x**2, _blur(y * y) - mu_y**2
    covariance = _blur(x * y) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + _C1) / (mu_x**2 + mu_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float((luminance * structure).mean())


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight (H, W, C) by the Gaussian window, where it fits."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        x = np.lib.stride_tricks.sliding_window_view(x, SSIM_WINDOW, axis=axis) @ weights
    return x


def _check_shapes(restored: NDArray[np.uint8], clean: NDArray[np.uint8]) -> None:
    if restored.shape != clean.shape or clean.ndim != 3:
        raise ValueError(f"both pictures must be (H, W, C) of one shape, not {restored.shape} and {clean.shape}")
