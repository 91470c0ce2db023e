"""The networks that can be created and loaded: one line each."""

from collections.abc import Mapping
from types import MappingProxyType

from pellucid.checkpoints import gfnet, gfnet_h, restormer
from pellucid.checkpoints.system import System

SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "restormer": restormer.SYSTEM,
        "gfnet": gfnet.SYSTEM,
        "gfnet-h": gfnet_h.SYSTEM,
    }
)
