"""Degradations: pure functions of a clean picture, their parameters and a random generator."""

import numpy as np
from numpy.typing import NDArray


def gaussian_noise(clean: NDArray[np.float32], sigma: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Add white Gaussian noise of standard deviation `sigma`, on the scale 0..255, to values in 0..1; not clipped."""
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    noise *= np.float32(sigma / 255)
    noise += clean
    return noise
