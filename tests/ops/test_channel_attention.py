import pytest
import torch
from torch import Tensor

from pellucid.ops.channel_attention import (
    GramStatistics,
    apply_matrix,
    channel_attention,
    folded_matrix,
    gram_statistics,
)
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _qkv(*shape: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(3, *shape, dtype=torch.float64))


def _written_out(q: Tensor, k: Tensor, v: Tensor, temperature: list[float], projection: Tensor) -> Tensor:
    """The specification's sums, one scalar at a time, for one picture of N pixels: (N, C) each."""
    N, C = q.shape
    c = C // len(temperature)
    merged = torch.zeros(N, C, dtype=q.dtype)
    for head, tau in enumerate(temperature):
        for a in range(head * c, (head + 1) * c):
            scores = torch.stack(
                [tau * (q[:, a] / q[:, a].norm()) @ (k[:, j] / k[:, j].norm()) for j in range(head * c, (head + 1) * c)]
            )
            weights = scores.exp() / scores.exp().sum()
            for j, weight in enumerate(weights):
                merged[:, a] += weight * v[:, head * c + j]
    return merged @ projection.T


@pytest.mark.parametrize("temperature", [[1.3], [0.5, 2.0], [1.0, -1.0, 3.0]])
def test_is_the_equation_of_the_specification(temperature: list[float]) -> None:
    q, k, v = _qkv(1, 3, 5, 6)
    projection = torch.randn(4, 6, dtype=torch.float64)
    expected = _written_out(*(t.flatten(0, 2) for t in (q, k, v)), temperature, projection)
    tau = torch.tensor(temperature, dtype=torch.float64)
    assert_close(channel_attention(q, k, v, tau, projection).flatten(0, 2), expected)


def test_statistics_of_parts_add_up_to_those_of_the_whole() -> None:
    q, k, v = _qkv(2, 9, 4, 6)
    rows = [slice(0, 1), slice(1, 6), slice(6, 9)]
    parts = [gram_statistics(q[:, part], k[:, part], heads=3) for part in rows]
    whole = gram_statistics(q, k, heads=3)
    for total, expected in zip(GramStatistics.total(parts), whole, strict=True):
        assert_close(total, expected)
    temperature, projection = torch.rand(3, dtype=torch.float64), torch.randn(6, 6, dtype=torch.float64)
    matrix = folded_matrix(GramStatistics.total(parts), temperature, projection)
    in_parts = torch.cat([apply_matrix(matrix, v[:, part], None) for part in rows], dim=1)
    assert_close(in_parts, channel_attention(q, k, v, temperature, projection))


def test_the_length_of_queries_and_keys_does_not_matter() -> None:
    q, k, v = _qkv(1, 5, 4, 6)
    temperature, projection = torch.ones(2, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    expected = channel_attention(q, k, v, temperature, projection)
    assert_close(channel_attention(1e-3 * q, 1e4 * k, v, temperature, projection), expected)


def test_equal_keys_average_the_values_of_a_head() -> None:
    q, k, v = _qkv(1, 5, 4, 6)
    k = k[..., :1].expand_as(k)
    out = channel_attention(q, k, v, torch.ones(2, dtype=torch.float64), torch.eye(6, dtype=torch.float64))
    assert_close(out[..., :3], v[..., :3].mean(-1, keepdim=True).expand(-1, -1, -1, 3))
    assert_close(out[..., 3:], v[..., 3:].mean(-1, keepdim=True).expand(-1, -1, -1, 3))


def test_sums_over_many_pixels_are_not_taken_in_half_precision() -> None:
    """300² ones sum to 90 000, beyond float16's 65 504 and bfloat16's 256 whole numbers."""
    ones = torch.ones(1, 300, 300, 2, dtype=torch.float16)
    statistics = gram_statistics(ones, ones, heads=1)
    assert all(sums.dtype == torch.float32 for sums in statistics)
    assert all(bool((sums == 90_000).all()) for sums in statistics)


@pytest.mark.parametrize(
    ("q", "k", "v", "heads", "projection"),
    [
        ((1, 4, 4, 6), (1, 4, 4, 6), (1, 4, 4, 6), 4, (6, 6)),  # heads
        ((1, 4, 4, 6), (1, 4, 5, 6), (1, 4, 4, 6), 2, (6, 6)),  # k
        ((1, 4, 4, 6), (1, 4, 4, 6), (2, 4, 4, 6), 2, (6, 6)),  # v
        ((4, 4, 6), (4, 4, 6), (4, 4, 6), 2, (6, 6)),  # no batch
        ((1, 4, 4, 6), (1, 4, 4, 6), (1, 4, 4, 6), 2, (6, 5)),  # projection
        ((1, 4, 4, 6), (1, 4, 4, 6), (1, 4, 4, 6), 2, (6,)),  # projection
    ],
)
def test_shapes_that_disagree_are_refused(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], heads: int, projection: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must|divide"):
        channel_attention(torch.ones(q), torch.ones(k), torch.ones(v), torch.ones(heads), torch.ones(projection))


@pytest.mark.parametrize("heads", [1, 3])
def test_sums_in_float32_are_those_of_the_matrix_product(heads: int) -> None:
    """Without a gradient they come from a convolution's backward pass."""
    q, k, _ = _qkv(2, 9, 7, 6)
    rows = slice(2, 8)
    expected = gram_statistics(q[:, rows], k[:, rows], heads)
    for actual, sums in zip(gram_statistics(q.float()[:, rows], k.float()[:, rows], heads), expected, strict=True):
        assert_close(actual, sums.float())


def test_squares_take_the_place_of_queries_and_keys_only_on_request() -> None:
    q, k, _ = _qkv(2, 5, 7, 6)
    before, expected = q.clone(), gram_statistics(q, k, 3)
    assert torch.equal(q, before)
    for actual, sums in zip(gram_statistics(q, k, 3, overwrite=True), expected, strict=True):
        assert_close(actual, sums)
    assert torch.equal(q, before.square())
