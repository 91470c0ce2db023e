"""The recipes."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pellucid.data.degradations import (
    Bayer,
    CameraShake,
    Defocus,
    GaussianNoise,
    JpegCompression,
    Rain,
    Reduction,
)
from pellucid.models.restormer import RESTORMER_PRESETS
from pellucid.training.recipes import Cosine, Phase, Recipe

_SMALL = RESTORMER_PRESETS["small"]
_PHASES = (Phase(3600, 8, 64), Phase(5200, 4, 96), Phase(6000, 4, 128))
# Blur and streaks are longer than the smallest crops.
_WIDE_PHASES = (Phase(4500, 4, 96), Phase(6000, 3, 128))

# All but the first are meant to go on from the denoiser's weights: `--start restormer-denoise-s`.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "restormer-denoise-s": Recipe(
            task="denoise",
            network=_SMALL,
            degradation=GaussianNoise(sigma=(0.0, 55.0)),
            phases=(Phase(4200, 16, 64), Phase(5400, 12, 96), Phase(6000, 8, 128)),
        ),
        "restormer-denoise-s-vivid": Recipe(
            task="denoise",
            network=_SMALL,
            degradation=GaussianNoise(sigma=(0.0, 55.0)),
            vivid_share=0.5,
            phases=(Phase(700, 8, 128),),
            matrix_lr=0.002,
            lr=3e-4,
            ema=0.99,
            seed=1,
        ),
        "restormer-dejpeg-s": Recipe(
            task="dejpeg",
            network=_SMALL,
            degradation=JpegCompression(),
            vivid_share=0.1,
            grey_share=0.25,
            phases=_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-sr-x2-s": Recipe(
            task="sr",
            scale=2,
            network=_SMALL,
            degradation=Reduction(scale=2),
            vivid_share=0.1,
            grey_share=0.1,
            phases=_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-sr-x4-s": Recipe(
            task="sr",
            scale=4,
            network=replace(_SMALL, unshuffle=4),
            degradation=Reduction(scale=4),
            vivid_share=0.1,
            grey_share=0.1,
            phases=(Phase(3600, 8, 128), Phase(5200, 6, 192), Phase(6000, 4, 256)),
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-deblur-s": Recipe(
            task="deblur",
            network=_SMALL,
            degradation=CameraShake(),
            grey_share=0.25,
            frequency=0.1,
            phases=_WIDE_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-demosaic-s": Recipe(
            task="demosaic",
            network=_SMALL,
            degradation=Bayer(),
            vivid_share=0.3,
            phases=_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-defocus-s": Recipe(
            task="defocus",
            network=_SMALL,
            degradation=Defocus(),
            grey_share=0.1,
            frequency=0.1,
            phases=_WIDE_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
        "restormer-derain-s": Recipe(
            task="derain",
            network=_SMALL,
            degradation=Rain(),
            grey_share=0.1,
            phases=_WIDE_PHASES,
            matrix_lr=0.005,
            schedule=Cosine(warmup=30),
            ema=0.98,
        ),
    }
)
