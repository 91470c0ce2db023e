"""How the camera shook, read off the picture: the kernel of a blur that is the same everywhere.

From coarse to fine, a sharp picture and the kernel are estimated in turn. The sharp picture is the one with few edges,
min ‖k ∗ L − B‖² + λ ‖∂L‖₀, after L. Xu, S. Zheng, J. Jia, "Unnatural L0 sparse representation for natural image
deblurring", CVPR 2013; the kernel is that of least squares between the edges of both.

A kernel is known but for a shift, since a shifted kernel and a picture shifted back are blurred to the same. Here the
middle of what the kernel spans lies in the middle of its array.
"""

from typing import NamedTuple

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
from pellucid.images.deconvolution import deconvolved
from pellucid.images.resampling import resized

_SIDE = 704  # of the part that a kernel is estimated from
_LEAST_SIDE = 48  # with fewer pixels, edges do not tell a kernel
_TURNS = 5  # at each size
_STEP = 2**0.5  # from size to size
_RIDGE = 2.0  # γ
_FAINTEST = 0.05  # of a kernel's peak, below which its values are noise
_SMALLEST_PART = 0.04  # of a kernel's sum, below which what stands apart is noise
_LEAST_NOISE = 0.01  # for which pictures are sharpened to look at them
_END = 0.03  # of a kernel's sum
_STEEPEST = 1e5  # weight of the splitting at which the sharp picture is done

# What tells a kernel from none, measured on pictures sharp and blurred: see `_trusted`.
_LEAST_SPREAD, _LARGEST_PEAK, _MOST_FLATNESS, _MOST_EDGES = 1.3, 0.25, 0.82, 3.0


class _Path(NamedTuple):
    """How strongly edges are thinned out: λ at first and its factor in each turn; and the coarsest kernel's side."""

    prior: float
    decay: float
    coarsest: int


# Neither finds every kernel; where one is led astray, the other often is not.
_PATHS = (_Path(prior=8e-3, decay=0.95, coarsest=5), _Path(prior=4e-3, decay=0.95, coarsest=3))


