"""Whole networks: one file each, with its frozen configuration and named presets."""
