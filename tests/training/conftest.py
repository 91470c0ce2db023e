"""Photographs to train on, and a run on them that nothing interrupted."""

import pytest

from little import smooth_pixels
from little_run import train
from pellucid.images import Picture
from pellucid.images.picture import to_floats


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i, size in enumerate([(20, 30), (9, 14)]):
        Picture(pixels=to_floats(smooth_pixels(*size))).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def uninterrupted(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    train(folder, run)
    return run
