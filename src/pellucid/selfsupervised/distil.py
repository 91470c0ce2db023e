"""A small ordinary U-Net learns to do at once what a blind-spot network does in several passes.

Knowledge distillation as in TBSN, Li et al., AAAI 2025. The student sees the noisy pixel itself, so what it learns from
must be better than that: windows of the noisy pictures and what the teacher makes of them.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.models.tbsn_unet import TBSNUNet, TBSNUNetConfig
from pellucid.selfsupervised.learner import Learner
from pellucid.selfsupervised.start import begun
from pellucid.selfsupervised.windows import Pictures, anywhere, turned

_WIDTH = 32
_WINDOW, _CROP, _BATCH = 256, 96, 4
_TEACHING = 0.3  # share of the time that the teacher may take
_MOST_WINDOWS = 48
_SOFTENED = 1e-3  # √(Δ² + this²)


class DistilProgress(NamedTuple):
    """What a run reports after each step and window; `steps` is None until it is known."""

    windows: int
    step: int
    steps: int | None
    seconds: float


def distil(
    teacher: nn.Module,
    white: float,
    pictures: Pictures,
    *,
    seconds: float,
    steps: int | None = None,
    seed: int = 0,
    start: str | None = None,
    about: str = "",
    state: Path | None = None,
    report: Callable[[DistilProgress], None] = lambda _: None,
) -> TBSNUNet:
    """Train a student until the last step, going on from what `state` holds.

    Args:
        teacher: denoises (1, C, H, W) with values 0..white.
        white: of the teacher; the student's is 1.
        pictures: (H, W, C) each, C alike, values around 0..1.
        seconds: to take, about, the teacher's windows among them.
        steps: to take instead, with as many windows as that is worth.
        seed: of the first weights and the batches.
        start: weights for colour to begin with; None to begin with random ones.
        about: what the teacher and the pictures are, so that a state of others is not gone on from.
        state: a file to keep the run in.
        report: is told how it goes on.

    Raises:
        DataError: the state is of another run, or the loss became infinite.
    """
    channels = pictures[0].shape[2]
    config = TBSNUNetConfig(in_channels=channels, out_channels=channels, width=_WIDTH)
    learner = Learner(
        begun(TBSNUNet, config, seed=seed, start=start),
        gentle=start is not None,
        seconds=(1 - _TEACHING) * seconds,
        steps=steps,
        about=f"student {steps or seconds} {seed} {start} {about}",
        state=state,
    )
    lessons = _Lessons(teacher, white, pictures, seed)
    wanted = learner.kept.get("windows")
    began = time.monotonic()
    while len(lessons.pairs) < (wanted or _MOST_WINDOWS):
        lessons.take()
        report(DistilProgress(len(lessons.pairs), learner.step, learner.steps, learner.spent))
        if wanted is None and steps is None and time.monotonic() - began > _TEACHING * seconds:
            break
    while not learner.done:
        began = time.monotonic()
        noisy, target = lessons.batch(learner.step)
        error = learner.network(noisy) - target
        learner.learn((error.square() + _SOFTENED**2).sqrt().mean(), began)
        if learner.to_check:
            learner.keep(windows=len(lessons.pairs))
        report(DistilProgress(len(lessons.pairs), learner.step, learner.steps, learner.spent))
    return learner.average.eval()


class _Lessons:
    """Windows of the pictures and what the teacher makes of them; window k depends on the seed and k alone."""

    def __init__(self, teacher: nn.Module, white: float, pictures: Pictures, seed: int) -> None:
        self._teacher, self._white, self._pictures, self._seed = teacher, white, pictures, seed
        self.pairs: list[tuple[Tensor, Tensor]] = []

    @torch.inference_mode()
    def take(self) -> None:
        """Let the teacher denoise another window."""
        generator = self._generator(len(self.pairs), 1)
        picture = int(generator.integers(len(self._pictures)))
        side = min(_WINDOW, *self._pictures[picture].shape[:2])
        noisy = anywhere(self._pictures, picture, side, (), generator).cut(self._pictures)[None]
        self.pairs.append((noisy[0].clone(), (self._teacher(noisy * self._white)[0] / self._white).clone()))

    def batch(self, k: int) -> tuple[Tensor, Tensor]:
        """Batch k of crops, in random orientations: noisy and denoised."""
        generator = self._generator(k, 2)
        crops: list[Tensor] = []
        side = min(_CROP, *(pair[0].shape[-1] for pair in self.pairs))
        for _ in range(_BATCH):
            pair = torch.stack(self.pairs[int(generator.integers(len(self.pairs)))])
            top, left = generator.integers(pair.shape[-1] - side + 1, size=2).tolist()
            crops.append(turned(pair[..., top : top + side, left : left + side], generator))
        noisy, target = torch.stack(crops, dim=1)
        return noisy, target

    def _generator(self, k: int, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=np.array([self._seed + (purpose << 32), k], np.uint64)))
