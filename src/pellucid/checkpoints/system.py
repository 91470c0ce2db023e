"""What the loader must know of a network: one `System` beside each adapter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


class UnstatedError(ValueError):
    """The weights do not say something that the caller must; the message names the keyword, as in `num_heads=(…)`."""


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
    settings: tuple[str, ...] = ()
    input_rule: Callable[[Any], str]
    licence: str
