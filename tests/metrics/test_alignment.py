"""The best whole shift is found, and used for nothing but the comparison."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.metrics import best_aligned


def scene(channels=1):
    return np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)


@given(st.integers(-3, 3), st.integers(-3, 3), st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=20)
def test_a_shift_within_reach_is_undone(down, right, channels):
    large = scene(channels)
    clean = large[5:35, 5:45]
    restored = large[5 + down : 35 + down, 5 + right : 45 + right]
    found, middle = best_aligned(restored, clean, reach=3)
    np.testing.assert_array_equal(middle, clean[3:-3, 3:-3])
    np.testing.assert_array_equal(found, middle)


def test_without_reach_nothing_is_cut():
    clean = scene()
    found, middle = best_aligned(255 - clean, clean, reach=0)
    np.testing.assert_array_equal(found, 255 - clean)
    np.testing.assert_array_equal(middle, clean)


@pytest.mark.parametrize("other", [(40, 50, 3), (40, 49, 1)], ids=str)
def test_different_shapes_are_refused(other):
    with pytest.raises(ValueError, match="cannot be aligned"):
        best_aligned(np.zeros(other, np.uint8), scene(), reach=1)


def test_a_reach_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="20 pixels"):
        best_aligned(scene(), scene(), reach=20)
