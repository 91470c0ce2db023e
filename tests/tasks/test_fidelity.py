"""What a picture hides never shows in the result, and comes back as it was."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from little import MULTIPLE, little_picture
from pellucid.images import read_picture
from pellucid.tasks import RestoreOptions, Restorer
from pellucid.tasks.memory import TileShape

MODULE = sys.modules["pellucid.tasks.restore"]
TILE = TileShape(4 * MULTIPLE, 4 * MULTIPLE, MULTIPLE)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(MODULE, "plan_tile", lambda *_, **__: TILE)


def restorer_of(path, **options):
    return Restorer(RestoreOptions(weights=path, device="cpu", **options))


def disc(height, width):
    """Opaque inside, transparent outside, with a soft edge."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    return np.clip(min(height, width) / 3 - distance, 0, 1).astype(np.float32)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.usefixtures("small_tiles")
def test_hidden_colours_never_show_and_come_back(weights, tmp_path, suffix, channels):
    alpha = np.rint(disc(40, 37) * 255).astype(np.float32) / 255
    results = []
    for name, hidden in (("black", 0.0), ("white", 1.0)):
        picture = replace(little_picture(40, 37, channels), alpha=alpha)
        picture.pixels[alpha == 0] = hidden
        restored = restorer_of(weights)(picture)
        assert (restored.pixels[alpha == 0] == hidden).all()
        restored.save(tmp_path / f"{name}{suffix}")
        found = read_picture(tmp_path / f"{name}{suffix}")
        assert (found.pixels[alpha == 0] == hidden).all()
        results.append(found.pixels[alpha > 0])
        assert (restored.pixels[alpha > 0] != picture.pixels[alpha > 0]).any()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("alpha", [np.zeros((20, 33), np.float32), np.ones((20, 33), np.float32)])
def test_all_transparent_and_all_opaque(weights, alpha):
    picture = replace(little_picture(20, 33), alpha=alpha)
    restored = restorer_of(weights)(picture)
    assert (restored.pixels == picture.pixels).all() == (not alpha.any())
    if alpha.any():
        np.testing.assert_array_equal(restored.pixels, restorer_of(weights)(little_picture(20, 33)).pixels)


@pytest.mark.usefixtures("small_tiles")
def test_identity_keeps_hidden_and_half_hidden_colours(identity):
    picture = replace(little_picture(40, 37, bit_depth=16), alpha=disc(40, 37))
    assert restorer_of(identity)(picture).pixels.tobytes() == picture.pixels.tobytes()
