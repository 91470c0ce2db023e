"""What the loader must know of a network: one `System` beside each adapter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn


class UnstatedError(ValueError):
    """The weights do not say something that the caller must; the message names the keyword, as in `num_heads=(…)`."""


class Restoration(NamedTuple):
    """How a network restores pictures, and what that costs.

    Attributes:
        channels: of its input and output.
        multiple: what it pads height and width to inside; tiles start at multiples of this.
        overlap: pixels that neighbouring tiles share, so that the joints show no more than with any larger overlap; a
            multiple of `multiple`.
        bytes_per_pixel: memory in float32 for each pixel of its padded input while it runs, the input and the output
            among it. A formula held against measurements by `benchmarks/cost.py`. Reduced precision needs less, but a
            tile that overflows in it is computed again.
        bytes_fixed: memory that it takes besides, whatever the size of the input; not the parameters.
        scale: factor by which height and width grow.
        white: the value of white in its input and output.
    """

    channels: int
    multiple: int
    overlap: int
    bytes_per_pixel: int
    bytes_fixed: int = 0
    scale: int = 1
    white: float = 1.0

    def bytes(self, height: int, width: int) -> int:
        """Memory that an input of this size takes while the network runs."""
        rows, columns = (round_up(side, self.multiple) for side in (height, width))
        return self.bytes_fixed + self.bytes_per_pixel * rows * columns

    def widest(self, height: int, memory: int) -> int:
        """The largest multiple for which an input of this height and that width takes no more than `memory` bytes."""
        rows = round_up(height, self.multiple)
        columns = (memory - self.bytes_fixed) // (self.bytes_per_pixel * rows)
        return max(0, columns // self.multiple * self.multiple)


def round_up(pixels: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not less than `pixels`."""
    return -(-pixels // multiple) * multiple


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the papers' systems.

    Attributes:
        title: the name in the paper.
        network: builds the network from its configuration.
        config: the configuration's dataclass.
        presets: named configurations.
        recognise: whether tensors have the names of the authors' files.
        infer_config: (tensors under the authors' names, **settings) → the configuration; raises KeyError or ValueError
            where the tensors do not form the network, and UnstatedError where they leave something open.
        official_name: our name of a parameter or buffer → the authors'.
        dismiss: an authors' name → why a tensor of that name is left out, such as "rebuilt from the sizes"; None for
            a tensor that is used.
        adapt: (our name, the authors' tensor) → our tensor; for the rare values that are stored otherwise.
        restoration: a configuration → how it restores or enlarges pictures; None for one that does something else.
        settings: keywords of `load` for what the authors' files leave open.
        input_rule: a configuration → what the network takes, in a sentence.
        licence: terms of the authors' weights, in a sentence.
    """

    title: str
    network: Callable[[Any], nn.Module]
    config: Callable[..., Any]
    presets: Mapping[str, Any]
    recognise: Callable[[Mapping[str, Tensor]], bool]
    infer_config: Callable[..., Any]
    official_name: Callable[[str], str]
    dismiss: Callable[[str], str | None] = lambda _: None
    adapt: Callable[[str, Tensor], Tensor] = lambda _, tensor: tensor
    restoration: Callable[[Any], Restoration | None] = lambda _: None
    settings: tuple[str, ...] = ()
    input_rule: Callable[[Any], str]
    licence: str
