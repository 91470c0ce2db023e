"""Weight files: the authors' and our own, read without running code, loaded strictly."""

from pellucid.checkpoints.catalogue import SYSTEMS
from pellucid.checkpoints.loading import Described, build, convert, count_parameters, create, describe, load, save
from pellucid.checkpoints.reading import read_weight_file
from pellucid.checkpoints.system import Restoration, System

__all__ = [
    "SYSTEMS",
    "Described",
    "Restoration",
    "System",
    "build",
    "convert",
    "count_parameters",
    "create",
    "describe",
    "load",
    "read_weight_file",
    "save",
]
