"""Learning to restore pictures from these pictures alone."""

from pellucid.selfsupervised.noise import Noise, describe, measure_noise

__all__ = ["Noise", "describe", "measure_noise"]
