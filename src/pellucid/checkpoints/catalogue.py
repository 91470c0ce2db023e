"""The networks that can be created and loaded: one line each."""

from collections.abc import Mapping
from types import MappingProxyType

from pellucid.checkpoints import grl, restormer
from pellucid.checkpoints.system import System

SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "grl": grl.SYSTEM,
        "restormer": restormer.SYSTEM,
    }
)
