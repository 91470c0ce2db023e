"""The recipes, by the names that `pellucid train` takes."""

import math
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
    RealWorld,
    Reduction,
    UndoneShake,
)
from pellucid.models.fftformer import FFTFORMER_PRESETS
from pellucid.models.grl import GRL_PRESETS
from pellucid.models.restormer import RESTORMER_PRESETS
from pellucid.models.tbsn import TBSN_PRESETS
from pellucid.models.tbsn_unet import TBSNUNetConfig
from pellucid.tasks.unshaken import SHAKE
from pellucid.training.recipes import Cosine, Phase, Recipe, Staircase

_SMALL = RESTORMER_PRESETS["small"]
# Blur and streaks are longer than the smallest crops of the other tasks.
_LARGER_CROPS = (Phase(4500, 4, 96), Phase(6000, 3, 128))

# For a few hours on a processor. All but the first go on from its weights: `--start restormer-denoise-s`.
_DENOISE = Recipe(
    task="denoise",
    network=_SMALL,
    degradation=GaussianNoise(sigma=(0.0, 55.0)),
    phases=(Phase(4200, 16, 64), Phase(5400, 12, 96), Phase(6000, 8, 128)),
)
_DEJPEG = Recipe(
    task="dejpeg",
    network=_SMALL,
    degradation=JpegCompression(),
    vivid_share=0.1,
    grey_share=0.25,
    phases=(Phase(3600, 8, 64), Phase(5200, 4, 96), Phase(6000, 4, 128)),
    matrix_lr=0.005,
    schedule=Cosine(warmup=30),
    ema=0.98,
)
_REDUCED = replace(_DEJPEG, task="sr", scale=2, degradation=Reduction(scale=2), grey_share=0.1)
_BLURRED = replace(_DEJPEG, vivid_share=0.0, phases=_LARGER_CROPS)