def estimate_kernel(luma: NDArray[np.float32], *, size: int = 31) -> NDArray[np.float32] | None:
    """Estimate the kernel by which a picture was blurred.

    Args:
        luma: (H, W), 0..1. Of a large picture the part with the most edges is looked at.
        size: the longest path in pixels that is looked for, odd; less in small pictures.

    Returns:
        (2r + 1, 2r + 1) of sum 1 without negative values; None where the picture is sharp, too small, or does not tell.

    Raises:
        PictureError: the values are not (H, W), or not all numbers; or the size is even or below 3.
    """
    if luma.ndim != 2 or not np.isfinite(luma).all():
        raise PictureError(f"a kernel is estimated from (H, W) finite values, not {luma.shape}")
    if size < 3 or size % 2 == 0:
        raise PictureError(f"the size of a kernel is odd and at least 3, not {size}")
    if min(luma.shape) < _LEAST_SIDE:
        return None
    luma = _busiest(luma.astype(np.float32, copy=False))
    size = min(size, min(luma.shape) // 8 * 2 - 1)
    found = [kernel for path in _PATHS if (kernel := _follow(luma, size, path)) is not None]
    if not found:
        return None
    noise = max(noise_of(luma), _LEAST_NOISE)
    looks = [_look(luma, kernel, noise) for kernel in found]
    best = min(range(len(found)), key=lambda index: looks[index].residual)
    if not _trusted(found[best], looks[best], _look(luma, np.ones((1, 1), np.float32), noise)):
        return None
    return _squared(found[best])


def noise_of(luma: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the noise of a blurred picture (H, W); in a sharp one texture counts, too.

    The median of the finest diagonal wavelets of Haar: D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by
    wavelet shrinkage", 1994.
    """
    diagonal = luma[:-1, :-1] - luma[1:, :-1] - luma[:-1, 1:] + luma[1:, 1:]
    return float(np.median(np.abs(diagonal)) / 2 / 0.6745)


def _busiest(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut out the part of at most `_SIDE`² pixels in which neighbours differ most."""
    height, width = (min(length, _SIDE) for length in luma.shape)
    if (height, width) == luma.shape:
        return luma
    right, down = differences(luma)
    sums = np.pad((np.abs(right) + np.abs(down)).astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return luma[top : top + height, left : left + width]


def _follow(luma: NDArray[np.float32], size: int, path: _Path) -> NDArray[np.float32] | None:
    """Estimate from the coarsest size to the picture's own; None where no kernel is left."""
    scales = [1.0]
    while size / scales[-1] > path.coarsest:
        scales.append(scales[-1] * _STEP)
    kernel, prior = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0]], np.float32), path.prior
    for scale in reversed(scales):
        height, width = (round(length / scale) for length in luma.shape)
        blurred = luma if scale == 1 else resized(luma[..., None], height, width)[..., 0]
        side = max(3, int(size / scale) // 2 * 2 + 1)
        larger = resized(kernel[..., None], side, side)[..., 0] if side != len(kernel) else kernel
        kernel = _cleaned(larger)
        whole = continued(blurred, 2 * side)
        inside = np.zeros(whole.shape, np.float32)
        inside[side // 2 : height - side // 2, side // 2 : width - side // 2] = 1
        edges = [inside * part for part in differences(whole)]
        for _ in range(_TURNS):
            if kernel is None:
                return None
            sharp = [inside * part for part in differences(_few_edges(whole, kernel, prior))]
            kernel = _cleaned(_kernel_between(sharp, edges, side))
            prior *= path.decay
        if kernel is None:
            return None
    return kernel


def _few_edges(blurred: NDArray[np.float32], kernel: NDArray[np.float32], prior: float) -> NDArray[np.float32]:
    """Minimise ‖k ∗ L − B‖² + λ ‖∂L‖₀ by half-quadratic splitting: ∂L is kept where |∂L|² ≥ λ/β, while β doubles."""
    shape = blurred.shape
    K, D = transfer(kernel, shape), difference_power(shape)
    KB, K_power = np.conj(K) * np.fft.rfft2(blurred), power(K)
    latent, weight = blurred, 2 * prior
    while weight < _STEEPEST:
        right, down = differences(latent)
        kept = right * right + down * down >= prior / weight
        target = np.fft.rfft2(transposed_differences(kept * right, kept * down))
        latent = inverse((KB + weight * target) / (K_power + weight * D), shape)
        weight *= 2
    return latent


def _kernel_between(
    sharp: list[NDArray[np.float32]], blurred: list[NDArray[np.float32]], side: int
) -> NDArray[np.float32]:
    """k = F⁻¹[ Σ conj(F∂L) F∂B / (Σ|F∂L|² + γ) ], cut to (side, side)."""
    shape = sharp[0].shape
    spectra = [np.fft.rfft2(part) for part in sharp]
    both = np.stack([np.conj(L) * np.fft.rfft2(part) for L, part in zip(spectra, blurred, strict=True)]).sum(axis=0)
    whole = inverse(both / (np.stack([power(L) for L in spectra]).sum(axis=0) + _RIDGE), shape)
    return np.roll(whole, (side // 2, side // 2), (0, 1))[:side, :side]


def _cleaned(kernel: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Take out noise, move the centre of gravity to the middle, scale to the sum 1; None where nothing is left."""
    if kernel.max() <= 0:
        return None
    kernel = np.where(kernel < _FAINTEST * kernel.max(), np.float32(0), kernel)
    parts = _connected(kernel > 0)
    weights = np.bincount(parts.ravel(), kernel.ravel())
    kernel = np.where(weights[parts] < _SMALLEST_PART * kernel.sum(), np.float32(0), kernel)
    middle, (row, column) = len(kernel) // 2, _centre(kernel)
    kernel = _moved(kernel, middle - round(row), middle - round(column))
    return kernel / kernel.sum()


def _connected(there: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number what touches, corners included: the same for all of a part, 0 where nothing is."""
    numbers = np.where(there, np.arange(1, there.size + 1).reshape(there.shape), 0)
    while True:
        around = np.lib.stride_tricks.sliding_window_view(np.pad(numbers, 1), (3, 3)).max(axis=(2, 3))
        grown = np.where(there, around, 0)
        if (grown == numbers).all():
            return numbers
        numbers = grown


def _centre(kernel: NDArray[np.float32]) -> tuple[float, float]:
    """Return the row and column of a square kernel's centre of gravity."""
    steps: NDArray[np.float32] = np.arange(len(kernel), dtype=np.float32)
    return float(kernel.sum(1) @ steps / kernel.sum()), float(kernel.sum(0) @ steps / kernel.sum())


def _moved(kernel: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Shift; what leaves the array is lost."""
    side = len(kernel)
    padded = np.pad(kernel, side)
    return padded[side - down : 2 * side - down, side - right : 2 * side - right]


def _squared(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut to the least odd square around the middle of what the kernel spans; of two middles, the upper left one."""
    there = np.argwhere(kernel > 0)
    row, column = _middle(kernel.sum(1)), _middle(kernel.sum(0))
    reach = int(np.abs(there - np.array([row, column])).max())
    return np.pad(kernel, reach)[row : row + 2 * reach + 1, column : column + 2 * reach + 1]


def _middle(profile: NDArray[np.float32]) -> int:
    """Return the middle of what a profile spans without a little at each end, which may be noise."""
    share = profile.cumsum() / profile.sum()
    return int(np.searchsorted(share, _END) + np.searchsorted(share, 1 - _END)) // 2


class _Look(NamedTuple):
    """What a kernel makes of a picture.

    Attributes:
        residual: root mean square of k ∗ L − B.
        flatness: mean |∂L| over its root mean square: small where few edges carry most.
        edges: mean |∂L|.
    """

    residual: float
    flatness: float
    edges: float


def _look(luma: NDArray[np.float32], kernel: NDArray[np.float32], noise: float) -> _Look:
    sharp = deconvolved(luma[..., None], kernel, noise=noise)[..., 0]
    reach = len(kernel)
    whole = continued(sharp, 2 * reach)
    inside = np.s_[reach : luma.shape[0] - reach, reach : luma.shape[1] - reach]
    again = inverse(np.fft.rfft2(whole) * transfer(kernel, whole.shape), whole.shape)
    right, down = (part[:-1, :-1] for part in differences(sharp[inside]))
    flatness = [float(np.abs(part).mean() / np.sqrt(np.square(part).mean() + 1e-12)) for part in (right, down)]
    residual = float(np.sqrt(np.square((again[: luma.shape[0], : luma.shape[1]] - luma)[inside]).mean()))
    return _Look(residual, sum(flatness) / 2, float(np.hypot(right, down).mean()))


def _trusted(kernel: NDArray[np.float32], found: _Look, before: _Look) -> bool:
    """Whether the kernel is one of a blur: no mere dot, and it makes edges fewer and stronger without making many.

    Sharp pictures give dots, or kernels that leave the edges as many as they were or draw ringing everywhere.
    """
    row, column = _centre(kernel)
    steps = np.arange(len(kernel), dtype=np.float32)
    spread = float(np.sqrt((kernel * ((steps[:, None] - row) ** 2 + (steps - column) ** 2)).sum()))
    dot = spread < _LEAST_SPREAD or float(kernel.max()) > _LARGEST_PEAK
    clearer = found.flatness < _MOST_FLATNESS * before.flatness
    return clearer and not dot and found.edges < _MOST_EDGES * before.edges
