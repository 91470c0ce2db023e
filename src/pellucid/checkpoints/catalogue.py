"""The networks that can be created and loaded, each with its adapter to the authors' weight files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from pellucid.checkpoints import restormer
from pellucid.models.restormer import RESTORMER_PRESETS, Restormer, RestormerConfig


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the papers' systems.

    Attributes:
        title: the name in the paper.
        network: builds the network from its configuration.
        config: the configuration's dataclass.
        presets: named configurations.
        recognise: whether tensors have the names of the authors' files.
        infer_config: the configuration that names and shapes determine.
        official_name: our name of a parameter → the authors'.
        licence: terms of the authors' weights, in a sentence.
    """

    title: str
    network: Callable[[Any], nn.Module]
    config: Callable[..., Any]
    presets: Mapping[str, Any]
    recognise: Callable[[Mapping[str, Tensor]], bool]
    infer_config: Callable[[Mapping[str, Tensor]], Any]
    official_name: Callable[[str], str]
    licence: str


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "restormer": System(
            title="Restormer",
            network=Restormer,
            config=RestormerConfig,
            presets=RESTORMER_PRESETS,
            recognise=restormer.recognise,
            infer_config=restormer.infer_config,
            official_name=restormer.official_name,
            licence="The authors' weights are for non-commercial use.",
        ),
    }
)
