"""Training samples: sample k depends only on the seed, k and the pictures, so a run can go on where it stopped."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data.degradations import gaussian_noise
from pellucid.data.pictures import PictureFolders


class Pair(NamedTuple):
    """A clean crop and its degraded version, each (C, size, size), or (B, C, size, size) in a batch."""

    clean: Tensor
    degraded: Tensor


def random_crop(picture: NDArray[np.uint8], size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Cut a square at random, in one of the eight orientations, as values 0..1; small pictures are reflected first."""
    short = [max(size - length, 0) for length in picture.shape[:2]]
    if any(short):
        picture = np.pad(picture, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    height, width = int(picture.shape[0]), int(picture.shape[1])
    top = int(generator.integers(height - size + 1))
    left = int(generator.integers(width - size + 1))
    crop = np.rot90(picture[top : top + size, left : left + size], int(generator.integers(4)))
    if generator.integers(2):
        crop = crop[:, ::-1]
    return crop.astype(np.float32) / np.float32(255)


def vivid(crop: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Change the colours of a crop: permute the channels, scale the saturation by 0..3 and each channel by ½..3/2.

    Photographs seldom show pure colours in full; a network that never saw them may do anything there.
    """
    crop = crop[..., generator.permutation(3)]
    grey = crop.mean(axis=2, keepdims=True)
    coloured = grey + np.float32(generator.uniform(0, 3)) * (crop - grey)
    coloured *= generator.uniform(0.5, 1.5, size=3).astype(np.float32)
    return coloured.clip(0, 1)


def denoising_pair(
    pictures: PictureFolders, k: int, *, seed: int, size: int, sigma: tuple[float, float], vivid_share: float = 0.0
) -> Pair:
    """Return sample k of blind denoising.

    Args:
        pictures: every picture is equally likely.
        k: number of the sample.
        seed: of the run.
        size: side of the crop.
        sigma: the noise level is uniform between these, on the scale 0..255.
        vivid_share: share of the samples whose colours are changed.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, k], dtype=np.uint64)))
    clean = random_crop(pictures[int(generator.integers(len(pictures)))], size, generator)
    if vivid_share and generator.random() < vivid_share:
        clean = vivid(clean, generator)
    noisy = gaussian_noise(clean, generator.uniform(*sigma), generator)
    return Pair(*(torch.from_numpy(np.ascontiguousarray(a)).permute(2, 0, 1) for a in (clean, noisy)))


def denoising_batch(
    pictures: PictureFolders,
    first: int,
    count: int,
    *,
    seed: int,
    size: int,
    sigma: tuple[float, float],
    vivid_share: float = 0.0,
) -> Pair:
    """Return samples first … first + count − 1 as one batch in channels-last memory; see `denoising_pair`."""
    pairs = [
        denoising_pair(pictures, k, seed=seed, size=size, sigma=sigma, vivid_share=vivid_share)
        for k in range(first, first + count)
    ]
    return Pair(*(torch.stack(part).contiguous(memory_format=torch.channels_last) for part in zip(*pairs, strict=True)))
