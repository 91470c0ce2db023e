"""Noise in grey pictures is removed by a network that learned on colour."""

from dataclasses import replace

import numpy as np
import pytest

from little import little_picture, smooth_pixels
from pellucid.images import Picture, PictureStream
from pellucid.tasks import RestoreOptions, Restorer
from pellucid.tasks.grey import as_colour, noise_level

RNG = np.random.default_rng(0)
SMOOTH = (smooth_pixels(160, 200)[..., :1] / 255).astype(np.float32)


def noisy(sigma, pixels=SMOOTH):
    return (pixels + sigma * RNG.standard_normal(pixels.shape)).astype(np.float32)


def test_the_channels_have_independent_noise_and_the_mean_is_the_picture():
    sigma, flat = 0.1, np.full((256, 256, 1), 0.5, np.float32)
    tile = noisy(sigma, flat)
    colour = as_colour(tile, sigma, slice(0, 256), slice(0, 256))
    np.testing.assert_allclose(colour.mean(2, keepdims=True), tile, atol=1e-6)
    covariance = np.cov(colour.reshape(-1, 3).T)
    np.testing.assert_allclose(covariance, 3 * sigma**2 * np.eye(3), atol=0.02 * 3 * sigma**2)


def test_equal_places_of_tiles_get_the_same():
    whole = as_colour(np.zeros((300, 400, 1), np.float32), 1.0, slice(0, 300), slice(0, 400))
    part = as_colour(np.zeros((40, 50, 1), np.float32), 1.0, slice(250, 290), slice(333, 383))
    np.testing.assert_array_equal(part, whole[250:290, 333:383])


@pytest.mark.parametrize("sigma", [0, 0.01, 0.05, 0.2])
def test_noise_is_estimated(sigma):
    picture = Picture(pixels=noisy(sigma))
    assert noise_level(PictureStream.of(picture)) == pytest.approx(sigma, rel=0.05, abs=1e-4)
    spanned = replace(picture, pixels=picture.pixels * 500 + 100, numbers="float", bit_depth=32, span=(100.0, 600.0))
    assert noise_level(PictureStream.of(spanned)) == pytest.approx(sigma, rel=0.1, abs=1e-4)
    alpha = np.zeros((160, 200), np.float32)
    alpha[20:90, 30:120] = 1
    assert noise_level(PictureStream.of(replace(picture, alpha=alpha))) == pytest.approx(sigma, rel=0.1, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (50, 2), (3, 3)])
def test_small_pictures_have_a_level_too(size):
    assert noise_level(PictureStream.of(little_picture(*size, 1))) >= 0


def test_a_pattern_is_no_noise():
    pattern = (RNG.random((99, 99, 1)) < SMOOTH[:99, :99]).astype(np.float32)
    assert noise_level(PictureStream.of(Picture(pixels=pattern))) == 0


def test_all_transparent_has_none():
    assert noise_level(PictureStream.of(replace(little_picture(20, 20, 1), alpha=np.zeros((20, 20), np.float32)))) == 0


@pytest.mark.parametrize("sigma", [15, 50])
def test_our_own_denoiser_removes_grey_noise(sigma):
    restored = Restorer(RestoreOptions(device="cpu"))(Picture(pixels=noisy(sigma / 255)))
    before, after = sigma / 255, np.sqrt(np.mean((restored.pixels - SMOOTH) ** 2))
    assert after < before / 4
    assert restored.channels == 1
