"""Likeness of a picture to its clean original, on 8-bit values.

The name says which values are compared: `rgb` all colour channels together, `y` the luma of BT.601, `grey` the one
channel that there is. Tables of the field differ in what they leave out at the edges: `border` is that many pixels on
each side.
"""

import math

import numpy as np
from numpy.typing import NDArray

SSIM_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LUMA = np.array([65.481, 128.553, 24.966]) / 255


def psnr_rgb(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite where they are equal.

    Args:
        restored, clean: (H, W, C) each.
        border: pixels left out at each side.

    Raises:
        ValueError: the shapes differ, or the border leaves nothing.
    """
    restored, clean = _inner(restored, clean, border)
    error = np.square(restored.astype(np.float64) - clean).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def psnr_y(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """`psnr_rgb` of the `luma` of colour pictures: what tables of super-resolution and of rain removal give."""
    return psnr_rgb(luma(restored), luma(clean), border=border)


def psnr_grey(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """`psnr_rgb` of grey pictures (H, W, 1); raises ValueError for any other."""
    _check_grey(restored, clean)
    return psnr_rgb(restored, clean, border=border)


def ssim_rgb(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """Structural similarity, the mean over channels and over the region where the window fits.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: Gaussian window of
    11 × 11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, L = 255, population covariance.

    Args:
        restored, clean: (H, W, C) each, H and W at least 11 without the border.
        border: pixels left out at each side.

    Raises:
        ValueError: the shapes differ, or without the border are smaller than the window.
    """
    restored, clean = _inner(restored, clean, border)
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


def ssim_y(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """`ssim_rgb` of the `luma` of colour pictures."""
    return ssim_rgb(luma(restored), luma(clean), border=border)


def ssim_grey(restored: NDArray[np.uint8], clean: NDArray[np.uint8], *, border: int = 0) -> float:
    """Structural similarity of grey pictures (H, W, 1); raises ValueError for any other, and as `ssim_rgb`."""
    _check_grey(restored, clean)
    return ssim_rgb(restored, clean, border=border)


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The Y of BT.601, 16..235, rounded to integers as MATLAB's `rgb2ycbcr` gives it for 8-bit pictures.

    Args:
        pixels: (H, W, 3) RGB.

    Returns:
        (H, W, 1).

    Raises:
        ValueError: there are not three channels.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"luma is of (H, W, 3), not of {pixels.shape}")
    return np.floor(16.5 + pixels @ _LUMA).astype(np.uint8)[..., np.newaxis]


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight (H, W, C) by the Gaussian window, where it fits."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        x = np.lib.stride_tricks.sliding_window_view(x, SSIM_WINDOW, axis=axis) @ weights
    return x


def _inner(
    restored: NDArray[np.uint8], clean: NDArray[np.uint8], border: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both pictures without the border; raises ValueError where they cannot be compared."""
    if restored.shape != clean.shape or clean.ndim != 3:
        raise ValueError(f"both pictures must be (H, W, C) of one shape, not {restored.shape} and {clean.shape}")
    height, width = clean.shape[:2]
    if not 0 <= 2 * border < min(height, width):
        raise ValueError(f"a border of {border} pixels cannot be cut off {height} × {width}")
    inside = np.s_[border : height - border, border : width - border]
    return restored[inside], clean[inside]


def _check_grey(*pictures: NDArray[np.uint8]) -> None:
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 1:
            raise ValueError(f"a grey picture is (H, W, 1), not {picture.shape}")
