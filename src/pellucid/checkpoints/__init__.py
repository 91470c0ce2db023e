"""Weight files: the authors' and our own, read without running code, loaded strictly."""

from pellucid.checkpoints.catalogue import SYSTEMS, System
from pellucid.checkpoints.loading import Described, create, describe, load, save
from pellucid.checkpoints.reading import read_weight_file

__all__ = ["SYSTEMS", "Described", "System", "create", "describe", "load", "read_weight_file", "save"]
