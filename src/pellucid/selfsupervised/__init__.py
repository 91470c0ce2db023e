"""Learning to denoise from noisy pictures alone: from pictures to weights, and to the same pictures without noise."""

from pellucid.selfsupervised.denoise import Learned, Learning, LearnOptions, denoise_self, learn
from pellucid.selfsupervised.noise import Noise, measure_noise

__all__ = ["LearnOptions", "Learned", "Learning", "Noise", "denoise_self", "learn", "measure_noise"]
