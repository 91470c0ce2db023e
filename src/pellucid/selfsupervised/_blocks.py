"""Blocks of pictures of which smooth surfaces are taken away, and what that does to noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 16  # of a block, in pixels: more than twice the longest lag, yet flat ones are found in most photographs
LAGS = 6  # the longest lag of the autocorrelation, in pixels
_PIXELS = SIDE * SIDE
_DEGREE = 3  # of the surfaces: planes leave more of the pictures' shading, which looks like noise of long correlation
_TERMS = (_DEGREE + 1) * (_DEGREE + 2) // 2
_STRIDE = 4
_MOST = 12_000  # blocks of all pictures together; more of them change the measurement little
_FEWEST = 300  # that are taken even where all are saturated in part
_LEAST = 1e-16
_CLEAR = 0.97  # of the pixels of a block are not saturated: fewer, and the variance is too small

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """Blocks of N places in pictures of C channels.

    Attributes:
        residuals: what smooth surfaces leave, (N, C, SIDE, SIDE).
        brightness: mean values, (N, C).
        variance: of the residuals, unbiased for white noise, (N, C).
    """

    residuals: NDArray[np.float32]
    brightness: Floats
    variance: Floats


def cut_blocks(pictures: Sequence[NDArray[np.float32]], clear: Sequence[NDArray[np.bool_]]) -> Blocks:
    """Take blocks spread over all pictures (H, W, C), and fit a smooth surface out of each channel of each.

    Borders, and what a JPEG smoothed away, say nothing about noise: blocks with a constant row or column are left out.

    Args:
        pictures: at least one, all of the same number of channels.
        clear: which pixels (H, W) are not saturated.
    """
    generator = np.random.default_rng(0)  # the same pictures always measure the same
    channels = pictures[0].shape[2]
    cut = [np.empty((0, channels, SIDE, SIDE), np.float32)]
    for picture, mask in zip(pictures, clear, strict=True):
        if min(mask.shape) >= SIDE:
            places = _places(mask, len(pictures), generator)
            windows = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE), axis=(0, 1))
            cut.append(windows[places[:, 0], places[:, 1]])
    blocks = np.concatenate(cut)
    blocks = blocks[~_still(blocks)]
    values = blocks.reshape(-1, _PIXELS)
    brightness = values.mean(1, dtype=np.float64)
    residuals = values - brightness[:, None].astype(np.float32)
    surfaces = _surfaces().astype(np.float32)
    residuals -= (residuals @ surfaces) @ surfaces.T
    variance = np.square(residuals).sum(1, dtype=np.float64) / (_PIXELS - _TERMS)
    variance = np.maximum(variance, _LEAST)  # to divide by
    return Blocks(
        residuals.reshape(-1, channels, SIDE, SIDE), brightness.reshape(-1, channels), variance.reshape(-1, channels)
    )


def mean_autocorrelation(residuals: NDArray[np.float32]) -> Floats:
    """Return the autocorrelation (2 LAGS + 1, 2 LAGS + 1) of the noise of which residuals (N, SIDE, SIDE) are left.

    The surfaces take part of the covariance c away: Σ_d' A(d, d') c(d') is left at lag d. This is solved for c.
    """
    found = np.zeros((LAGS + 1, 2 * LAGS + 1))
    for down in range(LAGS + 1):
        for right in range(-LAGS, LAGS + 1):
            here = residuals[:, : SIDE - down, max(0, -right) : SIDE - max(0, right)]
            there = residuals[:, down:, max(0, right) : SIDE - max(0, -right)]
            found[down, right + LAGS] = np.einsum("nyx,nyx->", here, there, dtype=np.float64) / here.size
    covariance = np.linalg.solve(_left_at_lags(), found.ravel()[LAGS:])
    both_halves = np.concatenate([covariance[:0:-1], covariance])  # a lag and its opposite are the same
    return (both_halves / covariance[0]).reshape(2 * LAGS + 1, 2 * LAGS + 1)


def left_of_noise(correlation: Floats) -> tuple[float, float]:
    """Return what becomes of noise of variance 1 and an autocorrelation (2 LAGS + 1, 2 LAGS + 1) in a block.

    Returns:
        The expectation of `Blocks.variance`; and the degrees of freedom ν of the χ² law that it follows closely, by
        Satterthwaite: ν = (tr M)² / tr M², with the covariance matrix M of what is left.
    """
    down, right = _offsets()
    near = (abs(down) <= LAGS) & (abs(right) <= LAGS)
    covariance = np.zeros((_PIXELS, _PIXELS))
    covariance[near] = correlation[down[near] + LAGS, right[near] + LAGS]
    left = _without_surfaces(covariance)
    trace = float(np.trace(left))
    return trace / (_PIXELS - _TERMS), trace**2 / float(np.square(left).sum())


def _places(clear: NDArray[np.bool_], pictures: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Where the blocks of one of so many pictures begin, (N, 2)."""
    windows = np.lib.stride_tricks.sliding_window_view(clear, (SIDE, SIDE))[::_STRIDE, ::_STRIDE]
    share = windows.mean((2, 3))
    least = np.sort(share, axis=None)[-min(_FEWEST // pictures + 1, share.size)]
    places = np.argwhere(share >= min(_CLEAR, least))
    most = _MOST // pictures + 1
    if len(places) > most:
        places = places[generator.choice(len(places), most, replace=False)]
    return places * _STRIDE


def _still(blocks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of blocks (N, C, SIDE, SIDE) have a row or a column that is constant in each channel."""
    rows, columns = ((blocks.max(axis) == blocks.min(axis)).all(1).any(1) for axis in (3, 2))
    return rows | columns


def _surfaces() -> Floats:
    """An orthonormal basis (pixels, terms) of the polynomials over a block."""
    along = np.linspace(-1, 1, SIDE)
    powers = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    return np.linalg.qr(np.stack([np.outer(along**i, along**j).ravel() for i, j in powers], axis=1))[0]


def _without_surfaces(covariance: Floats) -> Floats:
    """The covariance matrix (pixels, pixels) of what is left of a block of the given one."""
    surfaces = _surfaces()
    left = covariance - surfaces @ (surfaces.T @ covariance)
    return left - (left @ surfaces) @ surfaces.T


def _offsets() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How far down and right the second pixel of each pair of pixels of a block is, (pixels, pixels) each."""
    y, x = np.divmod(np.arange(_PIXELS), SIDE)
    return y[None] - y[:, None], x[None] - x[:, None]


@lru_cache(maxsize=1)
def _left_at_lags() -> Floats:
    """The matrix A of `mean_autocorrelation` over one half of the lags, row by row from (0, 0) on."""
    down, right = _offsets()
    width = 2 * SIDE - 1
    pairs = ((down + SIDE - 1) * width + right + SIDE - 1).ravel()
    count = np.bincount(pairs, minlength=width * width)
    lags = [(y, x) for y in range(LAGS + 1) for x in range(-LAGS, LAGS + 1) if (y, x) >= (0, 0)]
    rows = [(y + SIDE - 1) * width + x + SIDE - 1 for y, x in lags]
    columns: list[Floats] = []
    for y, x in lags:
        at_lag = ((down == y) & (right == x)) | ((down == -y) & (right == -x))
        left = np.bincount(pairs, _without_surfaces(at_lag.astype(np.float64)).ravel(), width * width)
        columns.append(left[rows] / count[rows])
    return np.stack(columns, axis=1)
