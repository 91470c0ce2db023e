"""Print by how much each little network raises the peak of resident memory, as JSON; run as a program, on Linux.

One after another in one process, whose peak is counted anew for each; freed memory goes back to the system.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
import torch

from pellucid.checkpoints import SYSTEMS
from pellucid.cli.process import peak_resident_bytes
from pellucid.models.fftformer import FFTformerConfig
from pellucid.models.grl import GRLConfig
from pellucid.models.restormer import RestormerConfig
from pellucid.models.tbsn import TBSNConfig
from pellucid.models.tbsn_unet import TBSNUNetConfig

SHAPE = 256, 256
_GRL = {
    "width": 32,
    "depths": (2,),
    "window_heads": (2,),
    "stripe_heads": (2,),
    "mlp_width": 64,
    "stripe_size": (32, 64),
}
CASES = {
    "restormer": ("restormer", RestormerConfig(width=16, blocks=(1, 1), heads=(1, 2), refinement=1)),
    "fftformer": ("fftformer", FFTformerConfig(width=16, blocks=(1, 1, 1), refinement=1)),
    "tbsn": ("tbsn", TBSNConfig(width=16, blocks=(1, 1, 1), refinement=1)),
    "tbsn-unet": ("tbsn-unet", TBSNUNetConfig(width=16)),
    "grl": ("grl", GRLConfig(**_GRL)),
    "grl-local": ("grl", GRLConfig(**_GRL, local=True)),
    "grl-enlarging": ("grl", GRLConfig(**_GRL, scale=2, upsampler="pixelshuffle")),
    "grl-repeating": ("grl", GRLConfig(**_GRL, scale=4, upsampler="nearest+conv")),
}


@torch.inference_mode()
def peak_bytes(system, config):
    """From a tile as floats to the result as floats, by a network that is built before."""
    network = SYSTEMS[system].network(config).eval()
    before = fresh_peak()
    tile = np.full((*SHAPE, 3), 0.5, np.float32)
    result = network(torch.from_numpy(tile).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    np.ascontiguousarray(result.numpy())
    return peak_resident_bytes() - before


def fresh_peak():
    """Give freed memory back, and let the system count the peak from here on."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_resident_bytes()


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.nn.Conv2d(3, 8, 3)(torch.zeros(1, 3, 32, 32))  # starts the libraries
    print(json.dumps({name: peak_bytes(*case) for name, case in CASES.items()}))  # noqa: T201
