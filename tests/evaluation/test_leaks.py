"""Copies are found whatever was done to them, and different pictures are not taken for copies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.evaluation.leaks import PART, WHOLE, look_at, most_like, most_like_in_part


def scene(seed, height=120, width=160):
    """Random structure at all sizes, as photographs have: amplitudes fall with the frequency."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    plane = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / width), s=(height, width))
    return np.uint8(255 * (plane - plane.min()) / np.ptp(plane))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(6):
        Image.fromarray(scene(seed)).save(folder / f"{seed}.png")
    return [look_at(folder / f"{seed}.png") for seed in range(6)]


def look(image, path):
    image.save(path)
    return look_at(path)


def changed(image):
    """Darker, paler and compressed: still the same picture to the eye."""
    return image.point(lambda value: 30 + value // 2)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flipped", [False, True])
def test_a_whole_copy_is_found_in_every_orientation(photographs, tmp_path, turns, flipped):
    pixels = np.rot90(scene(3), turns)
    image = changed(Image.fromarray(np.ascontiguousarray(pixels[:, ::-1] if flipped else pixels)))
    (found,) = most_like(photographs, [look(image.resize((90, 70)), tmp_path / "copy.jpg")])
    assert found.photograph.name == "3.png"
    assert found.picture == Path(tmp_path / "copy.jpg")
    assert found.correlation > WHOLE


@pytest.mark.parametrize("box", [(0, 0, 120, 120), (30, 20, 110, 100), (90, 50, 150, 110), (100, 5, 142, 47)], ids=str)
def test_a_part_is_found_where_it_was_cut_out(photographs, tmp_path, box):
    part = changed(Image.fromarray(scene(4)).crop(box)).resize((100, 100))
    found = most_like_in_part(photographs, [look(part, tmp_path / "part.jpg")])
    assert found[0].photograph.name == "4.png"
    assert found[0].correlation > PART


def test_other_pictures_are_no_copies(photographs, tmp_path):
    others = [look(Image.fromarray(scene(seed)), tmp_path / f"{seed}.png") for seed in range(50, 56)]
    assert all(found.correlation < WHOLE for found in most_like(photographs, others))
    assert all(found.correlation < PART for found in most_like_in_part(photographs, others))
    assert [found.picture.name for found in most_like_in_part(photographs, others)] == [
        f"{n}.png" for n in range(50, 56)
    ]


def test_skies_that_grow_light_are_no_copies(photographs, tmp_path):
    """Light and shade alone are alike in many pictures; nothing at all is like nothing."""
    slope = np.tile(np.linspace(100, 200, 160).astype(np.uint8), (120, 1))
    skies = [
        look(Image.fromarray(slope), tmp_path / "a.png"),
        look(Image.fromarray(slope[:, ::-1]), tmp_path / "b.png"),
    ]
    flat = look(Image.fromarray(np.full((60, 60), 128, np.uint8)), tmp_path / "flat.png")
    assert all(found.correlation < PART for found in most_like_in_part(skies, skies[::-1]))
    for compare in (most_like, most_like_in_part):
        (found,) = compare(photographs, [flat])
        assert found.correlation == 0
