"""How a blind-spot network that has learned from noisy pictures alone denoises one.

A pixel's value μ is predicted without looking at it. Three steps make a picture of that:

1. Asymmetric pixel-shuffle down-sampling (AP-BSN, Lee et al., CVPR 2022; TBSN, Li et al., AAAI 2025): the network sees
   the picture's lattices of step f one by one, on which neighbours do not share their noise.
2. Where f > 1, random-replacing refinement (ibid.): the mean over T passes of f(m ⊙ y + (1 − m) ⊙ μ), at full
   resolution, m ~ Bernoulli(0.16). So that tiles agree, m is a fixed pattern of the network's multiple, repeated. With
   f = 1 there is nothing that lattices have spoiled: μ is the mean over T of the picture's eight orientations.
3. The posterior mean, which puts back what the prediction missed and is no noise: `posterior.py`.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pellucid import checkpoints
from pellucid.checkpoints import Described, Restoration
from pellucid.errors import CheckpointError
from pellucid.layers.padding import pad_to_multiple
from pellucid.ops.lattices import from_lattices, to_lattices
from pellucid.tasks.posterior import MAPS, posterior_mean

MOST_FACTOR, _MOST_PASSES, _MOST_LEVELS = 8, 64, 64
_MOST_VARIANCE = 1e12
_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,2})?"
_ORIENTATIONS = tuple((quarters, mirrored) for mirrored in (False, True) for quarters in (0, 2, 1, 3))
_REPLACED = 0.16  # share of the pixels that are seen as they are in a pass


class Procedure(NamedTuple):
    """How a blind-spot network is used.

    Attributes:
        factor: f, 1 for noise that no two pixels share.
        passes: T, of the refinement or of the orientations; with 0 the first prediction is taken.
        most: variances of the noise at brightnesses from 0 to white, in the square of the network's unit, which are not
            exceeded; empty for no bound.
    """

    factor: int
    passes: int
    most: tuple[float, ...] = ()

    def about(self) -> dict[str, str]:
        """What a weight file says of it."""
        return {"factor": str(self.factor), "passes": str(self.passes), "most": " ".join(map(repr, self.most))}


def procedure_of(about: Mapping[str, str]) -> Procedure | None:
    """Read what a weight file says; None where it says nothing of this.

    Raises:
        CheckpointError: it makes no sense.
    """
    words = [about.get(name, "") for name in Procedure._fields]
    if not any(words):
        return None
    factor, passes = (int(word) if re.fullmatch(r"[0-9]{1,2}", word) else -1 for word in words[:2])
    most = tuple(float(word) if re.fullmatch(_NUMBER, word) else -1.0 for word in words[2].split()[: _MOST_LEVELS + 1])
    makes_sense = 1 <= factor <= MOST_FACTOR and 0 <= passes <= _MOST_PASSES
    if not (makes_sense and len(most) <= _MOST_LEVELS and all(0 <= variance <= _MOST_VARIANCE for variance in most)):
        raise CheckpointError(f"these weights say of how to use them what makes no sense: {', '.join(words)}")
    return Procedure(factor, passes, most)


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
        bytes_per_pixel=kind.bytes_per_pixel + 4 * MAPS * kind.channels,
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
        predicted = self.turned(y) if self.factor == 1 else self.refined(y, self.first(y))
        return posterior_mean(noisy.float(), predicted[..., :H, :W].float(), self.most).to(noisy.dtype)

    def first(self, y: Tensor) -> Tensor:
        """The prediction of (B, C, H, W), whose sides are multiples of ours, by its lattices."""
        return from_lattices(self.network(to_lattices(y, self.factor)), self.factor)

    def turned(self, y: Tensor) -> Tensor:
        """The mean of the predictions of some of its orientations."""
        orientations = _ORIENTATIONS[: max(self.passes, 1)]
        total = torch.zeros_like(y, dtype=torch.float32)
        for quarters, mirrored in orientations:
            turned = torch.rot90(y, quarters, (-2, -1))
            predicted = self.network(turned.flip(-1) if mirrored else turned)
            total += torch.rot90(predicted.flip(-1) if mirrored else predicted, -quarters, (-2, -1))
        return total / len(orientations)

    def refined(self, y: Tensor, first: Tensor) -> Tensor:
        """The mean of predictions from a first one in which some pixels are replaced by what they were."""
        if not self.passes:
            return first
        H, W = y.shape[-2:]
        total = torch.zeros_like(first, dtype=torch.float32)
        for index in range(self.passes):
            generator = torch.Generator().manual_seed(index)
            pattern = torch.rand(1, y.shape[1], self.multiple, self.multiple, generator=generator) < _REPLACED
            seen = pattern.to(y.device).repeat(1, 1, H // self.multiple, W // self.multiple)
            total += self.network(torch.where(seen, y, first))
        return total / self.passes
