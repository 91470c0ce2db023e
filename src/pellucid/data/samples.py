"""Training samples: sample k depends only on the seed, k and the pictures, so a run can go on where it stopped."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data.degradations.drawn import Degradation, rounded
from pellucid.data.pictures import PictureFolders

_GREY = np.array([[0.299], [0.587], [0.114]], np.float32)  # luma of BT.601


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


def plain(size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A square of one colour, every second time a corner of the colour cube, such as white.

    Where the border of a picture is filled up with its own colours, a network that never saw them in large may take
    them for what it is to remove.
    """
    colour = generator.random(3) if generator.integers(2) else generator.integers(2, size=3)
    return np.broadcast_to(colour.astype(np.float32), (size, size, 3))


def degraded_pair(
    pictures: PictureFolders,
    k: int,
    degradation: Degradation,
    *,
    seed: int,
    size: int,
    vivid_share: float = 0.0,
    grey_share: float = 0.0,
    plain_share: float = 0.0,
) -> Pair:
    """Return sample k: a clean crop, and what the network has to restore it from.

    Args:
        pictures: every picture is equally likely.
        k: number of the sample.
        degradation: what is done to the crop.
        seed: of the run.
        size: side of the crop; a multiple of the degradation's.
        vivid_share: share of the samples whose colours are changed.
        grey_share: share of the samples that are grey: spoiled in one channel, which is then repeated.
        plain_share: share of the samples that have one colour and are not spoiled.

    Raises:
        ValueError: the size is not a multiple of the degradation's.
    """
    if size % degradation.multiple:
        raise ValueError(f"a crop of {size} pixels is not a multiple of {degradation.multiple}")
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, k], dtype=np.uint64)))
    picture = pictures[int(generator.integers(len(pictures)))]
    clean = random_crop(picture, size + 2 * degradation.margin, generator)
    if vivid_share and generator.random() < vivid_share:
        clean = vivid(clean, generator)
    if grey_share and generator.random() < grey_share:
        clean = rounded(clean @ _GREY)
    if plain_share and generator.random() < plain_share:
        spoiled = clean = plain(size + 2 * degradation.margin, generator)
    else:
        spoiled = degradation(clean, generator)
    inside = slice(degradation.margin, degradation.margin + size)
    pair = (values[inside, inside] for values in (clean, spoiled))
    return Pair(*(torch.from_numpy(_colour(values)).permute(2, 0, 1) for values in pair))


def _colour(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.repeat(3, axis=2) if values.shape[2] == 1 else np.ascontiguousarray(values)


def batched(pairs: Sequence[Pair]) -> Pair:
    """Return samples as one batch in channels-last memory."""
    return Pair(*(torch.stack(part).contiguous(memory_format=torch.channels_last) for part in zip(*pairs, strict=True)))
