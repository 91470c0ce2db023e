"""What TBSN lets through its blind spot: how much an output changes with the pixels that it must not see.

`python benchmarks/blind_spot.py [--width 8 16 48] [--side 64]` takes networks of random weights, one block a stage, in
float64, on a random picture of values 0..255. It replaces all pixels of one parity class, then a single pixel, and
reports the largest change in that class, and at that pixel. With the channel attention's matrices of the first run the
change is exactly 0; with live matrices, which are sums over the whole picture, a trace of it is left.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from pellucid.layers import grouped_channel_attention
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.ops.channel_attention import folded_matrix


@contextmanager
def matrices_from(function: Callable[..., Tensor]) -> Iterator[None]:
    """Let every channel attention take its matrix from a function of what it is computed from."""
    with mock.patch.object(grouped_channel_attention, "folded_matrix", function):
        yield


def changes(network: TBSN, picture: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
    """Return how outputs change with the picture, with the matrices of the first run and with live ones."""
    matrices: list[Tensor] = []

    def record(*arguments: Any) -> Tensor:
        matrices.append(folded_matrix(*arguments))
        return matrices[-1]

    with matrices_from(record):
        before = network(picture)
    left = iter(matrices)
    with matrices_from(lambda *_: next(left)):
        frozen = network(changed)
    return (frozen - before).abs(), (network(changed) - before).abs()


def measure(width: int, side: int) -> dict[str, float]:
    """Measure one network."""
    network = TBSN(TBSNConfig(width=width, blocks=(1, 1, 1), refinement=1)).double().eval()
    picture = 255 * torch.rand(1, 3, side, side, dtype=torch.float64)
    other_class, other_pixel = picture.clone(), picture.clone()
    other_class[..., ::2, ::2] = 255 * torch.rand_like(other_class[..., ::2, ::2])
    row = column = side // 4 * 2
    other_pixel[..., row, column] = 255 - picture[..., row, column]
    frozen, live = changes(network, picture, other_class)
    frozen_pixel, live_pixel = changes(network, picture, other_pixel)
    return {
        "class, matrices of the first run": float(frozen[..., ::2, ::2].max()),
        "class, live matrices": float(live[..., ::2, ::2].max()),
        "pixel, matrices of the first run": float(frozen_pixel[..., row, column].max()),
        "pixel, live matrices": float(live_pixel[..., row, column].max()),
        "other classes, for comparison": float(frozen[..., 1::2, :].max()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", nargs="+", type=int, default=[8, 16, 48])
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    for width in options.width:
        for name, change in measure(width, options.side).items():
            print(f"width {width:3}  {name:34} {change:.1e}")


if __name__ == "__main__":
    main()
