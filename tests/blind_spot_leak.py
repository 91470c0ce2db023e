"""The exact test of a blind spot: outputs of a parity class must not change with the pixels of that class.

The matrices of the channel attention are sums over all pixels and are those of the first run in both runs.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from pellucid.layers import grouped_channel_attention
from pellucid.ops.channel_attention import folded_matrix

CLASSES = [(0, 0), (0, 1), (1, 0), (1, 1)]


@contextmanager
def _recorded(matrices: list[Tensor]) -> Generator[None]:
    """Add every channel-attention matrix to the list."""

    def record(*arguments: Any) -> Tensor:
        matrices.append(folded_matrix(*arguments))
        return matrices[-1]

    with mock.patch.object(grouped_channel_attention, "folded_matrix", record):
        yield


@contextmanager
def _replayed(matrices: list[Tensor]) -> Generator[None]:
    """Take the matrices from the list instead of computing them."""
    left = iter(matrices)
    with mock.patch.object(grouped_channel_attention, "folded_matrix", side_effect=left):
        yield
    assert next(left, None) is None


def others(a: int, b: int, picture: Tensor) -> Tensor:
    """The picture with every pixel of one parity class replaced."""
    changed = picture.clone()
    changed[..., a::2, b::2] = 255 * torch.rand_like(changed[..., a::2, b::2])
    return changed


def outputs(network: nn.Module, a: int, b: int, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Both outputs, the second for another class (a, b) and with the matrices of the first."""
    matrices: list[Tensor] = []
    with _recorded(matrices):
        first = network(picture)
    assert matrices
    with _replayed(matrices):
        return first, network(others(a, b, picture))


def leak(network: nn.Module) -> float:
    """By how much outputs of a class change with its inputs, at most, over the four classes."""
    changes = []
    for a, b in CLASSES:
        first, second = outputs(network, a, b, 255 * torch.rand(1, 3, 64, 64, dtype=torch.float64))
        changes.append(float((first - second)[..., a::2, b::2].abs().max()))
    return max(changes)
