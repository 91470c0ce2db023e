"""Noise of sensors."""

import numpy as np
from numpy.typing import NDArray


def gaussian_noise(clean: NDArray[np.float32], sigma: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Add white Gaussian noise of standard deviation `sigma`, on the scale 0..255, to values in 0..1; not clipped."""
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    noise *= np.float32(sigma / 255)
    noise += clean
    return noise


def poisson_gaussian_noise(
    clean: NDArray[np.float32], photons: float, sigma: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Add the noise of counting photons and of reading them out, to values in 0..1; not clipped.

    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", 2008: the variance of a value x is x / photons + (sigma / 255)².

    Args:
        clean: values.
        photons: counted where the value is 1.
        sigma: standard deviation of the read-out noise on the scale 0..255.
        generator: of the noise.
    """
    counted = generator.poisson(np.maximum(clean, 0) * photons) / photons
    return gaussian_noise(counted.astype(np.float32), sigma, generator)
