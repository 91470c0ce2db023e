"""What is measured, and how the plain equations take a module's place."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer or network to measure.

    Attributes:
        make: builds it, with random weights.
        shape: of its input, (B, C, H, W).
        small_side: largest height and width of the input on which it is warmed up.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]
    small_side: int = 32

    @property
    def small_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input on which it is warmed up."""
        _, C, H, W = self.shape
        return 1, C, min(H, self.small_side), min(W, self.small_side)


@contextmanager
def plain_equations(plain: Mapping[type[nn.Module], Callable[..., Any]]) -> Generator[None]:
    """Compute each of the given classes, wherever it occurs, by its plain equation: a function of (module, *inputs)."""
    with ExitStack() as stack:
        for kind, equation in plain.items():
            stack.enter_context(mock.patch.object(kind, "forward", equation))
        yield
