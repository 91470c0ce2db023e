"""Hidden colours are replaced by those around them, and nothing else is touched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.images.transparency import bleed

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.random(shape, dtype=np.float32)


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_what_shows_stays_and_what_hides_is_between(size, channels, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random((*size, channels), dtype=np.float32)
    weight = np.maximum(rng.random(size, dtype=np.float32) * 2 - rng.random(dtype=np.float32) * 2, 0)
    weight = np.minimum(weight, 1)
    shows = weight > 0
    pixels[~shows] = np.nan
    filled = bleed(pixels, weight)
    np.testing.assert_array_equal(filled[shows], pixels[shows])
    if shows.any():
        low, high = pixels[shows].min(0), pixels[shows].max(0)
        assert (filled >= low - 1e-6).all()
        assert (filled <= high + 1e-6).all()


def test_what_shows_everywhere_is_the_picture_itself():
    pixels = random(5, 7, 3)
    assert bleed(pixels, np.ones((5, 7), np.float32)) is pixels


def test_what_shows_nowhere_is_black_whatever_it_holds():
    assert not bleed(np.full((5, 7, 3), np.nan, np.float32), np.zeros((5, 7), np.float32)).any()


def test_one_colour_fills_everything():
    pixels = np.zeros((97, 130, 3), np.float32)
    pixels[40, 60] = 0.25, 0.5, 1.0
    weight = np.zeros((97, 130), np.float32)
    weight[40, 60] = 1 / 255
    np.testing.assert_allclose(bleed(pixels, weight), np.broadcast_to(pixels[40, 60], pixels.shape), rtol=1e-5)


def test_a_hole_takes_the_nearest_colours():
    pixels = np.zeros((64, 64, 1), np.float32)
    weight = np.ones((64, 64), np.float32)
    pixels[:, 32:] = 1
    weight[:, 20:44] = 0
    filled = bleed(pixels, weight)[..., 0]
    assert filled[:, 20:24].max() < 0.2
    assert filled[:, 40:44].min() > 0.8
    assert np.diff(filled, axis=1).min() > -0.05


def test_weights_settle_who_counts():
    pixels = np.float32([[[0], [1], [0.5], [0.5]]])
    heavy = bleed(pixels, np.float32([[0.1, 1, 0, 0]]))
    assert heavy[0, 2, 0] > 0.8
