"""A small TBSN learns from noisy pictures alone: each pixel from the others around it.

TBSN, Li et al., AAAI 2025, with the asymmetric pixel-shuffle down-sampling of AP-BSN, Lee et al., CVPR 2022. Batches,
and so the run, depend only on the pictures, the options and the number of steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pellucid.models.tbsn import TBSN, TBSN_PRESETS
from pellucid.ops.lattices import to_lattices
from pellucid.selfsupervised.learner import Learner
from pellucid.selfsupervised.start import begun
from pellucid.selfsupervised.windows import Pictures, Place, anywhere, corners, turned

SMALLEST = 32  # side of a crop on a lattice
_CROP, _BATCH = 64, 4
_HELD_OUT = 6  # windows to judge by


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to learn.

    Attributes:
        factor: of the pixel-shuffle down-sampling in use. The network learns at this factor and one more; if it begins
            at random, at all smaller ones too, as it sees the whole picture too when it is used. One that has learned
            from photographs knows how, and would learn from whole pictures that correlated noise can be foreseen. At 1
            alone where no two pixels share their noise.
        level: the noise's standard deviation, in the unit of the pictures: errors beyond it count linearly.
        seconds: to learn for, about.
        steps: to take instead, more than ten.
        seed: of the first weights and the batches.
        start: weights for colour to begin with; None to begin with random ones.
    """

    factor: int
    level: float
    seconds: float = 600.0
    steps: int | None = None
    seed: int = 0
    start: str | None = None


class Check(NamedTuple):
    """How far a run was at a step: the mean squared error on windows not learned from, their noise included."""

    step: int
    seconds: float
    error: float


class FitProgress(NamedTuple):
    """What a run reports after each step; `steps` is None until it is known."""

    step: int
    steps: int | None
    seconds: float
    checks: list[Check]


class Fitted(NamedTuple):
    """What a run ends with: the network as it was at its best check, and all checks."""

    network: TBSN
    checks: list[Check]


def fit(
    pictures: Pictures,
    options: FitOptions,
    *,
    about: str = "",
    state: Path | None = None,
    report: Callable[[FitProgress], None] = lambda _: None,
) -> Fitted:
    """Train until the last step, going on from what `state` holds.

    Args:
        pictures: (H, W, C) each, C alike, values around 0..1.
        options: how.
        about: what the pictures are, so that a state of others is not gone on from.
        state: a file to keep the run in.
        report: is told after each step.

    Raises:
        DataError: the state is of another run, or the loss became infinite.
    """
    run = _Fit(pictures, options, about, state)
    while not run.learner.done:
        run.advance()
        report(FitProgress(run.learner.step, run.learner.steps, run.learner.spent, run.checks))
    run.learner.average.load_state_dict(run.best)
    return Fitted(run.learner.average.eval(), run.checks)


class _Fit:
    def __init__(self, pictures: Pictures, options: FitOptions, about: str, state: Path | None) -> None:
        self._pictures, self._options = pictures, options
        channels = pictures[0].shape[2]
        config = replace(TBSN_PRESETS["small"], in_channels=channels, out_channels=channels)
        network = begun(TBSN, config, seed=options.seed, start=options.start)
        self._white = network.config.value_range
        self.learner = Learner(
            network,
            gentle=options.start is not None,
            seconds=options.seconds,
            steps=options.steps,
            about=f"{options} {about}",
            state=state,
        )
        lowest = 1 if options.start is None else options.factor
        self._factors = range(lowest, options.factor + 2) if options.factor > 1 else range(1, 2)
        side, most = SMALLEST * options.factor, _CROP * self._factors[-1]
        self._held_out = corners(pictures, _HELD_OUT, side, most)
        # A picture that is too small for the lowest factor would teach that correlated noise can be foreseen.
        small = [min(values.shape[:2]) < SMALLEST * self._factors[0] for values in pictures]
        areas = np.array([values[..., 0].size for values in pictures], float)
        areas = np.where(small, 0.0, areas) if not all(small) else areas
        self._shares = areas / areas.sum()
        self.best: dict[str, Tensor] = self.learner.kept.get("best") or self._weights()
        self.checks = [Check(*check) for check in self.learner.kept.get("checks", ())]
        if options.start is not None and not self.checks:
            self.checks.append(Check(0, 0.0, self._error()))

    def advance(self) -> None:
        """Take a step; from time to time, judge the average, and keep the run."""
        began = time.monotonic()
        x, learner = self._batch(self.learner.step), self.learner
        error = (learner.network(x) - x) / (self._white * self._options.level)
        learner.learn((1 + error.square()).sqrt().mean(), began)
        if learner.to_check:
            error = self._error()
            if not self.checks or error < min(check.error for check in self.checks):
                self.best = self._weights()
            self.checks.append(Check(learner.step, learner.spent, error))
            learner.keep(best=self.best, checks=[tuple(check) for check in self.checks])

    def _weights(self) -> dict[str, Tensor]:
        """Those of the average as they are now."""
        return {name: tensor.clone() for name, tensor in self.learner.average.state_dict().items()}

    def _batch(self, k: int) -> Tensor:
        """Batch k: crops of one picture at one factor, in random orientations, (B, C, n, n)."""
        generator = np.random.Generator(np.random.Philox(key=np.array([self._options.seed, k], np.uint64)))
        picture = int(generator.choice(len(self._shares), p=self._shares))
        shortest = min(self._pictures[picture].shape[:2])
        factor = int(generator.choice([f for f in self._factors if f * SMALLEST <= shortest] or [1]))
        side = factor * min(_CROP, max(shortest // factor // SMALLEST * SMALLEST, min(shortest, SMALLEST)))
        crops: list[Tensor] = []
        for _ in range(_BATCH):
            place = anywhere(self._pictures, picture, side, self._held_out, generator)
            down, right = generator.integers(factor, size=2).tolist()
            crops.append(turned(place.cut(self._pictures)[:, down::factor, right::factor], generator))
        return torch.stack(crops) * self._white

    @torch.inference_mode()
    def _error(self) -> float:
        """The mean squared error of the average's predictions, by lattices of the factor."""
        places = self._held_out or [
            Place(0, 0, 0, min(self._pictures[0].shape[:2]) // self._options.factor * self._options.factor)
        ]
        errors: list[float] = []
        for place in places:
            x = to_lattices(place.cut(self._pictures)[None].contiguous(), self._options.factor)
            errors.append(float((self.learner.average(x * self._white) / self._white - x).square().mean()))
        return sum(errors) / len(errors)
