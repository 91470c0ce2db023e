"""What a recipe is: everything that determines a run, except where its pictures are."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pellucid.data import Degradation


class Phase(NamedTuple):
    """A part of a run with one size of batch: progressive learning, Restormer (CVPR 2022), section 3.3."""

    until: int  # step at which the phase ends
    batch: int
    crop: int  # side in pixels


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up, the peak held, then half a cosine down to a share `floor` of the peak at the last step."""

    warmup: int = 150
    hold: int = 0
    floor: float = 0.0

    def __call__(self, step: int, steps: int) -> float:
        """Share of the peak learning rate in the step after `step` of `steps`."""
        share = max(step - self.hold, 0) / max(steps - self.hold, 1)
        fall = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))
        return min(1.0, (step + 1) / max(self.warmup, 1)) * fall


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """Linear warm-up, then the peak, halved at each of some steps."""

    milestones: tuple[int, ...]
    warmup: int = 0

    def __call__(self, step: int, steps: int) -> float:
        """Share of the peak learning rate in the step after `step`; it does not depend on the run's length."""
        del steps
        return min(1.0, (step + 1) / max(self.warmup, 1)) * 0.5 ** sum(step >= at for at in self.milestones)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network, what it learns to undo, and how it is trained.

    Attributes:
        task: what the network is for; written into its weights, as `scale` is.
        scale: how much larger the result is than the picture a person has; 1 but for super-resolution.
        prepare: what is to be done to a picture before the network sees it, a word of `pellucid.tasks.unshaken`;
            written into the weights unless it is empty.
        network: the configuration of what is trained.
        degradation: what the network learns to undo.
        vivid_share: share of the crops whose colours are changed, so that pure colours are seen too.
        grey_share: share of the crops that are grey, so that grey pictures are served as well.
        plain_share: share of the crops that have one colour and are clean, so that such areas are left alone.
        loss: mean |Δ| ("l1"), or mean √(Δ² + 10⁻⁶) ("charbonnier").
        frequency: weight of the mean |difference of the Fourier transforms|, added to the loss.
        phases: batch and crop sizes; the last phase's end is the length of the run.
        lr: peak learning rate of AdamW.
        matrix_lr: peak learning rate of Muon, for convolutions that mix channels; 0 leaves them to AdamW.
        beta2: AdamW's memory of squared gradients; β₁ is 0.9.
        weight_decay: of AdamW.
        schedule: the learning rates' course.
        clip: largest norm of the gradient.
        ema: share of the average kept at each step.
        precision: of the network's computations; weights and losses are float32 in any case.
        seed: of initial weights and samples.
    """

    task: str
    scale: int = 1
    prepare: str = ""
    network: Any
    degradation: Degradation
    vivid_share: float = 0.0
    grey_share: float = 0.0
    plain_share: float = 0.0
    loss: Literal["l1", "charbonnier"] = "l1"
    frequency: float = 0.0
    phases: tuple[Phase, ...]
    lr: float = 1e-3
    matrix_lr: float = 0.007
    beta2: float = 0.99
    weight_decay: float = 0.0
    schedule: Cosine | Staircase = Cosine()
    clip: float = 0.5
    ema: float = 0.998
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    @property
    def steps(self) -> int:
        """Length of the run in optimizer steps."""
        return self.phases[-1].until

    def phase_at(self, step: int) -> Phase:
        """Return the phase that the step after `step` steps belongs to."""
        return next(phase for phase in self.phases if step < phase.until)
