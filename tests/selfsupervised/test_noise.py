from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pellucid.data.degradations import gaussian_noise
from pellucid.errors import DataError
from pellucid.images import read_picture
from pellucid.selfsupervised import describe, measure_noise
from pellucid.selfsupervised.noise import LEVELS, choose_factor, leak
from pellucid.tasks.blind_spot import MOST_FACTOR

EXAMPLE = Path(__file__).parents[2] / "examples" / "cat.png"


@pytest.fixture(scope="module")
def photograph():
    return read_picture(EXAMPLE).pixels


def box_noise(shape, width, generator):
    """White noise averaged over squares, of variance 1: its correlation falls to 0 over `width` pixels."""
    height, length, channels = shape
    white = generator.standard_normal((height + width - 1, length + width - 1, channels)).astype(np.float32)
    return sum(white[y : y + height, x : x + length] for y in range(width) for x in range(width)) / width


def rounded(values):
    return (np.rint(np.clip(values, 0, 1) * 255) / 255).astype(np.float32)


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_level_of_white_noise(photograph, generator, sigma):
    noise = measure_noise([rounded(gaussian_noise(photograph, sigma, generator))])
    assert noise.level * 255 == pytest.approx(sigma, rel=0.05)
    assert noise.factor == 1
    assert noise.correlation[6, 6] == 1
    assert abs(noise.correlation[6, 7]) < 0.1


@pytest.mark.parametrize("width", [2, 3])
def test_correlation_and_factor(photograph, generator, width):
    noisy = photograph + box_noise(photograph.shape, width, generator) * np.float32(25 / 255)
    noise = measure_noise([noisy], step=0)
    expected = np.maximum(1 - abs(np.arange(-6, 7)) / width, 0)
    assert np.allclose(noise.correlation, np.outer(expected, expected), atol=0.1)
    assert np.allclose(noise.correlation, noise.correlation[::-1, ::-1])
    assert noise.level * 255 == pytest.approx(25, rel=0.05)
    assert noise.factor == width


def test_noise_correlated_in_one_direction_only(generator):
    flat = np.full((256, 256, 1), 0.5, np.float32)
    white = generator.standard_normal((256, 257, 1)).astype(np.float32) * 0.05
    noise = measure_noise([flat + white[:, 1:] + white[:, :-1]], step=0)
    assert noise.correlation[6, 7] == pytest.approx(0.5, abs=0.03)
    assert noise.correlation[7, 6] == pytest.approx(0, abs=0.03)


def test_curve_of_counted_photons(generator):
    slope = np.linspace(0.02, 0.98, 600, dtype=np.float32)[:, None, None] * np.ones((1, 400, 3), np.float32)
    counted = generator.poisson(slope * 400).astype(np.float32) / 400
    noise = measure_noise([counted], step=1 / 400)
    assert np.allclose(noise.curve[1:-1], LEVELS[1:-1] / 400, rtol=0.1)
    assert noise.curve[-1] == pytest.approx(1 / 400, rel=0.2)  # seen on one side only
    assert "growing with brightness" in describe(noise)


def test_levels_never_seen_take_the_nearest(generator):
    noise = measure_noise([0.5 + generator.standard_normal((128, 128, 1)).astype(np.float32) * 0.02], step=0)
    assert len(set(noise.curve)) == 1
    assert noise.curve[0] == pytest.approx(0.02**2, rel=0.1)


def test_level_is_the_mean_over_channels(generator):
    sigmas = np.array([0.02, 0.03, 0.06], np.float32)
    noise = measure_noise([0.5 + generator.standard_normal((256, 256, 3)).astype(np.float32) * sigmas], step=0)
    assert noise.level == pytest.approx(np.sqrt(np.mean(sigmas**2)), rel=0.05)


def test_a_constant_channel_does_not_count(generator):
    values = 0.5 + generator.standard_normal((128, 128, 3)).astype(np.float32) * 0.02
    values[..., 1] = 0.25
    noise = measure_noise([values], step=0)
    assert noise.level == pytest.approx(0.02, rel=0.05)
    assert np.isfinite(noise.correlation).all()


def test_several_pictures_and_the_same_twice(photograph, generator):
    noisy = rounded(gaussian_noise(photograph, 25, generator))
    parts = [noisy[:200], noisy[200:], noisy[:8]]  # the last is smaller than a block
    first, second = measure_noise(parts), measure_noise(parts)
    assert first.level * 255 == pytest.approx(25, rel=0.05)
    assert first.curve == second.curve


def test_dark_pictures_that_are_all_cut_off_in_part(generator):
    noise = measure_noise([rounded(gaussian_noise(np.full((128, 128, 1), 0.1, np.float32), 25, generator))])
    assert 0.1 < noise.saturated < 0.2
    assert noise.level * 255 == pytest.approx(25, rel=0.2)


def test_borders_are_left_out(generator):
    framed = np.full((256, 256, 3), 0.5, np.float32)
    framed[64:] = rounded(gaussian_noise(framed[64:], 25, generator))
    assert measure_noise([framed]).level * 255 == pytest.approx(25, rel=0.05)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((64, 64, 3), np.nan, np.float32), "not finite"),
        (np.zeros((63, 64, 3), np.float32), "too few"),
        (np.zeros((8, 1000, 3), np.float32), "too few"),
        (np.full((64, 64, 3), 0.5, np.float32), "the same value"),
        (np.indices((64, 64)).sum(0)[..., None].astype(np.float32) % 2, "black or white"),
        (np.linspace(0.2, 0.8, 128 * 128, dtype=np.float32).reshape(128, 128, 1), "no noise"),
        (rounded(np.linspace(0.2, 0.8, 128 * 128, dtype=np.float32).reshape(128, 128, 1)), "no noise"),
    ],
)
def test_refusals(picture, words):
    with pytest.raises(DataError, match=words):
        measure_noise([picture])


def test_no_picture_is_refused():
    with pytest.raises(DataError, match="too few"):
        measure_noise([])


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_the_factor_of_box_noise_is_its_width(width):
    along = np.maximum(1 - abs(np.arange(-6, 7)) / width, 0)
    assert choose_factor(np.outer(along, along)) == width


def test_leak_is_a_share():
    everywhere = np.ones((13, 13))
    assert leak(everywhere, 1) == pytest.approx(1)
    assert choose_factor(everywhere) == 5
    nowhere = np.zeros((13, 13))
    nowhere[6, 6] = 1
    assert leak(nowhere, 1) == 0


def test_any_factor_that_a_person_may_name_is_described(generator):
    noise = measure_noise([rounded(gaussian_noise(np.full((128, 128, 1), 0.5, np.float32), 25, generator))])
    words = {describe(replace(noise, factor=factor)) for factor in range(1, MOST_FACTOR + 1)}
    assert len(words) == MOST_FACTOR == 8
