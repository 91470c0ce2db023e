"""Kernels are found in blurred pictures, and none in sharp ones."""

from pathlib import Path

import numpy as np
import pytest

from pellucid.data.degradations.blur import motion_kernel
from pellucid.errors import PictureError
from pellucid.images import read_picture
from pellucid.images.deconvolution import deconvolved
from pellucid.images.shake import _busiest, _cleaned, _connected, _squared, estimate_kernel, noise_of

CAT = Path(__file__).parents[2] / "examples" / "cat.png"


@pytest.fixture(scope="module")
def cat():
    """Luma of a photograph."""
    return (read_picture(CAT).pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)


def blurred_inside(luma, kernel, noise=0.01):
    """Convolve, keep what depends on nothing beyond the border, add noise; and the clean inside."""
    spectrum = np.fft.rfft2(luma) * np.fft.rfft2(kernel, s=luma.shape)
    side, reach = len(kernel), len(kernel) // 2
    blurred = np.fft.irfft2(spectrum, s=luma.shape)[side - 1 :, side - 1 :]
    noisy = blurred + np.random.default_rng(0).normal(0, noise, blurred.shape)
    return noisy.astype(np.float32), luma[reach:-reach, reach:-reach]


def likeness(first, second):
    """Correlation of two kernels at the shift at which it is largest."""
    spectra = [np.fft.rfft2(kernel, s=(96, 96)) for kernel in (first, second)]
    return np.fft.irfft2(spectra[0] * np.conj(spectra[1])).max() / np.sqrt((first**2).sum() * (second**2).sum())


def error(picture, clean, border=16):
    return np.square(picture - clean)[border:-border, border:-border].mean()


@pytest.fixture(scope="module")
def boxes():
    """Rectangles of random grey on each other."""
    generator = np.random.default_rng(1)
    picture = np.full((300, 300), 0.5, np.float32)
    for _ in range(150):
        top, left = generator.integers(0, 300, 2)
        tall, wide = generator.integers(10, 80, 2)
        picture[top : top + tall, left : left + wide] = generator.uniform(0.05, 0.95)
    return picture


def test_a_kernel_is_found_and_the_blur_undone(boxes):
    kernel = motion_kernel(15, 0.5, np.random.default_rng(1))
    blurred, clean = blurred_inside(boxes, kernel)
    found = estimate_kernel(blurred)
    assert found is not None
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-4)
    assert likeness(found, kernel) > 0.75
    sharpened = deconvolved(blurred[..., None], found)[..., 0]
    shifted = min(
        error(np.roll(sharpened, (down, right), (0, 1)), clean) for down in range(-4, 5) for right in range(-4, 5)
    )
    assert shifted < error(blurred, clean) / 2


def test_sharp_pictures_have_none(cat):
    assert estimate_kernel(cat) is None


@pytest.mark.parametrize(
    "luma", [np.full((64, 64), 0.5), np.zeros((80, 60)), np.zeros((20, 400)), np.random.default_rng(0).random((64, 70))]
)
def test_pictures_that_tell_nothing(luma):
    assert estimate_kernel(luma.astype(np.float32)) is None


@pytest.mark.parametrize(
    ("luma", "size", "words"),
    [
        (np.zeros((64, 64, 3)), 31, "a kernel is estimated from"),
        (np.full((64, 64), np.nan), 31, "finite"),
        (np.zeros((64, 64)), 30, "odd and at least 3"),
        (np.zeros((64, 64)), 1, "odd and at least 3"),
    ],
)
def test_what_is_refused(luma, size, words):
    with pytest.raises(PictureError, match=words):
        estimate_kernel(luma.astype(np.float32), size=size)


def test_of_a_large_picture_the_busiest_part_is_looked_at():
    luma = np.zeros((900, 1000), np.float32)
    luma[150:860, 270:980] = np.random.default_rng(0).random((710, 710))
    part = _busiest(luma)
    assert part.shape == (704, 704)
    assert (part == 0).mean() < 0.01


def test_parts_touch_at_corners():
    there = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1]], bool)
    numbers = _connected(there)
    assert (numbers > 0).tolist() == there.tolist()
    assert numbers[0, 0] == numbers[1, 1]
    assert len(set(numbers[there].tolist())) == 4


def test_cleaned_kernels_are_centred_and_without_specks():
    kernel = np.zeros((9, 9), np.float32)
    kernel[1, 1:5] = 1
    kernel[8, 8] = 0.1
    kernel[0, 0] = -0.5
    cleaned = _cleaned(kernel)
    assert np.argwhere(cleaned).tolist() == [[4, column] for column in (3, 4, 5, 6)]
    np.testing.assert_allclose(cleaned[4, 3:7], 0.25)
    assert _cleaned(-kernel.clip(0)) is None


def test_a_kernel_spans_its_array_evenly():
    kernel = np.zeros((9, 9), np.float32)
    kernel[0, 8] = kernel[2, 4] = 0.5
    assert np.argwhere(_squared(kernel)).tolist() == [[1, 4], [3, 0]]


def test_noise_of_smooth_pictures():
    noise = np.random.default_rng(0).normal(0, 0.02, (200, 200)).astype(np.float32)
    assert noise_of(np.linspace(0, 1, 200, dtype=np.float32) + noise) == pytest.approx(0.02, rel=0.05)