# Restormer, section 4, and its training files: no average, no Muon. The paper mixes pairs of crops for denoising, which
# is not done here; its other tasks are learned from photographed pairs, here from the degradations that are stated.
_RESTORMER = Recipe(
    task="denoise",
    network=RESTORMER_PRESETS["base"],
    degradation=GaussianNoise(sigma=(0.0, 50.0)),
    phases=(
        Phase(92_000, 64, 128),
        Phase(156_000, 40, 160),
        Phase(204_000, 32, 192),
        Phase(240_000, 16, 256),
        Phase(276_000, 8, 320),
        Phase(300_000, 8, 384),
    ),
    lr=3e-4,
    matrix_lr=0.0,
    beta2=0.999,
    weight_decay=1e-4,
    schedule=Cosine(warmup=0, hold=92_000, floor=1e-6 / 3e-4),
    clip=0.01,
    ema=0.0,
)
# GRL's training files, for eight GPUs; the authors' denoisers went on from a first stage that they did not publish. Its
# networks for super-resolution enlarge by themselves, which no recipe here trains.
_GRL = Recipe(
    task="denoise",
    network=GRL_PRESETS["base-denoise"],
    degradation=GaussianNoise(sigma=(0.0, 50.0)),
    phases=(Phase(225_000, 8, 256),),
    lr=1e-4,
    matrix_lr=0.0,
    beta2=0.999,
    weight_decay=1e-4,
    schedule=Staircase(milestones=(100_000, 150_000, 175_000, 200_000)),
    clip=math.inf,
    ema=0.0,
)
_GRL_CHARBONNIER = replace(_GRL, loss="charbonnier")

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "restormer-denoise-s": _DENOISE,
        "restormer-denoise-s-vivid": replace(
            _DENOISE,
            vivid_share=0.5,
            phases=(Phase(700, 8, 128),),
            matrix_lr=0.002,
            lr=3e-4,
            ema=0.99,
            seed=1,
        ),
        "restormer-dejpeg-s": _DEJPEG,
        "restormer-sr-x2-s": _REDUCED,
        "restormer-sr-x4-s": replace(
            _REDUCED,
            scale=4,
            network=replace(_SMALL, unshuffle=4),
            degradation=Reduction(scale=4),
            phases=(Phase(3600, 8, 128), Phase(5200, 6, 192), Phase(6000, 4, 256)),
        ),
        # Of strong blur a small network would only learn that there is no hope. So the tool undoes it with a kernel
        # read off the picture, and the network learns to remove the ringing and grain that this leaves.
        "restormer-deblur-s": replace(
            _BLURRED,
            task="deblur",
            prepare=SHAKE,
            degradation=UndoneShake(),
            grey_share=0.1,
            phases=(Phase(2000, 4, 96), Phase(3000, 3, 128)),
        ),
        "restormer-defocus-s": replace(_BLURRED, task="defocus", degradation=Defocus(), grey_share=0.1),
        "restormer-demosaic-s": replace(_DEJPEG, task="demosaic", degradation=Bayer(), vivid_share=0.3, grey_share=0.0),
        "restormer-derain-s": replace(
            _DEJPEG,
            task="derain",
            degradation=Rain(),
            vivid_share=0.1,
            grey_share=0.1,
            plain_share=0.05,
            phases=_LARGER_CROPS,
        ),
        # Where learning from a person's own noisy pictures begins: a blind-spot network, and one that learns from it.
        "tbsn-denoise-s": replace(
            _DEJPEG,
            task="denoise",
            network=TBSN_PRESETS["small"],
            degradation=GaussianNoise(sigma=(0.0, 75.0)),
            phases=(Phase(4500, 4, 64), Phase(6500, 3, 96), Phase(7500, 2, 128)),
            matrix_lr=0.015,
            ema=0.99,
        ),
        "tbsn-unet-denoise-s": replace(
            _DEJPEG,
            task="denoise",
            network=TBSNUNetConfig(width=32),
            degradation=GaussianNoise(sigma=(0.0, 75.0)),
            phases=(Phase(4500, 8, 64), Phase(6500, 8, 96), Phase(7500, 4, 128)),
            ema=0.99,
        ),
        # Noise, softness and JPEG together, as pictures from the web have them.
        "restormer-real-s": replace(_DEJPEG, task="denoise", degradation=RealWorld(), phases=_LARGER_CROPS),
        # What follows are the papers' settings, for several GPUs and days.
        "restormer-denoise": replace(_RESTORMER, network=RESTORMER_PRESETS["base-denoise"]),
        "restormer-deblur": replace(_RESTORMER, task="deblur", degradation=CameraShake()),
        "restormer-defocus": replace(_RESTORMER, task="defocus", degradation=Defocus()),
        "restormer-derain": replace(_RESTORMER, task="derain", degradation=Rain()),
        # FFTformer's training file; the paper's own run had 256-pixel crops and 600,000 steps.
        "fftformer-deblur": replace(
            _RESTORMER,
            task="deblur",
            network=FFTFORMER_PRESETS["base"],
            degradation=CameraShake(),
            frequency=0.1,
            phases=(Phase(300_000, 64, 128),),
            lr=1e-3,
            beta2=0.9,
            weight_decay=1e-3,
            schedule=Cosine(warmup=0, floor=1e-7 / 1e-3),
        ),
        "grl-denoise": _GRL,
        "grl-dejpeg": replace(
            _GRL_CHARBONNIER,
            task="dejpeg",
            network=GRL_PRESETS["small-jpeg"],
            degradation=JpegCompression(),
            phases=(Phase(175_000, 8, 288),),
            schedule=Staircase(milestones=(50_000, 100_000, 125_000, 150_000)),
        ),
        "grl-demosaic": replace(
            _GRL_CHARBONNIER,
            task="demosaic",
            network=GRL_PRESETS["small-demosaic"],
            degradation=Bayer(),
            phases=(Phase(1_000_000, 32, 64),),
            lr=2e-4,
            schedule=Staircase(milestones=(400_000, 700_000, 850_000, 900_000, 950_000), warmup=50_000),
        ),
        "grl-deblur": replace(
            _GRL_CHARBONNIER,
            task="deblur",
            network=GRL_PRESETS["base-deblur"],
            degradation=CameraShake(),
            phases=(Phase(40_000, 8, 480),),
            lr=1e-5,
            schedule=Staircase(milestones=()),
        ),
        "grl-defocus": replace(
            _GRL_CHARBONNIER,
            task="defocus",
            network=GRL_PRESETS["base-defocus"],
            degradation=Defocus(),
            phases=(Phase(80_000, 8, 480),),
            lr=5e-5,
            schedule=Staircase(milestones=(20_000, 40_000, 60_000, 70_000)),
        ),
    }
)
