"""How a blind-spot network that has learned from noisy pictures alone denoises one.

A pixel's value μ is predicted without looking at it. Three steps make a picture of that:

1. Asymmetric pixel-shuffle down-sampling (AP-BSN, Lee et al., CVPR 2022; TBSN, Li et al., AAAI 2025): the network sees
   the picture's lattices of step f one by one, on which neighbours do not share their noise.
2. Random-replacing refinement (ibid.): the mean over T passes of f(m ⊙ y + (1 − m) ⊙ μ), m ~ Bernoulli(0.16), at full
   resolution. So that tiles agree, m is a fixed pattern of the network's multiple, repeated.
3. What the prediction missed and is no noise is kept, as the posterior mean has it (Laine et al., NeurIPS 2019):
   x̂ = μ + w (y − μ), w = max(v − min(1.2 σ²(μ), s²), 0) / v, where v is the mean of (y − μ)² around a pixel. The
   variance σ² of the noise at a brightness is the median of v over the pixels of that brightness: most of a picture is
   where μ is right. What v scatters around it by chance is not to come back as grain, hence 1.2, by experiment. s² is
   the largest variance of noise that was measured before the network learned: so texture that is everywhere stays, and
   a network that has learned too little does no harm.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import checkpoints
from pellucid.checkpoints import Described, Restoration
from pellucid.errors import CheckpointError
from pellucid.layers.padding import pad_to_multiple
from pellucid.ops.lattices import from_lattices, to_lattices

MOST_FACTOR, _MOST_PASSES = 8, 64
_REPLACED = 0.16  # share of the pixels that are seen as they are in a pass
_REACH = 3  # pixels around one whose residuals are averaged
_SCATTER = 1.2  # times σ² may be reached by noise alone
_BINS, _EVERY = 8, 2  # of brightness, equally filled; by every second row and column
_MAPS = 14  # of the channels' values, held besides what the network holds


class Procedure(NamedTuple):
    """How a blind-spot network is used.

    Attributes:
        factor: f, 1 for noise that no two pixels share.
        passes: T; with 0 the first prediction is taken.
        most: s², in the square of the network's unit.
    """

    factor: int
    passes: int
    most: float = math.inf

    def about(self) -> dict[str, str]:
        """What a weight file says of it."""
        return {"factor": str(self.factor), "passes": str(self.passes), "most": repr(self.most)}


def procedure_of(about: Mapping[str, str]) -> Procedure | None:
    """Read what a weight file says; None where it says nothing of this.

    Raises:
        CheckpointError: it makes no sense.
    """
    words = [about.get(name, "") for name in Procedure._fields]
    if not any(words):
        return None
    numbers = [int(word) if re.fullmatch(r"[0-9]{1,2}", word) else -1 for word in words[:2]]
    most = float(words[2]) if re.fullmatch(r"[0-9.]+(e[-+]?[0-9]+)?|inf", words[2]) else -1.0
    if not (1 <= numbers[0] <= MOST_FACTOR and 0 <= numbers[1] <= _MOST_PASSES and most >= 0):
        raise CheckpointError(f"these weights say of how to use them what makes no sense: {', '.join(words)}")
    return Procedure(numbers[0], numbers[1], most)


def network_in_use(described: Described, kind: Restoration) -> tuple[Restoration, Callable[[], nn.Module]]:
    """The network of a weight file, as it is or as a part of what the file says is to be done, and what that costs.

    Raises:
        CheckpointError: what the file says makes no sense.
    """
    procedure = procedure_of(described.about)
    if procedure is None:
        return kind, lambda: checkpoints.build(described)
    multiple = kind.multiple * procedure.factor
    in_use = kind._replace(
        multiple=multiple,
        overlap=-(-kind.overlap // multiple) * multiple,
        bytes_per_pixel=kind.bytes_per_pixel + 4 * _MAPS * kind.channels,
    )
    return in_use, lambda: BlindSpotDenoiser(checkpoints.build(described), kind.multiple, procedure)


class BlindSpotDenoiser(nn.Module):
    """Denoise (B, C, H, W) of any size with a blind-spot network; values as it takes them, see the module's text.

    Args:
        network: predicts (B, C, H, W), H and W multiples of `multiple`, without seeing the pixel predicted.
        multiple: of the network.
        procedure: how to use it.
    """

    def __init__(self, network: nn.Module, multiple: int, procedure: Procedure) -> None:
        super().__init__()
        self.network = network
        self.factor, self.passes, self.most = procedure
        self.multiple = multiple * self.factor

    def forward(self, noisy: Tensor) -> Tensor:
        """Return x̂, (B, C, H, W)."""
        H, W = noisy.shape[-2:]
        y = pad_to_multiple(noisy, self.multiple)
        first = self.first(y)
        predicted = self.refined(y, first) if self.passes else first
        return _with_what_is_no_noise(noisy.float(), predicted[..., :H, :W].float(), self.most).to(noisy.dtype)

    def first(self, y: Tensor) -> Tensor:
        """The prediction of (B, C, H, W), whose sides are multiples of ours, by its lattices."""
        return from_lattices(self.network(to_lattices(y, self.factor)), self.factor)

    def refined(self, y: Tensor, first: Tensor) -> Tensor:
        """The mean of predictions from a first one in which some pixels are replaced by what they were."""
        H, W = y.shape[-2:]
        total = torch.zeros_like(first)
        for index in range(self.passes):
            generator = torch.Generator().manual_seed(index)
            pattern = torch.rand(1, y.shape[1], self.multiple, self.multiple, generator=generator) < _REPLACED
            seen = pattern.to(y.device).repeat(1, 1, H // self.multiple, W // self.multiple)
            total += self.network(torch.where(seen, y, first))
        return total / self.passes


def _with_what_is_no_noise(noisy: Tensor, predicted: Tensor, most: float) -> Tensor:
    """x̂ = μ + w (y − μ) for y, μ (B, C, H, W), where s² is `most`."""
    residual = noisy - predicted
    around = _mean_around(residual.square().mean(1, keepdim=True))
    brightness = predicted.mean(1, keepdim=True)
    noise = torch.stack([_noise(*pair) for pair in zip(brightness, around, strict=True)])
    noise = (_SCATTER * noise).clamp_max_(most)
    return predicted + (around - noise).clamp_min_(0) / around.clamp_min(1e-12) * residual


def _mean_around(x: Tensor) -> Tensor:
    """The mean over a square around every pixel of (B, 1, H, W); beyond the border there is nothing."""
    return F.avg_pool2d(x, 2 * _REACH + 1, stride=1, padding=_REACH, count_include_pad=False)


def _noise(brightness: Tensor, around: Tensor) -> Tensor:
    """The variance σ² of the noise at every pixel of (1, H, W), from brightness and the mean squared residual around.

    The median of `around` in each of some classes of brightness, and linearly between their middles.
    """
    seen, order = brightness[..., ::_EVERY, ::_EVERY].flatten().sort()
    sorted_around = around[..., ::_EVERY, ::_EVERY].flatten()[order]
    classes = list(zip(seen.tensor_split(_BINS), sorted_around.tensor_split(_BINS), strict=True))
    at = torch.stack([part.mean() for part, _ in classes if len(part)])
    variance = torch.stack([part.median() for _, part in classes if len(part)])
    if len(at) == 1:
        return variance.expand_as(brightness)
    above = torch.searchsorted(at, brightness.contiguous()).clamp_(1, len(at) - 1)
    share = (brightness - at[above - 1]) / (at[above] - at[above - 1]).clamp_min(1e-6)
    return torch.lerp(variance[above - 1], variance[above], share.clamp_(0, 1))
