"""The self-ensemble sees a picture in all its orientations and gives it back upright."""

from dataclasses import replace

import numpy as np
import pytest

from pellucid.evaluation import with_self_ensemble
from pellucid.images import Picture
from pellucid.images.mosaic import malvar, mosaic


def picture(height, width, channels=3):
    return Picture(pixels=np.random.default_rng(0).random((height, width, channels), np.float32))


@pytest.mark.parametrize("size", [(5, 8), (6, 6), (1, 4)])
@pytest.mark.parametrize("scale", [1, 2])
def test_what_does_not_depend_on_the_orientation_is_unchanged(size, scale):
    def enlarged(given):
        return replace(given, pixels=given.pixels.repeat(scale, 0).repeat(scale, 1))

    given = picture(*size)
    np.testing.assert_allclose(with_self_ensemble(enlarged)(given).pixels, enlarged(given).pixels, atol=1e-6)


def test_all_eight_orientations_are_seen_once():
    seen = []

    def watching(given):
        seen.append(given.pixels[..., 0])
        return given

    given = picture(3, 4)
    with_self_ensemble(watching)(given)
    plane = given.pixels[..., 0]
    expected = [turned for k in range(4) for turned in (np.rot90(plane, k), np.rot90(plane, k)[:, ::-1])]
    assert len(seen) == 8
    for turned in expected:
        assert sum(turned.shape == s.shape and bool((turned == s).all()) for s in seen) == 1


def test_a_bias_towards_one_side_is_averaged_out():
    def shifting(given):
        return replace(given, pixels=np.roll(given.pixels, 1, axis=1))

    pixels = np.zeros((7, 7, 1), np.float32)
    pixels[3, 3] = 1
    result = with_self_ensemble(shifting)(Picture(pixels=pixels)).pixels[..., 0]
    expected = np.zeros((7, 7), np.float32)
    expected[[2, 4, 3, 3], [3, 3, 2, 4]] = 0.25
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("size", [(8, 10), (9, 10), (8, 9), (9, 11)])
def test_mosaics_begin_with_red_in_every_orientation(size):
    """The colours of a picture of flat planes are found at their places, however it is turned."""
    planes = np.broadcast_to(np.array([0.1, 0.5, 0.9], np.float32), (*size, 3))

    def interpolate(given):
        seen = given.pixels[..., 0]
        assert (seen[0::2, 0::2] == np.float32(0.1)).all()
        assert (seen[1::2, 1::2] == np.float32(0.9)).all()
        return replace(given, pixels=malvar(seen))

    given = Picture(pixels=mosaic(planes)[..., None])
    np.testing.assert_allclose(with_self_ensemble(interpolate, mosaic=True)(given).pixels, planes, atol=1e-6)


def test_mosaics_of_odd_and_even_sides_keep_their_pixels():
    """Malvar's interpolation is the same in all orientations, so that its self-ensemble is itself."""

    def interpolate(given):
        return replace(given, pixels=malvar(given.pixels[..., 0]))

    for size in ((12, 14), (13, 14), (13, 15)):
        given = picture(*size, 1)
        difference = with_self_ensemble(interpolate, mosaic=True)(given).pixels - interpolate(given).pixels
        assert np.abs(difference[3:-3, 3:-3]).max() < 1e-5
