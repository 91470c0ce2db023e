"""Undoing a blur whose kernel is known.

Minimises ‖k ∗ L − B‖² / 2 + λ Σ|∂L|^p by half-quadratic splitting: D. Krishnan, R. Fergus, "Fast image deconvolution
using hyper-Laplacian priors", NIPS 2009; the step for the differences is the p-shrinkage of R. Chartrand, "Fast
algorithms for nonconvex compressive sensing", ISBI 2009. What lies beyond the border is unknown, and estimated along.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PictureError
from pellucid.images._periodic import (
    continued,
    difference_power,
    differences,
    inverse,
    power,
    transfer,
    transposed_differences,
)

_P = 0.8
_ROUNDS = 12
_GROWTH = 1.5  # of the splitting's weight in each round
_PRIOR = 5.0  # λ = 5 σ²
_LEAST_NOISE = 0.003  # the kernel and 8 bits are never exact


def deconvolved(
    picture: NDArray[np.float32], kernel: NDArray[np.float32], *, noise: float = 0.01
) -> NDArray[np.float32]:
    """Sharpen a picture that was convolved with a kernel.

    Args:
        picture: (H, W, C), about 0..1.
        kernel: (2r + 1, 2s + 1), its middle at the origin; scaled to the sum 1.
        noise: standard deviation of the picture's noise, in its unit.

    Returns:
        (H, W, C), not clipped.

    Raises:
        PictureError: the picture or kernel has another shape, holds what is no number, or the kernel no positive sum.
    """
    if picture.ndim != 3 or 0 in picture.shape or not np.isfinite(picture).all():
        raise PictureError(f"a picture to sharpen is (H, W, C) of finite values, not {picture.shape}")
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise PictureError(f"a blur kernel has an odd height and width, not {kernel.shape}")
    if not np.isfinite(kernel).all() or kernel.sum() <= 0:
        raise PictureError("a blur kernel holds finite values of a positive sum")
    prior = _PRIOR * max(noise, _LEAST_NOISE) ** 2
    kernel = (kernel / kernel.sum()).astype(np.float32)
    channels = [_deconvolved_channel(picture[..., channel], kernel, prior) for channel in range(picture.shape[2])]
    return np.stack(channels, axis=2)


def _deconvolved_channel(
    blurred: NDArray[np.float32], kernel: NDArray[np.float32], prior: float
) -> NDArray[np.float32]:
    """L = F⁻¹[ (K̄ F B + β F ∂ᵀw) / (|K|² + β |F∂|²) ], where w is ∂L shrunk by λ/β and B beyond the border k ∗ L."""
    height, width = blurred.shape
    whole = continued(blurred, 2 * max(kernel.shape))
    shape = whole.shape
    K, D = transfer(kernel, shape), difference_power(shape)
    K_power = power(K)
    weight, latent = 10 * prior, whole
    for _ in range(_ROUNDS):
        right, down = differences(latent)
        length = np.sqrt(right * right + down * down) + 1e-8
        kept = np.maximum(1 - (prior / weight) * length ** (_P - 2), 0)
        target = np.fft.rfft2(transposed_differences(kept * right, kept * down))
        spectrum = (np.conj(K) * np.fft.rfft2(whole) + weight * target) / (K_power + weight * D)
        latent = inverse(spectrum, shape)
        whole = inverse(spectrum * K, shape)
        whole[:height, :width] = blurred
        weight *= _GROWTH
    return latent[:height, :width]
