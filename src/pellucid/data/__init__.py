"""Pictures to train on and to measure with, and the degradations that networks learn to undo."""

from pellucid.data.degradations import Degradation, gaussian_noise
from pellucid.data.pictures import PictureFolders, picture_paths, read_rgb8
from pellucid.data.samples import Pair, batched, degraded_pair

__all__ = [
    "Degradation",
    "Pair",
    "PictureFolders",
    "batched",
    "degraded_pair",
    "gaussian_noise",
    "picture_paths",
    "read_rgb8",
]
