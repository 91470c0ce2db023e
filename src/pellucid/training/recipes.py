"""Training recipes: everything that determines a run, except where its pictures are."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from pellucid.models.restormer import RESTORMER_PRESETS, RestormerConfig


class Phase(NamedTuple):
    """A part of a run with one size of batch: progressive learning, Restormer (CVPR 2022), section 3.3."""

    until: int  # step at which the phase ends
    batch: int
    crop: int  # side in pixels


@dataclass(frozen=True, kw_only=True)
class DenoisingRecipe:
    """Blind Gaussian denoising.

    Attributes:
        network: what is trained.
        sigma: lowest and highest noise level, drawn uniformly for each crop, on the scale 0..255.
        vivid_share: share of the crops whose colours are changed, so that pure colours are seen too.
        phases: batch and crop sizes; the last phase's end is the length of the run.
        matrix_lr: peak learning rate of Muon, for convolutions that mix channels.
        other_lr: peak learning rate of AdamW, for all other parameters.
        warmup: steps of linear warm-up before the cosine decay to zero.
        clip: largest norm of the gradient.
        ema: share of the average kept at each step.
        seed: of initial weights and samples.
    """

    network: RestormerConfig
    sigma: tuple[float, float] = (0.0, 55.0)
    vivid_share: float = 0.0
    phases: tuple[Phase, ...]
    matrix_lr: float = 0.007
    other_lr: float = 1e-3
    warmup: int = 150
    clip: float = 0.5
    ema: float = 0.998
    seed: int = 0

    @property
    def steps(self) -> int:
        """Length of the run in optimizer steps."""
        return self.phases[-1].until


RECIPES: Mapping[str, DenoisingRecipe] = MappingProxyType(
    {
        "restormer-denoise-s": DenoisingRecipe(
            network=RESTORMER_PRESETS["small"],
            phases=(Phase(4200, 16, 64), Phase(5400, 12, 96), Phase(6000, 8, 128)),
        ),
        # Goes on from the weights of the above (`--start`).
        "restormer-denoise-s-vivid": DenoisingRecipe(
            network=RESTORMER_PRESETS["small"],
            vivid_share=0.5,
            phases=(Phase(700, 8, 128),),
            matrix_lr=0.002,
            other_lr=3e-4,
            ema=0.99,
            seed=1,
        ),
    }
)
