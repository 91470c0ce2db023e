from unittest import mock

import pytest
import torch

from pellucid.ops.tile_attention import convolved, fast, reference, tile_attention
from pellucid.ops.tile_attention.geometry import regions
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _inputs(query_tile, key_tile, tiles, heads=2, channels=4):
    q = torch.randn(1, tiles[0] * query_tile[0], tiles[1] * query_tile[1], channels, dtype=torch.float64)
    k, v = torch.randn(2, 1, tiles[0] * key_tile[0], tiles[1] * key_tile[1], channels, dtype=torch.float64)
    table = torch.randn(heads, query_tile[0] + key_tile[0] - 1, query_tile[1] + key_tile[1] - 1, dtype=torch.float64)
    return q, k, v, torch.randn(heads, 1, 1, dtype=torch.float64) + 1, table


def test_is_the_equation_of_the_specification() -> None:
    """Pixel by pixel, for one shifted grid of windows: who shares a window, with what bias, who is masked."""
    n, delta, side = 3, 1, 6
    q, k, v, temperature, table = _inputs((n, n), (n, n), (2, 2), heads=1)
    out = tile_attention(q, k, v, temperature, table, (n, n), (n, n), (delta, delta), (delta, delta))
    for y in range(side):
        for x in range(side):
            rolled = ((y - delta) % side, (x - delta) % side)
            scores, values = [], []
            for i in range(side):
                for j in range(side):
                    other = ((i - delta) % side, (j - delta) % side)
                    if any(a // n != b // n for a, b in zip(rolled, other, strict=True)):
                        continue
                    cosine = torch.cosine_similarity(q[0, y, x], k[0, i, j], dim=0)
                    bias = table[0, rolled[0] - other[0] + n - 1, rolled[1] - other[1] + n - 1]
                    joined = any((a >= side - delta) != (b >= side - delta) for a, b in zip(rolled, other, strict=True))
                    scores.append(temperature[0, 0, 0].exp() * cosine + bias - 100 * joined)
                    values.append(v[0, i, j])
            assert_close(out[0, y, x], torch.stack(scores).softmax(0) @ torch.stack(values))


@pytest.mark.parametrize("tiles", [(1, 1), (1, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize(
    ("query_tile", "key_tile", "query_shift", "key_shift"),
    [
        ((2, 3), (2, 3), (0, 0), (0, 0)),
        ((2, 3), (2, 3), (1, 2), (1, 2)),
        ((4, 2), (8, 4), (2, 0), (4, 0)),
        ((4, 8), (1, 2), (3, 4), (0, 1)),  # a shift smaller than an anchor rolls tokens and not anchors
        ((1, 1), (3, 2), (0, 0), (1, 0)),
    ],
)
def test_any_number_of_tiles_in_any_number_of_parts(query_tile, key_tile, query_shift, key_shift, tiles) -> None:
    arguments = (*_inputs(query_tile, key_tile, tiles), query_tile, key_tile, query_shift, key_shift)
    expected = reference.tile_attention(*arguments)
    assert_close(tile_attention(*arguments), expected)
    with mock.patch.object(fast, "_BIAS_VALUES", 1):
        assert_close(tile_attention(*arguments), expected)


@pytest.mark.parametrize("held", [1, 40, 1 << 20])
@pytest.mark.parametrize("tiles", [(1, 1), (2, 3)])
@pytest.mark.parametrize(
    ("query_tile", "key_tile", "query_shift", "key_shift"),
    [
        ((2, 3), (2, 3), (1, 2), (1, 2)),
        ((5, 2), (10, 4), (2, 0), (4, 0)),  # five rows of queries in two parts
        ((7, 1), (1, 2), (3, 0), (0, 1)),
        ((1, 1), (3, 2), (0, 0), (1, 0)),
    ],
)
def test_large_tiles_by_convolution(query_tile, key_tile, query_shift, key_shift, tiles, held) -> None:
    arguments = _inputs(query_tile, key_tile, tiles, channels=10)
    single = [t.float() for t in arguments]
    tiling = (query_tile, key_tile, query_shift, key_shift)
    expected = reference.tile_attention(*(t.double() for t in single), *tiling).float()
    with (
        mock.patch.object(convolved, "_FEWEST_SCORES", 0),
        mock.patch.object(convolved, "_HELD_SCORES", held),
        mock.patch.object(convolved, "attention", wraps=convolved.attention) as attention,
    ):
        assert_close(tile_attention(*single, *tiling), expected)
    assert attention.called


def test_convolutions_are_left_out_where_they_cannot_run_or_do_not_pay() -> None:
    arguments = [t.float() for t in _inputs((2, 2), (2, 2), (1, 1))]
    assert convolved.why_not(*arguments, scores=1 << 18) is None
    assert "small" in str(convolved.why_not(*arguments, scores=1 << 17))
    assert "gradient" in str(convolved.why_not(arguments[0].requires_grad_(), *arguments[1:], scores=1 << 18))


def test_a_masked_key_still_wins_at_the_highest_temperature() -> None:
    """M is −100, not −∞: of two keys, the masked one lies along the query and the other against it."""
    q = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    k = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    v = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(1, 1, 2, 2)
    out = tile_attention(q, k, v, torch.full((1, 1, 1), 9.0), torch.zeros(1, 1, 3), (1, 2), (1, 2), (0, 1), (0, 1))
    assert_close(out[0, 0, 0], torch.ones(2))


def test_the_temperature_stops_at_a_hundred() -> None:
    arguments = _inputs((2, 2), (2, 2), (1, 1))
    hot, hotter = (
        tile_attention(*arguments[:3], torch.full((2, 1, 1), tau, dtype=torch.float64), arguments[4], (2, 2), (2, 2))
        for tau in (4.605170185988092, 50.0)
    )
    assert_close(hot, hotter)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (1, 2)])
def test_regions_cover_each_pixel_once(shift) -> None:
    seen = torch.zeros(1, 6, 9, 1)
    masked = (shift[0] > 0, shift[1] > 0)
    for region in regions((6, 9), (2, 3), shift, split=masked):
        H, W = region.size
        taken = region.take(seen)
        assert taken.shape == (1, H, W, 1)
        region.put(seen, (taken + 1).view(1, H // 2, 2, W // 3, 3, 1, 1))
    assert torch.equal(seen, torch.ones_like(seen))


@pytest.mark.parametrize(
    "changed",
    [
        {"q": (1, 4, 4)},
        {"k": (1, 4, 6, 4)},
        {"v": (1, 4, 4, 6)},
        {"q": (2, 4, 4, 4)},
        {"q": (1, 5, 4, 4)},
        {"q": (1, 8, 4, 4)},
        {"table": (2, 3, 2)},
        {"temperature": (3, 1, 1)},
        {"query_shift": (2, 0)},
        {"key_shift": (0, -1)},
    ],
    ids=str,
)
def test_shapes_that_disagree_are_refused(changed) -> None:
    shapes = {"q": (1, 4, 4, 4), "k": (1, 4, 4, 4), "v": (1, 4, 4, 4), "temperature": (2, 1, 1), "table": (2, 3, 3)}
    shifts = {"query_shift": (0, 0), "key_shift": (0, 0)}
    tensors = {name: torch.ones(changed.get(name, shape)) for name, shape in shapes.items()}
    shifts = {name: changed.get(name, shift) for name, shift in shifts.items()}
    with pytest.raises(ValueError, match=r"must be|do not divide|do not fit|equally many"):
        tile_attention(**tensors, query_tile=(2, 2), key_tile=(2, 2), **shifts)
