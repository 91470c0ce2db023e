"""Tiles do not show: they cover the picture, fade into each other, and agree with it to the last bit."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.images.tiles import fade_weights, plan_tiles, process_tiles


@st.composite
def lengths(draw, tile, overlap, most):
    """One pixel, a tile and its neighbours, two tiles and theirs, or anything."""
    joints = (1, tile - overlap, tile, 2 * tile - overlap, 3 * tile - 2 * overlap)
    critical = st.builds(int.__add__, st.sampled_from(joints), st.integers(-1, 1))
    return max(1, min(most, draw(critical | st.integers(1, 4 * tile))))


@st.composite
def layouts(draw, most=10_000):
    """Arguments of plan_tiles: (height, width) and the rest by name."""
    multiple = draw(st.integers(1, 4) | st.sampled_from([8, 16]))
    shared = draw(st.integers(0, 3))
    longest = draw(st.integers(max(1, 4 * shared), 4 * shared + 6))
    tile, overlap = longest * multiple, shared * multiple
    size = draw(lengths(tile, overlap, most)), draw(lengths(tile, overlap, most))
    return size, {"tile": tile, "overlap": overlap, "multiple": multiple}


def joined(plan, process):
    return np.concatenate([values for _, values in process_tiles(plan, process)])


@given(layouts(most=90), st.sampled_from([1, 3]), st.integers(0, 99))
@settings(deadline=None, max_examples=150)
@example(((1, 1), {"tile": 1, "overlap": 0, "multiple": 1}), 3, 0)
@example(((65, 63), {"tile": 64, "overlap": 16, "multiple": 16}), 3, 1)
def test_identity_is_bit_exact(layout, channels, seed):
    size, options = layout
    rng = np.random.default_rng(seed)
    picture = rng.standard_normal((*size, channels), dtype=np.float32) * np.float32(10.0 ** rng.integers(-6, 6))
    result = joined(plan_tiles(*size, **options), lambda rows, columns: picture[rows, columns].copy())
    assert result.dtype == np.float32
    assert result.tobytes() == picture.tobytes()


@given(layouts())
@settings(max_examples=300)
def test_tiles_cover_evenly(layout):
    size, options = layout
    for length, spans in zip(size, plan_tiles(*size, **options), strict=True):
        sides = [span.stop - span.start for span in spans]
        assert spans[0].start == 0
        assert spans[-1].stop == length
        assert all(span.start % options["multiple"] == 0 for span in spans)
        assert max(sides) <= options["tile"]
        assert len(set(sides[:-1])) <= 1
        assert sides[-1] <= sides[0]
        assert all(first.stop - second.start >= options["overlap"] for first, second in pairwise(spans))
        assert all(first.start < second.start for first, second in pairwise(spans))
        assert all(first.stop <= third.start for first, third in zip(spans, spans[2:], strict=False))


@given(st.integers(1, 500), st.integers(1, 8), st.integers(0, 5))
def test_one_tile_where_one_is_enough(length, multiple, spare):
    tile = (-(-length // multiple) + spare) * multiple
    assert plan_tiles(length, length, tile=tile, overlap=0, multiple=multiple) == ([slice(0, length)],) * 2


@given(layouts(most=60))
@settings(deadline=None, max_examples=60)
def test_blending_weights_sum_to_one(layout):
    """The response to each tile alone is its effective weight at every pixel."""
    size, options = layout
    plan = plan_tiles(*size, **options)

    def weights_of(wanted):
        return joined(plan, lambda r, c: np.full((r.stop - r.start, c.stop - c.start, 1), wanted(r, c), np.float32))

    assert (weights_of(lambda *_: 1) == 1).all()
    total = np.zeros((*size, 1))
    for rows in plan.rows:
        for columns in plan.columns:
            weights = weights_of(lambda r, c, rows=rows, columns=columns: r == rows and c == columns)
            assert weights.min() >= 0
            assert weights.max() <= 1
            outside = np.ones((*size, 1), bool)
            outside[rows, columns] = False
            assert (weights[outside] == 0).all()
            total += weights
    np.testing.assert_allclose(total, 1, atol=1e-6, rtol=0)


@given(layouts(most=80))
@settings(deadline=None, max_examples=60)
def test_nothing_fades_at_the_border_of_the_picture(layout):
    """Up to where the second tile begins the first has weight 1, and likewise at the end; on both axes."""
    (length, _), options = layout
    for size, axis in (((length, 1), 0), ((1, length), 1)):
        plan = plan_tiles(*size, **options)
        spans = plan[axis]
        numbers = {span.start: i for i, span in enumerate(spans)}

        def one_hot(rows, columns, axis=axis, numbers=numbers):
            tile = np.zeros((rows.stop - rows.start, columns.stop - columns.start, len(numbers)), np.float32)
            tile[..., numbers[(rows, columns)[axis].start]] = 1
            return tile

        weights = joined(plan, one_hot).reshape(length, len(spans))
        assert weights[0, 0] == 1
        assert weights[-1, -1] == 1
        if len(spans) > 1:
            assert (weights[: spans[1].start, 0] == 1).all()
            assert (weights[spans[-2].stop :, -1] == 1).all()
        for i, span in enumerate(spans[1:], start=1):
            rising = weights[span.start : spans[i - 1].stop, i]
            assert (np.diff(rising) >= 0).all()


@given(layouts(most=80))
@settings(deadline=None, max_examples=60)
def test_rows_arrive_in_order_once_and_early(layout):
    size, options = layout
    plan = plan_tiles(*size, **options)
    asked = []

    def process(rows, columns):
        asked.append((rows, columns))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start, 2), np.float32)

    reached = 0
    for count, (rows, values) in enumerate(process_tiles(plan, process), start=1):
        assert rows.start == reached
        assert values.shape == (rows.stop - rows.start, size[1], 2)
        assert len(asked) == count * len(plan.columns)
        reached = rows.stop
    assert reached == size[0]
    assert asked == [(rows, columns) for rows in plan.rows for columns in plan.columns]


@given(st.integers(1, 200))
def test_fade_is_symmetric_and_rests_at_both_ends(overlap):
    weights = fade_weights(overlap)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6, rtol=0)
    assert (np.diff(weights) >= 0).all()
    assert (weights[: overlap // 4] == 0).all()
    assert (weights[overlap - overlap // 4 :] == 1).all()


def test_no_fade_without_overlap():
    assert fade_weights(0).shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile": 30},
        {"overlap": 3},
        {"overlap": 12},
        {"overlap": -4},
        {"tile": 0},
        {"tile": -32},
        {"multiple": 0},
        {"height": 0},
        {"width": -1},
    ],
    ids=str,
)
def test_numbers_that_do_not_go_together_are_refused(wrong):
    arguments = {"height": 50, "width": 60, "tile": 32, "overlap": 8, "multiple": 4}
    plan_tiles(**arguments)
    with pytest.raises(ValueError, match="must be"):
        plan_tiles(**{**arguments, **wrong})
