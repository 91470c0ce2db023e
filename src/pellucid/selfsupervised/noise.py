"""How strong the noise of pictures is at each brightness, over how many pixels it is correlated, what that asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.selfsupervised._blocks import (
    LAGS,
    SIDE,
    Blocks,
    Floats,
    cut_blocks,
    left_of_noise,
    mean_autocorrelation,
)

LEVELS: Floats = np.linspace(0, 1, 9)  # of brightness, at which the variance is measured
MOST_CHOSEN = 5  # factor; a person may name a larger one

_ROUNDS = 4  # each measures the correlation in the blocks that the one before found flat
_REFINEMENTS = 6
_FEWEST = 24  # blocks to measure a variance from
_STEEPEST = 2.5  # Poisson noise doubles from 1/8 to 2/8; a variance that rises much faster is texture
_STEPS = 0.4  # of the values is no noise: rounding alone makes 1/√12 of a step
_SMALLEST = 1e-6  # level: what float32 rounds is no noise either
_FEWEST_PIXELS = 64 * 64
_MOST_SATURATED = 0.5

# How much of the noise the network may foresee from the neighbours it sees, hence keep. The more a picture is sampled
# down, the less it foresees and the more detail is lost, above all by the step from 1 to 2. By trial on filtered noise:
# benchmarks/noise_factors.py.
_MOST_LEAK, _MOST_LEAK_WHOLE = 0.12, 0.2  # at factors from 2 on, and at 1

_NO_NOISE = "there is no noise to be measured in these pictures, so there is nothing to learn"


@dataclass(frozen=True)
class Noise:
    """The noise of pictures.

    Attributes:
        level: standard deviation in the unit of the values, the root of the mean variance over pixels and
            over those channels that are not constant.
        curve: variances at `LEVELS` of brightness, the mean over channels, linear between; levels never seen take the
            nearest that was seen.
        correlation: autocorrelation (13, 13) up to lag 6 down and right, 1 in the middle; the mean over channels.
        factor: 1..5, of the pixel-shuffle down-sampling after which the noise is nearly white; see `choose_factor`.
        saturated: share of pixels with a value at an end of the range, 0 or 1.
    """

    level: float
    curve: tuple[float, ...]
    correlation: Floats
    factor: int
    saturated: float


def measure_noise(pictures: Sequence[NDArray[np.float32]], *, step: float = 1 / 255) -> Noise:
    """Measure noise from noisy pictures alone, in their flattest blocks.

    Args:
        pictures: (H, W, C) of values around 0..1, of the same number of channels, up to about a megapixel each.
        step: between neighbouring values, as 1 / 255 for 8 bits; 0 for values that were not rounded.

    Raises:
        DataError: they hold values that are not finite, are too small, constant, saturated or free of noise.
    """
    _refuse(pictures)
    ends = [((picture == 0) | (picture == 1)).any(axis=2) for picture in pictures]
    saturated = sum(int(end.sum()) for end in ends) / sum(end.size for end in ends)
    if saturated > _MOST_SATURATED:
        raise DataError(
            f"{saturated:.0%} of the pixels are black or white to the end, where noise is cut off; "
            "give pictures that are exposed better"
        )
    varied = np.any([np.ptp(picture, axis=(0, 1)) > 0 for picture in pictures], axis=0)
    blocks = cut_blocks([picture[..., varied] for picture in pictures], [~end for end in ends])
    if not len(blocks.variance):
        raise DataError(_NO_NOISE)
    curves, correlation = _measure(blocks)
    level = float(np.sqrt(_at(blocks.brightness, curves).mean()))
    if level < max(_STEPS * step, _SMALLEST):
        raise DataError(_NO_NOISE)
    curve = tuple(float(variance) for variance in curves.mean(axis=0))
    return Noise(level, curve, correlation, choose_factor(correlation), saturated)


def choose_factor(correlation: Floats) -> int:
    """Return the smallest factor, 1..5, at which little enough of the noise can be foreseen from the neighbours.

    Args:
        correlation: of the noise, (13, 13).
    """
    if leak(correlation, 1) <= _MOST_LEAK_WHOLE:
        return 1
    return next((f for f in range(2, MOST_CHOSEN) if leak(correlation, f) <= _MOST_LEAK), MOST_CHOSEN)


def leak(correlation: Floats, factor: int) -> float:
    """Return the share of the noise's variance that a linear predictor knows from the eight neighbours `factor` away.

    With their correlation r with the pixel and R with one another it is rᵀ R⁻¹ r.
    """
    neighbours = [(y * factor, x * factor) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]

    def at(down: int, right: int) -> float:
        return float(correlation[down + LAGS, right + LAGS]) if max(abs(down), abs(right)) <= LAGS else 0.0

    among = np.array([[at(y - v, x - u) for v, u in neighbours] for y, x in neighbours])
    values, vectors = np.linalg.eigh(among)
    along = vectors.T @ np.array([at(y, x) for y, x in neighbours])
    # What is measured need not be a correlation: the smallest variances are the least certain ones.
    return min(float((along**2 / np.maximum(values, 0.05)).sum()), 1.0)


def describe(noise: Noise) -> str:
    """Tell a person about the noise in one line."""
    ratio = noise.curve[-1] / max(noise.curve[0], 1e-12)
    trend = ", growing with brightness" if ratio > 1.5 else ", falling with brightness" if ratio < 1 / 1.5 else ""
    down, right = noise.correlation[LAGS:, LAGS], noise.correlation[LAGS, LAGS:]
    reach = int(np.flatnonzero((down + right) / 2 > 0.2)[-1])
    spread = f"correlated over {reach} pixel{'s' if reach > 1 else ''}" if reach else "independent from pixel to pixel"
    size = {1: "the full", 2: "half the"}.get(noise.factor, f"1/{noise.factor} of the")
    return f"noise of {noise.level:.1%} of the range{trend}, {spread}: learning at {size} resolution"


def _refuse(pictures: Sequence[NDArray[np.float32]]) -> None:
    """Raise DataError for pictures in which no noise can be looked for."""
    if not all(np.isfinite(picture).all() for picture in pictures):
        raise DataError("the pictures hold values that are not finite numbers; repair or leave out these pictures")
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    if pixels < _FEWEST_PIXELS or not any(min(picture.shape[:2]) >= SIDE for picture in pictures):
        raise DataError(
            f"{pixels} pixels are too few to learn from; give at least {_FEWEST_PIXELS}, in pictures of {SIDE} or more "
            "each way"
        )
    if not any(np.ptp(picture) > 0 for picture in pictures):
        raise DataError("all pixels of these pictures have the same value, so there is nothing to learn")


def _measure(blocks: Blocks) -> tuple[Floats, Floats]:
    """The variances at `LEVELS` of each channel, (C, 9), and the correlation."""
    correlation = np.zeros((2 * LAGS + 1, 2 * LAGS + 1))
    correlation[LAGS, LAGS] = 1
    curves = _curves(blocks, correlation)
    for _ in range(_ROUNDS):
        left, _ = left_of_noise(correlation)
        expected = _at(blocks.brightness, curves) * left
        # Texture is in all channels: flat is what is so in each.
        worst = (blocks.variance / expected).max(axis=1)
        flat = worst <= max(1.0, float(np.sort(worst)[min(_FEWEST, len(worst)) - 1]))
        residuals = blocks.residuals[flat] / np.sqrt(expected[flat])[..., None, None].astype(np.float32)
        each = [mean_autocorrelation(residuals[:, channel]) for channel in range(residuals.shape[1])]
        correlation = np.mean(each, axis=0)
        curves = _curves(blocks, correlation)
    return curves, correlation


def _at(brightness: Floats, curves: Floats) -> Floats:
    """The variances (N, C) at brightnesses (N, C)."""
    each: list[Floats] = [np.interp(brightness[:, c], LEVELS, curve) for c, curve in enumerate(curves)]
    return np.stack(each, axis=1)


def _curves(blocks: Blocks, correlation: Floats) -> Floats:
    """The variances at `LEVELS` of each channel, (C, 9)."""
    left, freedom = left_of_noise(correlation)
    channels = range(blocks.variance.shape[1])
    return np.stack([_curve(blocks.brightness[:, c], blocks.variance[:, c], freedom) for c in channels]) / left


def _curve(brightness: Floats, variance: Floats, freedom: float) -> Floats:
    """The variances at `LEVELS` of blocks (N), found anew where the last curve says how the variance changes."""
    nearest = np.argmin(abs(brightness[:, None] - LEVELS), axis=1)
    levels = [level for level in range(len(LEVELS)) if (nearest == level).sum() >= _FEWEST]
    if not levels:
        return np.full(len(LEVELS), _flat_variance(variance, freedom))
    # Noise of nearly nothing at 0 says nothing about the other levels.
    steepness: Floats = _STEEPEST ** abs(np.subtract.outer(levels, levels)).astype(np.float64)
    steepness[1:, [level == 0 for level in levels]] = np.inf
    curve: Floats = np.ones(len(LEVELS))
    for _ in range(_REFINEMENTS):
        ratio: Floats = variance / np.interp(brightness, LEVELS, curve)
        scale: Floats = np.array([_flat_variance(ratio[nearest == level], freedom) for level in levels])
        limited: Floats = np.min(steepness * curve[levels] * scale, axis=1)
        curve = np.interp(LEVELS, LEVELS[levels], limited)
    return curve


def _flat_variance(variance: Floats, freedom: float) -> float:
    """The variance of the noise, of which that of flat blocks is χ²-distributed, and that of other ones is larger.

    The cube root of χ²/ν is nearly normal with mean 1 − 2/9ν and variance 2/9ν (Wilson & Hilferty, 1931). Of the blocks
    below the mean of a normal law, 0.317 are more than a standard deviation below; texture only adds to those above.
    So the mean is the lowest value of which this is true, and no share of flat blocks need be assumed.
    """
    root: Floats = np.cbrt(np.sort(variance))
    mean, deviation = 1 - 2 / (9 * freedom), float(np.sqrt(2 / (9 * freedom)))
    below = np.arange(1, len(root) + 1)
    far_below: NDArray[np.int64] = np.searchsorted(root, root * (1 - deviation / mean))
    true = (far_below >= 0.317 * below) & (below >= min(_FEWEST, len(root) / 2))
    return (float(root[int(np.argmax(true)) if true.any() else -1]) / mean) ** 3
