"""The networks that can be created and loaded: one line each."""

from collections.abc import Mapping
from types import MappingProxyType

from pellucid.checkpoints import catnet, cloformer, fftformer, gfnet, gfnet_h, grl, restormer, tbsn, tbsn_unet
from pellucid.checkpoints.system import System

SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "fftformer": fftformer.SYSTEM,
        "restormer": restormer.SYSTEM,
        "tbsn": tbsn.SYSTEM,
        "tbsn-unet": tbsn_unet.SYSTEM,
        "gfnet": gfnet.SYSTEM,
        "gfnet-h": gfnet_h.SYSTEM,
        "catnet": catnet.SYSTEM,
        "grl": grl.SYSTEM,
        "cloformer": cloformer.SYSTEM,
    }
)
