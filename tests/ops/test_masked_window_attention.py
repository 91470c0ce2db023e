"""What the contracts do not ask: one query by hand, the rows that matter, refusals."""

import pytest
import torch
from torch import Tensor

from pellucid.ops.masked_window_attention import check_blind_spot, masked_window_attention, reference
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _inputs(H: int, W: int, heads: int = 2, d: int = 3, overlap: int = 12) -> tuple[Tensor, ...]:
    pictures = (torch.randn(1, H, W, heads * d, dtype=torch.float64) for _ in range(3))
    return *pictures, *(torch.randn(2 * overlap - 1, d, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("place", [(0, 0), (9, 13), (15, 15), (7, 8)])
def test_one_pixel_by_hand(place: tuple[int, int]) -> None:
    """Keys at even displacements, from 2 pixels before the window to 2 pixels after it, zero outside the picture."""
    q, k, v, height, width = _inputs(16, 16)
    y, x = place
    corner = [8 * (side // 8) - 2 for side in place]
    for h in (0, 1):
        head = slice(3 * h, 3 * h + 3)
        scores, values = [], []
        for row in range(corner[0], corner[0] + 12):
            for column in range(corner[1], corner[1] + 12):
                if (row - y) % 2 or (column - x) % 2:
                    continue
                inside = 0 <= row < 16 and 0 <= column < 16
                key = k[0, row, column, head] if inside else torch.zeros(3, dtype=torch.float64)
                value = v[0, row, column, head] if inside else torch.zeros(3, dtype=torch.float64)
                # places in the two windows differ by 2 more than the pixels do
                position = height[row - y + 2 + 11] + width[column - x + 2 + 11]
                scores.append(q[0, y, x, head] @ (key + position) / 3**0.5)
                values.append(value)
        assert len(scores) == 36
        expected = torch.stack(scores).softmax(0) @ torch.stack(values)
        for function in (masked_window_attention, reference.masked_window_attention):
            assert_close(function(q, k, v, height, width, 8)[0, y, x, head], expected)


def test_only_odd_rows_of_the_position_vectors_matter() -> None:
    *qkv, height, width = _inputs(16, 24)
    expected = masked_window_attention(*qkv, height, width, 8)
    used = torch.zeros(23, dtype=torch.bool)
    used[5:22:2] = True
    for table in (height, width):
        table[~used] = 99.0
    assert torch.equal(masked_window_attention(*qkv, height, width, 8), expected)
    assert_close(reference.masked_window_attention(*qkv, height, width, 8), expected)


def test_parity_classes_do_not_meet() -> None:
    q, k, v, height, width = _inputs(19, 21)
    expected = masked_window_attention(q, k, v, height, width, 8)
    for t in (q, k, v):
        t[:, 1::2] = torch.randn_like(t[:, 1::2])
        t[:, :, 1::2] = torch.randn_like(t[:, :, 1::2])
    assert torch.equal(masked_window_attention(q, k, v, height, width, 8)[:, ::2, ::2], expected[:, ::2, ::2])


@pytest.mark.parametrize(("window", "overlap"), [(8, 12), (8, 16), (16, 20), (4, 8), (4, 4), (2, 6)])
def test_safe_windows_are_taken(window: int, overlap: int) -> None:
    check_blind_spot(window, overlap)


@pytest.mark.parametrize(("window", "overlap"), [(8, 10), (4, 6), (3, 7), (0, 4), (8, 4), (-4, 4)])
def test_unsafe_windows_are_refused(window: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="not safe"):
        check_blind_spot(window, overlap)
    if overlap > 0:
        with pytest.raises(ValueError, match="not safe"):
            masked_window_attention(*_inputs(8, 8, overlap=overlap), window)


def test_shapes_that_disagree_are_refused() -> None:
    q, k, v, height, width = _inputs(8, 8)
    with pytest.raises(ValueError, match="must share"):
        masked_window_attention(q, k[:, 1:], v, height, width, 8)
    for tables in ((height, width[1:]), (height[1:], width[1:]), (height[:, :2], width), (height[0], width[0])):
        with pytest.raises(ValueError, match="height and width"):
            masked_window_attention(q, k, v, *tables, 8)
    with pytest.raises(ValueError, match="height and width"):
        masked_window_attention(q[..., :5], k[..., :5], v[..., :5], height, width, 8)
