"""What a row of the contracts says; see `contracts`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).parent.parent / "golden"


@dataclass(frozen=True, kw_only=True)
class OpRow:
    """An op.

    Attributes:
        op: the public function; `reference` and `fast` those of its modules, called with the same arguments.
        inputs: (batch, height, width) → all arguments, tensors in float64; pictures are (B, H, W, C).
        pictures: how many of the leading arguments have a batch axis.
        fast_dtypes: those in which `fast` itself must run; `op` must take any.
    """

    name: str
    op: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    fast: Callable[..., Tensor]
    inputs: Callable[[int, int, int], tuple[Any, ...]]
    pictures: int
    fast_dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)


@dataclass(frozen=True, kw_only=True)
class ModuleRow:
    """A layer or network.

    Attributes:
        make: builds it, small.
        channels: channels of the input, which is (B, C, H, W).
        result: (height, width) → shape of the output without the batch.
        sizes: heights and widths it must take; the last is used where one is enough, and has 17 rows or more so that
            it can be cut into stripes.
    """

    name: str
    make: Callable[[], nn.Module]
    channels: int
    result: Callable[[int, int], tuple[int, ...]]
    sizes: tuple[tuple[int, int], ...] = ((1, 1), (1, 5), (7, 2), (19, 11))


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """A golden file in `golden/`: NAME.pth as the authors save it, NAME.io.safetensors with `input` and `output`.

    A network of several inputs has them as `input.0`, `input.1`, ….

    Attributes:
        system: its name in the catalogue.
        settings: keywords of `load`, for what the file leaves open.
    """

    name: str
    system: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return GOLDEN / f"{self.name}.pth"


def randn(*shape: int) -> Tensor:
    """Normal values in float64."""
    return torch.randn(shape, dtype=torch.float64)
