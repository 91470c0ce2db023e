"""Whole networks: one file each, with its frozen configuration and named presets."""

from pellucid.models.restormer import RESTORMER_PRESETS, Restormer, RestormerConfig

__all__ = ["RESTORMER_PRESETS", "Restormer", "RestormerConfig"]
