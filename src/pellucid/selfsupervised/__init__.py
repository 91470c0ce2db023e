"""Learning to denoise from noisy pictures alone: from pictures to weights, and to the same pictures without noise."""

from pellucid.selfsupervised.denoise import Beginning, Learned, Learning, LearnOptions, Quality, denoise_self, learn
from pellucid.selfsupervised.noise import Noise, describe, measure_noise
from pellucid.selfsupervised.page import write_page

__all__ = [
    "Beginning",
    "LearnOptions",
    "Learned",
    "Learning",
    "Noise",
    "Quality",
    "denoise_self",
    "describe",
    "learn",
    "measure_noise",
    "write_page",
]
