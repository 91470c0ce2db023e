"""Deblurring: the network sees what is left when the shake that was read off a picture is undone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from little import little_network
from pellucid import checkpoints
from pellucid.data.degradations import blurred, motion_kernel
from pellucid.data.degradations.drawn import rounded
from pellucid.errors import BudgetError, CheckpointError
from pellucid.images import Picture, PictureStream, read_picture
from pellucid.tasks import RestoreOptions, Restorer, unshaken
from pellucid.tasks.memory import MARGIN

CAT = Path(__file__).parents[2] / "examples" / "cat.png"
KERNEL = motion_kernel(12, 0.5, np.random.default_rng(1))


def restorer_for(folder, prepare="shake", **options):
    """Of a network that changes nothing, whose weights say how pictures are prepared for it."""
    about = {"task": "deblur", "scale": "1", "prepare": prepare}
    checkpoints.save(little_network(change=0), "restormer", folder / f"{prepare}.safetensors", about=about)
    return Restorer(RestoreOptions(weights=folder / f"{prepare}.safetensors", device="cpu", **options))


@pytest.fixture(scope="module")
def sharp():
    return read_picture(CAT)


@pytest.fixture(scope="module")
def shaken(sharp):
    return replace(sharp, pixels=rounded(blurred(sharp.pixels, KERNEL)))


@pytest.fixture
def known(monkeypatch):
    """Spares the time to read the kernel off the picture."""
    monkeypatch.setattr(unshaken, "estimate_kernel", lambda *_, **__: KERNEL)


def psnr(picture: Picture, sharp: Picture) -> float:
    """Of the inside, at the best shift: a kernel read off a picture is known but for that."""
    inside = slice(24, -24)
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    errors = [
        np.square(np.roll(picture.pixels, shift, (0, 1)) - sharp.pixels)[inside, inside].mean() for shift in shifts
    ]
    return -10 * np.log10(min(errors))


def test_a_shaken_picture_becomes_sharper(sharp, shaken, tmp_path):
    assert psnr(restorer_for(tmp_path)(shaken), sharp) > psnr(shaken, sharp) + 2


@pytest.mark.usefixtures("known")
def test_grey_pictures_are_served(sharp, shaken, tmp_path):
    grey, sharp_grey = (replace(picture, pixels=picture.pixels[..., 1:2]) for picture in (shaken, sharp))
    assert psnr(restorer_for(tmp_path)(grey), sharp_grey) > psnr(grey, sharp_grey) + 2


@pytest.mark.usefixtures("known")
def test_strength_applies_to_all_that_is_changed(shaken, tmp_path):
    whole, half = (restorer_for(tmp_path, strength=share)(shaken).pixels for share in (1.0, 0.5))
    inside = (whole > 0) & (whole < 1)  # elsewhere it was clipped
    np.testing.assert_allclose((half - shaken.pixels)[inside], 0.5 * (whole - shaken.pixels)[inside], atol=1e-6)


def test_a_picture_without_shake_comes_back_unchanged_and_says_so(sharp, tmp_path):
    shares, seen = [], []
    stream = restorer_for(tmp_path).restored(
        PictureStream.of(sharp), shares.append, watch=lambda before, _: seen.append(before.height)
    )
    result = stream.whole()
    np.testing.assert_array_equal(result.pixels, sharp.pixels)
    assert "no camera shake was found in it, so it is left as it is" in result.notes
    assert shares[-1] == 1
    assert sum(seen) == sharp.height


@pytest.mark.parametrize(("height", "width"), [(1500, 1300), (300, 2000), (1001, 704), (705, 20)])
def test_the_kernel_is_read_off_the_part_that_has_edges(height, width, monkeypatch):
    monkeypatch.setattr(unshaken, "estimate_kernel", lambda luma, **_: luma)
    pixels = np.full((height, width, 3), 0.5, np.float32)
    pixels[-200:, -300:] = np.random.default_rng(0).random(pixels[-200:, -300:].shape)
    seen = unshaken.read_kernel(PictureStream.of(Picture(pixels=pixels)))
    assert seen.shape == (min(height, 704), min(width, 704))
    np.testing.assert_allclose(seen, pixels[-seen.shape[0] :, -seen.shape[1] :].mean(2), atol=1e-6)


def test_tiny_pictures_are_left_alone(tmp_path):
    picture = Picture(pixels=np.random.default_rng(0).random((5, 9, 3), np.float32))
    np.testing.assert_array_equal(restorer_for(tmp_path)(picture).pixels, picture.pixels)


def test_unknown_ways_to_prepare_a_picture_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="prepared by 'magic', which is unknown; update pellucid"):
        restorer_for(tmp_path, prepare="magic")


@pytest.mark.usefixtures("known")
def test_tiles_do_not_show(sharp, tmp_path):
    row = np.concatenate([sharp.pixels, sharp.pixels[:, ::-1]], axis=1)
    pixels = np.concatenate([row, row[::-1], row])  # without a seam
    large = replace(sharp, pixels=rounded(blurred(pixels, KERNEL)))
    whole, tiled = restorer_for(tmp_path), restorer_for(tmp_path, memory=1)
    with pytest.raises(BudgetError) as refusal:
        tiled(large)
    tiled.memory = int(str(refusal.value).split("at least ")[1].split()[0]) * 2**20
    assert tiled.memory > MARGIN
    assert tiled.provenance(PictureStream.of(large), held=tiled.bytes_whole(large))["tiles"] != "whole"
    difference = tiled(large).pixels - whole(large).pixels
    assert np.sqrt(np.square(difference).mean()) < 0.25 / 255
    assert np.abs(difference).max() < 8 / 255
