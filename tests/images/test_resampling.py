"""Bicubic resizing as MATLAB's imresize, whole and by bands; Malvar's interpolation of mosaics."""

import numpy as np
import pytest

from pellucid.images import mosaic as mosaics
from pellucid.images.mosaic import malvar, mosaic
from pellucid.images.resampling import SUPPORT, cubic, resized, resized_rows, source_rows

SIZES = [(12, 17, 24, 34), (24, 36, 12, 9), (13, 11, 40, 7), (9, 9, 9, 20), (5, 4, 5, 4), (1, 1, 3, 2), (40, 3, 1, 1)]


def pixels(height, width, channels=3):
    return np.random.default_rng(0).random((height, width, channels), np.float32)


def one_value(values, target, position):
    """A value of a signal resized, by the definition: a sum over the reflected signal without end."""
    source = len(values)
    stretch = max(source / target, 1.0)
    centre = (position + 0.5) * source / target - 0.5
    total = weight = 0.0
    for index in range(int(centre - 3 * stretch) - 2, int(centre + 3 * stretch) + 3):
        share = float(cubic(np.array((centre - index) / stretch)))
        folded = index % (2 * source)
        total += share * float(values[min(folded, 2 * source - 1 - folded)])
        weight += share
    return total / weight


def test_kernel_is_that_of_keys():
    assert cubic(np.array([0.0, 1, -1, 2, -2, 5])).tolist() == [1, 0, 0, 0, 0, 0]
    assert cubic(np.array([0.5, -0.5, 1.5, -1.5])).tolist() == [0.5625, 0.5625, -0.0625, -0.0625]
    x = np.linspace(0, 1, 50)
    np.testing.assert_allclose(sum(cubic(x + k) for k in (-2, -1, 0, 1)), 1, atol=1e-12)


def test_taps_of_doubling_and_halving():
    """An impulse spreads as MATLAB's imresize spreads it: weights in 128ths, and in 256ths for the stretched kernel."""
    impulse = np.zeros((1, 9, 1), np.float32)
    impulse[0, 4] = 1
    doubled = resized(impulse, 1, 18)[0, :, 0] * 128
    np.testing.assert_allclose(doubled[4:14], [0, -3, -9, 29, 111, 111, 29, -9, -3, 0], atol=1e-5)
    step = np.zeros((1, 16, 1), np.float32)
    step[0, 7] = 1
    halved = resized(step, 1, 8)[0, :, 0] * 256
    np.testing.assert_allclose(halved, [0, 0, -9, 111, 29, -3, 0, 0], atol=1e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_values_are_those_of_the_definition(size):
    height, width, tall, wide = size
    values = pixels(height, width)
    result = resized(values, tall, wide)
    assert result.shape == (tall, wide, 3)
    assert result.dtype == np.float32
    lines = np.array([[one_value(values[y, :, 0], wide, x) for x in range(wide)] for y in range(height)])
    expected = np.array([[one_value(lines[:, x], tall, y) for x in range(wide)] for y in range(tall)])
    np.testing.assert_allclose(result[..., 0], expected, atol=2e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_constants_stay(size):
    height, width, tall, wide = size
    np.testing.assert_allclose(resized(np.full((height, width, 2), 0.3, np.float32), tall, wide), 0.3, rtol=5e-7)


def test_ramps_stay_ramps_inside():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)[None, :, None]
    larger = resized(ramp, 1, 80)[0, 8:-8, 0]
    np.testing.assert_allclose(np.diff(larger), 1 / 39 / 2, atol=1e-6)


def test_nothing_to_do_returns_equal_values():
    values = pixels(6, 7, 4)
    np.testing.assert_array_equal(resized(values, 6, 7), values)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_bands_are_the_whole_to_the_bit(size, count):
    height, width, tall, wide = size
    values = pixels(height, width)
    whole = resized(values, tall, wide)
    for start in range(0, tall, count):
        rows = slice(start, min(start + count, tall))
        needed = source_rows(height, tall, rows)
        assert 0 <= needed.start < needed.stop <= height
        band = resized_rows(values[needed], height, tall, wide, rows)
        np.testing.assert_array_equal(band, whole[rows])


@pytest.mark.parametrize(("source", "target"), [(100, 200), (100, 400), (100, 50), (400, 100)])
def test_support(source, target):
    stretch = max(source / target, 1)
    for row in (0, target // 2, target - 1):
        needed = source_rows(source, target, slice(row, row + 1))
        centre = (row + 0.5) * source / target
        assert needed.start >= centre - SUPPORT * stretch - 1
        assert needed.stop <= centre + SUPPORT * stretch + 1


def test_mosaic_is_rggb():
    picture = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    channel = np.array([[0, 1, 0, 1, 0], [1, 2, 1, 2, 1]] * 2)
    expected = np.take_along_axis(picture, channel[..., None], axis=2)[..., 0]
    np.testing.assert_array_equal(mosaic(picture), expected)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 2), (3, 2), (1, 1), (1, 6)])
def test_colours_that_were_seen_stay(size):
    picture = pixels(*size)
    result = malvar(mosaic(picture))
    assert result.shape == (*size, 3)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(mosaic(result), mosaic(picture))


def test_grey_ramps_and_flat_colours_are_kept():
    """Filters sum to one, and to nothing over each other colour; they are symmetric, so inside ramps are kept."""
    y, x = np.mgrid[0:12, 0:14].astype(np.float32)
    for ramp in (np.ones_like(x), x, y, 2 * x - 3 * y):
        picture = np.repeat(ramp[..., None], 3, axis=2)
        np.testing.assert_allclose(malvar(mosaic(picture))[2:-2, 2:-2], picture[2:-2, 2:-2], atol=1e-5)
    flat = np.broadcast_to(np.array([0.9, 0.5, 0.1], np.float32), (6, 8, 3))
    np.testing.assert_allclose(malvar(mosaic(flat)), flat, atol=1e-6)


def test_filters_are_those_of_the_paper():
    """The response to an impulse at each kind of site gives the filters' weights, in eighths and halves of them."""

    def response(row, column):
        seen = np.zeros((14, 14), np.float32)
        seen[row, column] = 8
        return malvar(seen)

    green_at_red = np.zeros((5, 5))
    green_at_red[[0, 4, 2, 2], [2, 2, 0, 4]] = -1
    green_at_red[[1, 3, 2, 2], [2, 2, 1, 3]] = 2
    green_at_red[2, 2] = 4
    in_row = np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]])
    diagonal = np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
    )
    filters = {
        (0, 1): [((0, 0), green_at_red), ((1, 1), green_at_red)],
        (0, 0): [((0, 1), in_row), ((1, 0), in_row.T), ((1, 1), diagonal)],
        (0, 2): [((1, 0), in_row), ((0, 1), in_row.T), ((0, 0), diagonal)],
    }
    for (_, channel), cases in filters.items():
        for (down, right), weights in cases:
            found = np.zeros((5, 5))
            for y in range(-2, 3):
                for x in range(-2, 3):
                    centre = (6 + down, 6 + right)
                    found[2 + y, 2 + x] = response(centre[0] + y, centre[1] + x)[(*centre, channel)]
            np.testing.assert_allclose(found, weights, atol=1e-6)


def test_bands_of_a_mosaic_are_the_whole():
    seen = pixels(20, 13, 1)[..., 0]
    whole = malvar(seen)
    margin = mosaics.SUPPORT
    for start, stop in ((4, 10), (10, 18)):
        band = malvar(seen[start - margin : stop + margin])
        np.testing.assert_array_equal(band[margin:-margin], whole[start:stop])
