"""Tiles do not show: they cover the picture, fade into each other, and agree with it to the last bit."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.images.tiles import even_tiles, fade_weights, plan_tiles, process_tiles


@st.composite
def lengths(draw, tile, overlap, most):
    """One pixel, a tile and its neighbours, two tiles and theirs, or anything."""
    joints = (1, tile - overlap, tile, 2 * tile - overlap, 3 * tile - 2 * overlap)
    critical = st.builds(int.__add__, st.sampled_from(joints), st.integers(-1, 1))
    return max(1, min(most, draw(critical | st.integers(1, 4 * tile))))


@st.composite
def layouts(draw, most=10_000):
    """Arguments of plan_tiles: (height, width) and the rest by name; the tiles are no squares."""
    multiple = draw(st.integers(1, 4) | st.sampled_from([8, 16]))
    shared = draw(st.integers(0, 3))
    tile = tuple(draw(st.integers(max(1, 4 * shared), 4 * shared + 6)) * multiple for _ in range(2))
    size = tuple(draw(lengths(side, shared * multiple, most)) for side in tile)
    return size, {"tile": tile, "overlap": shared * multiple, "multiple": multiple}


def joined(plan, process, scale=1):
    return np.concatenate([values for _, values in process_tiles(plan, process, scale)])


def enlarged(picture, scale):
    """Every pixel repeated."""
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


@given(layouts(most=60), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(0, 99))
@settings(deadline=None, max_examples=500)
@example(((1, 1), {"tile": (1, 1), "overlap": 0, "multiple": 1}), 4, 3, 0)
@example(((65, 63), {"tile": (64, 80), "overlap": 16, "multiple": 16}), 1, 3, 1)
@example(((49, 200), {"tile": (64, 64), "overlap": 16, "multiple": 16}), 2, 3, 1)
def test_identity_and_repetition_are_bit_exact(layout, scale, channels, seed):
    size, options = layout
    rng = np.random.default_rng(seed)
    picture = rng.standard_normal((*size, channels), dtype=np.float32) * np.float32(10.0 ** rng.integers(-6, 6))
    before = picture.copy()

    def process(rows, columns):
        return picture[rows, columns] if scale == 1 else enlarged(picture[rows, columns], scale)

    result = joined(plan_tiles(*size, **options), process, scale)
    assert result.dtype == np.float32
    assert result.tobytes() == enlarged(before, scale).tobytes()
    assert picture.tobytes() == before.tobytes()


@given(layouts())
@settings(max_examples=500)
@example(((65, 49), {"tile": (64, 64), "overlap": 16, "multiple": 16}))
def test_tiles_cover_evenly(layout):
    size, options = layout
    multiple = options["multiple"]
    for length, longest, spans in zip(size, options["tile"], plan_tiles(*size, **options), strict=True):
        sides = [span.stop - span.start for span in spans]
        assert spans[0].start == 0
        assert spans[-1].stop == length
        assert all(span.start % multiple == 0 for span in spans)
        assert max(sides) <= longest
        assert len(set(sides[:-1])) <= 1
        assert sides[0] - multiple < sides[-1] <= sides[0]  # the last shifts rather than shrinks
        assert all(first.stop - second.start >= options["overlap"] for first, second in pairwise(spans))
        assert all(first.start < second.start for first, second in pairwise(spans))
        assert all(spans[i].stop <= spans[i + 2].start for i in range(len(spans) - 2))
        assert even_tiles(length, longest, options["overlap"], multiple)[0] == len(spans)
        if len(spans) > 1:  # one tile fewer would not do
            assert (len(spans) - 1) * longest - (len(spans) - 2) * options["overlap"] < length


@given(st.integers(1, 500), st.integers(1, 8), st.integers(0, 5))
def test_one_tile_where_one_is_enough(length, multiple, spare):
    tile = (-(-length // multiple) + spare) * multiple
    for overlap in (0, multiple):
        plan = plan_tiles(length, length, tile=(tile, tile), overlap=overlap, multiple=multiple)
        assert plan == ([slice(0, length)],) * 2


@given(layouts(most=60), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_blending_weights_sum_to_one(layout, scale):
    """The response to each tile alone is its effective weight at every pixel."""
    size, options = layout
    plan = plan_tiles(*size, **options)

    def weights_of(wanted):
        def process(r, c):
            return np.full((scale * (r.stop - r.start), scale * (c.stop - c.start), 1), wanted(r, c), np.float32)

        return joined(plan, process, scale)

    assert (weights_of(lambda *_: 1) == 1).all()
    total = np.zeros((scale * size[0], scale * size[1], 1))
    for rows in plan.rows:
        for columns in plan.columns:
            weights = weights_of(lambda r, c, rows=rows, columns=columns: r == rows and c == columns)
            assert weights.min() >= 0
            assert weights.max() <= 1
            outside = np.ones((*size, 1), bool)
            outside[rows, columns] = False
            assert (weights[enlarged(outside, scale)] == 0).all()
            total += weights
    np.testing.assert_allclose(total, 1, atol=1e-6, rtol=0)


@given(layouts(most=60), st.integers(1, 3), st.integers(-5, 5), st.integers(-5, 5))
@settings(deadline=None, max_examples=100)
def test_what_is_linear_stays_so(layout, scale, across, down):
    """Each tile gives its place in the result, exactly; a tile that is put elsewhere, or fades alone, is seen."""
    size, options = layout
    y, x = np.mgrid[: scale * size[0], : scale * size[1]]
    whole = (across * x + down * y).astype(np.float32)[..., None]
    plan = plan_tiles(*size, **options)

    def process(rows, columns):
        place = (slice(scale * span.start, scale * span.stop) for span in (rows, columns))
        return whole[tuple(place)]

    np.testing.assert_array_equal(joined(plan, process, scale), whole)


@given(layouts(most=80))
@settings(deadline=None, max_examples=60)
def test_nothing_fades_at_the_border_of_the_picture(layout):
    """Up to where the second tile begins the first has weight 1, and likewise at the end; on both axes."""
    sizes, options = layout
    for size, axis in (((sizes[0], 1), 0), ((1, sizes[1]), 1)):
        length = sizes[axis]
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


@given(layouts(most=80), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_rows_arrive_in_order_once_and_early(layout, scale):
    size, options = layout
    plan = plan_tiles(*size, **options)
    asked = []

    def process(rows, columns):
        asked.append((rows, columns))
        return np.zeros((scale * (rows.stop - rows.start), scale * (columns.stop - columns.start), 2), np.float32)

    reached = 0
    for rows, values in process_tiles(plan, process, scale):
        assert rows.start == reached
        assert values.shape == (rows.stop - rows.start, scale * size[1], 2)
        assert len(values) <= 64
        needed = sum(scale * span.start < rows.stop for span in plan.rows)
        assert len(asked) == needed * len(plan.columns)
        reached = rows.stop
    assert reached == scale * size[0]
    assert asked == [(rows, columns) for rows in plan.rows for columns in plan.columns]


@pytest.mark.parametrize("scale", [1, 2])
def test_no_more_rows_are_held_than_the_docstring_says(scale):
    """While a tile is processed: as many rows as a tile and an overlap have, and 64 more that were yielded last."""
    height, width, tile, overlap = 1500, 1000, 256, 64
    plan = plan_tiles(height, width, tile=(tile, 320), overlap=overlap, multiple=8)
    held = []

    def process(rows, columns):
        held.append(tracemalloc.get_traced_memory()[0])
        return np.zeros((scale * (rows.stop - rows.start), scale * (columns.stop - columns.start), 3), np.float32)

    tracemalloc.start()
    try:
        for _, values in process_tiles(plan, process, scale):
            assert values.flags.owndata
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    row, side = scale * width * 3 * 4, plan.rows[0].stop
    shared = max(first.stop - second.start for first, second in pairwise(plan.rows))
    assert max(held) <= (scale * (side + shared) + 64) * row + 2**16
    assert peak <= (scale * (side + 2 * shared) + 128) * row + 2**16


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
        {"tile": (30, 32)},
        {"tile": (32, 30)},
        {"overlap": 3},
        {"overlap": 12},
        {"overlap": -4},
        {"tile": (32, 0)},
        {"tile": (-32, 32)},
        {"multiple": 0},
        {"height": 0},
        {"width": -1},
    ],
    ids=str,
)
def test_numbers_that_do_not_go_together_are_refused(wrong):
    arguments = {"height": 50, "width": 60, "tile": (32, 36), "overlap": 8, "multiple": 4}
    plan_tiles(**arguments)
    with pytest.raises(ValueError, match="must be"):
        plan_tiles(**{**arguments, **wrong})
