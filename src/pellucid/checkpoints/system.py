"""What the loader must know of a network: one `System` beside each adapter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn


class UnstatedError(ValueError):
    """The weights do not say something that the caller must; the message names the keyword, as in `num_heads=(…)`."""


class Restoration(NamedTuple):
    """How a network restores pictures without changing their size.

    Attributes:
        channels: of its input and output.
        multiple: what it pads height and width to inside; tiles start at multiples of this.
        bytes_per_pixel: memory that it needs for each pixel of a tile, in float32.
        white: the value of white in its input and output.
    """

    channels: int
    multiple: int
    bytes_per_pixel: int
    white: float = 1.0


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
        restoration: a configuration → how it restores pictures; None for a network that does something else.
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
