"""The networks that can be created and loaded: one line each."""

from collections.abc import Mapping
from types import MappingProxyType

from pellucid.checkpoints import catnet, restormer
from pellucid.checkpoints.system import System

SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "restormer": restormer.SYSTEM,
        "catnet": catnet.SYSTEM,
    }
)
