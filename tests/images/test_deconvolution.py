"""Blur with a known kernel is undone: values, borders, and what is refused."""

import numpy as np
import pytest

from pellucid.errors import PictureError
from pellucid.images._periodic import (
    continued,
    difference_power,
    differences,
    fast_length,
    inverse,
    power,
    transfer,
    transposed_differences,
)
from pellucid.images.deconvolution import deconvolved

STROKE = np.eye(9, dtype=np.float32) / 9


def boxes(height, width, channels=3):
    """Rectangles of random grey on each other."""
    generator = np.random.default_rng(1)
    picture = np.full((height, width, channels), 0.5, np.float32)
    for _ in range(120):
        top, left = generator.integers(0, height), generator.integers(0, width)
        tall, wide = generator.integers(4, 30, 2)
        picture[top : top + tall, left : left + wide] = generator.uniform(0.05, 0.95, channels)
    return picture


def blurred_inside(picture, kernel, noise=0.01):
    """Convolve by the definition, keep what depends on nothing beyond the border, add noise; and the clean inside."""
    side = len(kernel)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side), axis=(0, 1))
    blurred = np.einsum("hwcij,ij->hwc", windows, kernel[::-1, ::-1])
    reach = side // 2
    noisy = blurred + np.random.default_rng(0).normal(0, noise, blurred.shape)
    return noisy.astype(np.float32), picture[reach:-reach, reach:-reach]


def decibels(picture, clean, border=0):
    inside = np.s_[border : clean.shape[0] - border, border : clean.shape[1] - border]
    return -10 * np.log10(np.square(picture[inside] - clean[inside]).mean())


def test_a_known_blur_is_undone():
    blurred, clean = blurred_inside(boxes(140, 131), STROKE)
    assert decibels(deconvolved(blurred, STROKE), clean, 8) > decibels(blurred, clean, 8) + 7


def test_borders_do_not_ring():
    """Opposite borders are black and white: what goes round there would ripple through the picture."""
    picture = np.repeat(np.linspace(0, 1, 120, dtype=np.float32)[:, None], 90, 1)[..., None]
    blurred, clean = blurred_inside(picture, STROKE, noise=0)
    assert np.abs(deconvolved(blurred, STROKE) - clean).max() < 0.05


def test_a_kernel_off_its_middle_shifts_back():
    kernel = np.zeros((5, 5), np.float32)
    kernel[1, 4] = 1
    blurred, clean = blurred_inside(boxes(80, 80, 1), kernel, noise=0)
    assert decibels(deconvolved(blurred, kernel, noise=0), clean, 4) > 35


def test_more_noise_smooths_more():
    blurred, _ = blurred_inside(boxes(80, 80, 1), STROKE, noise=0.05)
    rough, smooth = (
        np.abs(np.diff(deconvolved(blurred, STROKE, noise=noise), axis=1)).mean() for noise in (0.01, 0.05)
    )
    assert smooth < rough


def test_a_kernel_is_scaled():
    blurred, _ = blurred_inside(boxes(60, 60, 1), STROKE)
    np.testing.assert_allclose(deconvolved(blurred, 3 * STROKE), deconvolved(blurred, STROKE), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 50, 2), (40, 1, 3)])
def test_small_pictures(shape):
    flat = np.full(shape, 0.25, np.float32)
    result = deconvolved(flat, STROKE)
    assert result.shape == shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, flat, atol=1e-4)


@pytest.mark.parametrize(
    ("picture", "kernel", "words"),
    [
        (np.zeros((9, 9)), STROKE, "a picture to sharpen"),
        (np.zeros((0, 9, 3)), STROKE, "a picture to sharpen"),
        (np.full((9, 9, 1), np.nan), STROKE, "finite"),
        (np.zeros((9, 9, 1)), np.ones((4, 5)), "odd height and width"),
        (np.zeros((9, 9, 1)), np.ones(5), "odd height and width"),
        (np.zeros((9, 9, 1)), np.zeros((3, 3)), "positive sum"),
        (np.zeros((9, 9, 1)), np.full((3, 3), np.inf), "finite"),
    ],
)
def test_what_is_refused(picture, kernel, words):
    with pytest.raises(PictureError, match=words):
        deconvolved(picture.astype(np.float32), kernel.astype(np.float32))


@pytest.mark.parametrize("length", [1, 7, 11, 121, 500, 530, 1021])
def test_fast_lengths(length):
    found = fast_length(length)
    assert found >= length
    for prime in (2, 3, 5):
        while found % prime == 0:
            found //= prime
    assert found == 1


def test_continued_pictures_have_no_seam():
    ramp = np.repeat(np.linspace(0, 1, 50, dtype=np.float32)[:, None], 31, 1)
    whole = continued(ramp, 20)
    np.testing.assert_array_equal(whole[:50, :31], ramp)
    assert min(np.subtract(whole.shape, ramp.shape)) >= 20
    assert max(np.abs(part).max() for part in differences(whole)) < 0.15


@pytest.mark.parametrize("shape", [(12, 15), (9, 10)])
def test_differences_and_their_spectra(shape):
    generator = np.random.default_rng(0)
    values, right, down = generator.random((3, *shape), np.float32)
    across, below = differences(values)
    dot = (across * right).sum() + (below * down).sum()
    np.testing.assert_allclose(dot, (values * transposed_differences(right, down)).sum(), rtol=1e-4)
    twice = inverse(difference_power(shape) * np.fft.rfft2(values), shape)
    np.testing.assert_allclose(twice, transposed_differences(across, below), atol=1e-5)


def test_transfer_has_its_origin_in_the_kernels_middle():
    point = np.zeros((3, 5), np.float32)
    point[1, 2] = 1
    np.testing.assert_allclose(transfer(point, (8, 9)), 1, atol=1e-6)
    np.testing.assert_allclose(power(transfer(point, (8, 9))), 1, atol=1e-6)
