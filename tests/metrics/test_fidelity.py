"""The measures agree with scikit-image and with closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid.metrics import psnr_rgb, ssim_rgb


def picture_and_noisy(height, width, channels, sigma, seed=0):
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    noisy = np.clip(np.rint(clean + rng.normal(0, sigma, clean.shape)), 0, 255).astype(np.uint8)
    return noisy, clean


def flat(value, shape=(12, 15, 3)):
    return np.full(shape, value, np.uint8)


@given(
    st.integers(11, 40),
    st.integers(11, 40),
    st.sampled_from([1, 3]),
    st.floats(0.5, 120),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=50)
def test_same_as_scikit_image(height, width, channels, sigma, seed):
    noisy, clean = picture_and_noisy(height, width, channels, sigma, seed)
    # The map of scikit-image reaches the border by reflection; its mean leaves out 5 pixels, as the window needs.
    _, similarity = structural_similarity(
        noisy,
        clean,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
        full=True,
    )
    assert ssim_rgb(noisy, clean) == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-9)
    if (noisy != clean).any():
        assert psnr_rgb(noisy, clean) == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=255), abs=1e-9)


@pytest.mark.parametrize("difference", [1, 5, 255])
def test_psnr_of_a_constant_error(difference):
    expected = 20 * math.log10(255 / difference)
    assert psnr_rgb(flat(difference), flat(0)) == pytest.approx(expected, abs=1e-12)
    assert psnr_rgb(flat(0), flat(difference)) == pytest.approx(expected, abs=1e-12)


def test_psnr_averages_over_pixels_and_channels_together():
    wrong = flat(100)
    wrong[0, 0, 0] = 110
    assert psnr_rgb(wrong, flat(100)) == pytest.approx(10 * math.log10(255**2 * wrong.size / 100), abs=1e-12)


def test_psnr_works_on_a_single_pixel():
    assert psnr_rgb(flat(3, (1, 1, 3)), flat(2, (1, 1, 3))) == pytest.approx(20 * math.log10(255))


@pytest.mark.parametrize(("a", "b"), [(0, 255), (100, 120), (7, 7)])
def test_ssim_of_flat_pictures_is_the_luminance_term(a, b):
    c1 = (0.01 * 255) ** 2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim_rgb(flat(a), flat(b)) == pytest.approx(expected, abs=1e-9)


def test_a_picture_equals_itself():
    _, clean = picture_and_noisy(20, 17, 3, 0)
    assert psnr_rgb(clean, clean.copy()) == math.inf
    assert ssim_rgb(clean, clean.copy()) == pytest.approx(1, abs=1e-12)


def test_measures_are_symmetric_and_fall_with_noise():
    levels = [picture_and_noisy(32, 32, 3, sigma) for sigma in (2, 10, 40)]
    for measure in (psnr_rgb, ssim_rgb):
        values = [measure(noisy, clean) for noisy, clean in levels]
        assert values == sorted(values, reverse=True)
        assert measure(*levels[1]) == pytest.approx(measure(*levels[1][::-1]), abs=1e-12)


def test_memory_layout_does_not_matter():
    noisy, clean = picture_and_noisy(21, 19, 3, 10)
    turned = np.asfortranarray(noisy)
    assert ssim_rgb(turned, clean) == pytest.approx(ssim_rgb(noisy, clean), abs=1e-12)
    assert psnr_rgb(turned[::-1], clean[::-1]) == pytest.approx(psnr_rgb(noisy, clean), abs=1e-12)


@pytest.mark.parametrize("measure", [psnr_rgb, ssim_rgb])
@pytest.mark.parametrize("other", [(12, 16, 3), (15, 12, 3), (12, 15, 1), (12, 15)], ids=str)
def test_different_shapes_are_refused(measure, other):
    with pytest.raises(ValueError, match="one shape"):
        measure(flat(1), flat(1, other))


@pytest.mark.parametrize("measure", [psnr_rgb, ssim_rgb])
def test_planes_without_channels_are_refused(measure):
    with pytest.raises(ValueError, match=r"\(H, W, C\)"):
        measure(flat(1, (12, 15)), flat(1, (12, 15)))


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (1, 1)])
def test_ssim_needs_room_for_its_window(size):
    with pytest.raises(ValueError, match="11 × 11"):
        ssim_rgb(flat(1, (*size, 3)), flat(1, (*size, 3)))
    assert ssim_rgb(flat(1, (11, 11, 3)), flat(1, (11, 11, 3))) == pytest.approx(1)
