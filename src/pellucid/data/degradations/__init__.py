"""Degradations: pure functions of a clean picture, their parameters and a random generator.

One file for each theme; `drawn` holds those that draw their parameters for every crop, one for each task.
"""

from pellucid.data.degradations.blur import blurred, disc_kernel, gaussian_kernel, motion_kernel
from pellucid.data.degradations.drawn import (
    Bayer,
    CameraShake,
    Defocus,
    Degradation,
    GaussianNoise,
    JpegCompression,
    Rain,
    RealWorld,
    Reduction,
    UndoneShake,
)
from pellucid.data.degradations.jpeg import jpeg
from pellucid.data.degradations.noise import gaussian_noise, poisson_gaussian_noise
from pellucid.data.degradations.rain import rain_layer

__all__ = [
    "Bayer",
    "CameraShake",
    "Defocus",
    "Degradation",
    "GaussianNoise",
    "JpegCompression",
    "Rain",
    "RealWorld",
    "Reduction",
    "UndoneShake",
    "blurred",
    "disc_kernel",
    "gaussian_kernel",
    "gaussian_noise",
    "jpeg",
    "motion_kernel",
    "poisson_gaussian_noise",
    "rain_layer",
]
