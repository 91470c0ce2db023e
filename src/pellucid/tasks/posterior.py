"""What a blind prediction of a picture missed and is no noise, put back.

The posterior mean of a pixel y whose prediction is μ is x̂ = μ + Σₑ (Σₑ + N)⁻¹ (y − μ), with the covariance Σₑ of the
prediction's errors over the channels, and N of the noise (Laine et al., "High-quality self-supervised deep image
denoising", NeurIPS 2019, equation 4). Both are read off the residuals r = y − μ, of which they are the sum:

1. v, the mean of r² around a pixel and over the channels. Its median over the pixels of a brightness is the variance σ²
   of the noise at this brightness, as most of a picture is where μ is right; but σ² is no more than what was measured
   before the network learned, so that texture that is everywhere stays, and a network that has learned too little does
   no harm.
2. N, up to σ²: the mean of r rᵀ / σ² over the calmest pixels. R: the same over all of them.
3. Axes a in which neither noise nor errors are correlated: aᵀ N a = 1 and aᵀ R a' = 0. What is missed is mostly
   brightness and the noise is mostly not, so along one axis there is much to be put back and along the others little.
4. Along each axis, with the mean v of (aᵀ r)² / σ² around a pixel: w = max(v − 1.2, 0) / v. What v scatters around 1 by
   chance is not to come back as grain, hence 1.2, by experiment.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

MAPS = 18  # of the channels' values, held besides what the network holds

_REACH = 5  # pixels around one whose residuals are averaged
_SCATTER = 1.2  # times σ² may be reached by noise alone
_CALM = 0.1  # share of the pixels that have noise, by which the channels' noise is compared
_CUT_OFF = 0.25  # of σ²: where less is around a pixel, noise is cut off
_FEWEST = 16  # pixels for each channel
_BINS, _EVERY = 8, 2  # of brightness, equally filled; by every second row and column
_LEAST = 1e-12  # to divide by
_SINGULAR = 1e-3  # of the mean variance: what is added to that of channels that do not differ


def posterior_mean(noisy: Tensor, predicted: Tensor, most: Sequence[float]) -> Tensor:
    """Return x̂ for y and μ, (B, C, H, W); see the module's text.

    Args:
        noisy: y, in any unit.
        predicted: μ, independent of the noise of the pixel itself.
        most: variances of the noise at brightnesses equally spaced from 0 to 255, linear between; empty for no bound.
    """
    return torch.stack([_posterior_mean(*pair, most) for pair in zip(noisy, predicted, strict=True)])


def _posterior_mean(noisy: Tensor, predicted: Tensor, most: Sequence[float]) -> Tensor:
    """The same of one picture, (C, H, W)."""
    residual, brightness = noisy - predicted, predicted.mean(0)
    around = _mean_around(residual.square().mean(0, keepdim=True))[0]
    variance = _noise(brightness, around).clamp_min_(_LEAST)
    scattered = _SCATTER * variance
    if most:
        levels = torch.linspace(0, 255, len(most), device=noisy.device)
        bound = _interpolated(brightness, levels, torch.tensor(most, device=noisy.device)).clamp_min_(_LEAST)
        variance, scattered = variance.minimum(bound), scattered.minimum(bound)
    deviation = variance.sqrt()
    residual /= deviation
    to_channels, to_axes = _axes(residual, around, variance)
    missed = (to_axes @ residual.flatten(1)).view_as(noisy)
    around = _mean_around(missed.square())
    missed *= (around - scattered / variance).clamp_min_(0) / around.clamp_min_(_LEAST)
    return predicted + (to_channels @ missed.flatten(1)).view_as(noisy) * deviation


def _axes(residual: Tensor, around: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (C, C) from the axes to the channels and back; those of the channels where nothing better is known.

    Args:
        residual: r / σ, (C, H, W).
        around: the mean of r² around each pixel, (H, W).
        variance: σ², (H, W).
    """
    C, some = len(residual), (slice(None, None, _EVERY), slice(None, None, _EVERY))
    around, variance = around[some], variance[some]
    has_noise = around >= _CUT_OFF * variance.maximum(variance.mean())
    seen, excess = residual[:, *some][:, has_noise], (around / variance)[has_noise]
    if len(excess) < _FEWEST * C:
        return torch.eye(C, device=residual.device), torch.eye(C, device=residual.device)
    calm = seen[:, excess <= excess.kthvalue(math.ceil(_CALM * len(excess))).values]
    # On the processor: not every device has these functions, and they are of a few numbers.
    noise, whole = (part.cpu().double() for part in (calm @ calm.T, seen @ seen.T / len(excess)))
    if not (noise.isfinite().all() and whole.isfinite().all()):
        return torch.eye(C, device=residual.device), torch.eye(C, device=residual.device)
    noise = noise * (C / noise.trace().clamp_min(_LEAST)) + _SINGULAR * torch.eye(C, dtype=noise.dtype)
    root = cast(Tensor, torch.linalg.cholesky(noise))
    inverse = cast(Tensor, torch.linalg.inv(root))
    vectors = cast(Tensor, torch.linalg.eigh(inverse @ whole @ inverse.T)[1])
    return (root @ vectors).to(residual), (vectors.T @ inverse).to(residual)


def _mean_around(x: Tensor) -> Tensor:
    """The mean over a square around every pixel of (C, H, W); beyond the border there is nothing."""
    return F.avg_pool2d(x, 2 * _REACH + 1, stride=1, padding=_REACH, count_include_pad=False)


def _noise(brightness: Tensor, around: Tensor) -> Tensor:
    """The variance σ² of the noise at every pixel of (H, W), from brightness and the mean squared residual around.

    The median of `around` in each of some classes of brightness, and linearly between their middles.
    """
    seen, order = brightness[::_EVERY, ::_EVERY].flatten().sort()
    sorted_around = around[::_EVERY, ::_EVERY].flatten()[order]
    classes = list(zip(seen.tensor_split(_BINS), sorted_around.tensor_split(_BINS), strict=True))
    at = torch.stack([part.mean() for part, _ in classes if len(part)])
    return _interpolated(brightness, at, torch.stack([part.median() for _, part in classes if len(part)]))


def _interpolated(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Values at x of any shape, linear between those that are known at increasing places, the nearest beyond them."""
    if len(at) == 1:
        return values.expand_as(x).clone()
    above = torch.searchsorted(at, x.contiguous()).clamp_(1, len(at) - 1)
    share = (x - at[above - 1]) / (at[above] - at[above - 1]).clamp_min(1e-6)
    return torch.lerp(values[above - 1], values[above], share.clamp_(0, 1))
