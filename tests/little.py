"""What many tests need: a network of a few thousand weights, and pictures of a few hundred pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.images import Picture
from pellucid.models.restormer import Restormer, RestormerConfig

LITTLE: dict[str, Any] = {
    "width": 8,
    "blocks": (1, 1),
    "heads": (1, 2),
    "refinement": 1,
    "expansion": 2.0,
    "norm_bias": False,
    "unshuffle": 2,
}
MULTIPLE = RestormerConfig(**LITTLE).multiple


def little_network(change: float = 0.1, **fields: Any) -> Restormer:
    """A network of random weights; its output layer is scaled by `change`, and 0 makes it the exact identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Restormer(RestormerConfig(**{**LITTLE, **fields})).eval()
    with torch.no_grad():
        network.output.weight.mul_(change)
    return network


def saved(network: Restormer, path: Path) -> Path:
    checkpoints.save(network, "restormer", path)
    return path


def little_picture(height: int = 9, width: int = 13, channels: int = 3, bit_depth: int = 8, seed: int = 0) -> Picture:
    """Random values that the bit depth holds exactly, away from black and white so that small changes do not clip."""
    top = 2**bit_depth - 1
    values = np.random.default_rng(seed).integers(top // 4, 3 * top // 4, (height, width, channels))
    return Picture(pixels=(values / top).astype(np.float32), bit_depth=bit_depth)


def smooth_pixels(height: int, width: int) -> NDArray[np.uint8]:
    """A gentle colour gradient as (H, W, 3) bytes: what a denoiser can learn in no time."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(np.stack([x, y, (x + y) / 2], axis=2) * 200 + 25).astype(np.uint8)
