"""The measures agree with scikit-image and with closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid.metrics import luma, psnr_grey, psnr_rgb, psnr_y, ssim_grey, ssim_rgb, ssim_y

COLOUR, Y, GREY = (psnr_rgb, ssim_rgb), (psnr_y, ssim_y), (psnr_grey, ssim_grey)


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


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),  # 16 + 65.481
        ((0, 255, 0), 145),  # 16 + 128.553
        ((0, 0, 255), 41),  # 16 + 24.966
    ],
)
def test_luma_of_pure_colours(colour, expected):
    assert luma(np.full((2, 3, 3), colour, np.uint8)).tolist() == np.full((2, 3, 1), expected).tolist()


def test_luma_is_that_of_scikit_image_rounded():
    _, picture = picture_and_noisy(64, 64, 3, 0)
    assert luma(picture).dtype == np.uint8
    np.testing.assert_array_equal(luma(picture)[..., 0], np.rint(rgb2ycbcr(picture)[..., 0]))


@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 4), (4, 5)], ids=str)
def test_only_colours_have_luma(shape):
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        luma(flat(1, shape))


def test_measures_of_luma_and_of_grey_are_those_of_one_channel():
    noisy, clean = picture_and_noisy(30, 25, 3, 20)
    for (of_colour, of_luma), of_grey in zip(zip(COLOUR, Y, strict=True), GREY, strict=True):
        expected = of_colour(luma(noisy), luma(clean), border=2)
        assert of_luma(noisy, clean, border=2) == of_grey(luma(noisy), luma(clean), border=2) == expected
        with pytest.raises(ValueError, match=r"\(H, W, 1\)"):
            of_grey(noisy, clean)


def test_a_change_of_colour_alone_is_no_change_of_luma():
    """Twice the weight of blue in red: 24.966 · 5 ≈ 65.481 · 2 to within rounding."""
    a, b = (np.full((12, 12, 3), colour, np.uint8) for colour in ((100, 100, 105), (102, 100, 100)))
    assert psnr_y(a, b) == math.inf
    assert psnr_rgb(a, b) < 40


@pytest.mark.parametrize("measure", COLOUR + Y)
@pytest.mark.parametrize("border", [1, 4])
def test_what_lies_in_the_border_does_not_count(measure, border):
    noisy, clean = picture_and_noisy(24, 31, 3, 10)
    inside = np.s_[border:-border, border:-border]
    expected = measure(noisy[inside], clean[inside])
    noisy[0], noisy[:, -1] = 255 - clean[0], 255 - clean[:, -1]
    assert measure(noisy, clean, border=border) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("border", [-1, 6, 100])
def test_a_border_that_leaves_nothing_is_refused(border):
    with pytest.raises(ValueError, match="border"):
        psnr_rgb(flat(1), flat(1), border=border)
    assert psnr_rgb(flat(1), flat(1), border=5) == math.inf


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (1, 1)])
def test_ssim_needs_room_for_its_window(size):
    with pytest.raises(ValueError, match="11 × 11"):
        ssim_rgb(flat(1, (*size, 3)), flat(1, (*size, 3)))
    assert ssim_rgb(flat(1, (11, 11, 3)), flat(1, (11, 11, 3))) == pytest.approx(1)
