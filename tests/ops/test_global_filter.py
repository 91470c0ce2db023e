import math
from unittest import mock

import pytest
import torch
from torch import Tensor

from pellucid.ops.global_filter import apply_packed, fast, global_filter, pack_filter, reference, why_not
from pellucid.ops.global_filter.transform import split
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _inputs(batch: int, height: int, width: int, channels: int = 2) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, height, width, channels, dtype=torch.float64)
    return x, torch.randn(height, width // 2 + 1, channels, 2, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 3), (1, 4), (3, 1)])
def test_is_a_circular_convolution_written_out(height: int, width: int) -> None:
    """y[m, n] = Σ k[m − i, n − j] x[i, j], where k[m, n] = Σ Re(K e^(2πi(um/H + vn/W))) / HW over both halves."""
    x, weight = _inputs(1, height, width, channels=1)
    kernel = torch.zeros(height, width, dtype=torch.float64)
    for m in range(height):
        for n in range(width):
            for u in range(height):
                for v in range(width // 2 + 1):
                    angle = 2 * math.pi * (u * m / height + v * n / width)
                    re, im = weight[u, v, 0].tolist()
                    counted = 1 if 2 * v in (0, width) else 2
                    kernel[m, n] += counted * (re * math.cos(angle) - im * math.sin(angle)) / (height * width)
    expected = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            expected[0, :, :, 0] += x[0, i, j, 0] * kernel.roll((i, j), (0, 1))
    assert_close(global_filter(x, weight), expected)


SPLIT = [(33, 34), (36, 4), (3, 40), (56, 56), (37, 64), (49, 41)]


@pytest.mark.parametrize("values", [1, 5_000, 400_000])
@pytest.mark.parametrize(("height", "width"), SPLIT)
def test_sides_of_two_factors_in_blocks_of_any_size(height: int, width: int, values: int) -> None:
    x, weight = _inputs(3, height, width)
    for t in (x, weight):
        t.requires_grad_()
    expected, actual = reference.global_filter(x, weight), fast.global_filter(x, weight)
    assert_close(actual, expected)
    gradient = torch.randn_like(expected)
    for mine, wanted in zip(
        torch.autograd.grad(actual, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient),
        strict=True,
    ):
        assert_close(mine, wanted)
    with torch.no_grad(), mock.patch.object(fast, "_BLOCK_VALUES", values):
        assert_close(global_filter(x, weight), expected)


def test_a_large_grid_in_float32() -> None:
    x, weight = _inputs(1, 256, 256, channels=1)
    assert_close(global_filter(x.float(), weight.float()), reference.global_filter(x, weight))


@pytest.mark.parametrize(("side", "factors"), [(1, (1, 1)), (12, (4, 3)), (37, (37, 1)), (56, (8, 7)), (256, (16, 16))])
def test_factors_are_those_nearest_the_root(side: int, factors: tuple[int, int]) -> None:
    assert split(side) == factors


def test_a_side_without_small_factors_is_left_to_the_fft() -> None:
    assert why_not(1024, 960) is None
    assert "521" in (why_not(2, 521) or "")
    x, weight = _inputs(1, 2, 521)
    with mock.patch.object(fast, "global_filter", side_effect=AssertionError):
        assert_close(global_filter(x, weight), reference.global_filter(x, weight))


@pytest.mark.parametrize("width", [6, 7])
def test_only_the_hermitian_part_of_the_first_and_middle_column_acts(width: int) -> None:
    """K̃(u, v) = ½ (K(u, v) + conj K(−u, v)) there: what is added to K with the opposite symmetry changes nothing."""
    x, weight = _inputs(2, 5, width)
    other = torch.randn_like(weight[:, 0])
    mirrored = other[[0, 4, 3, 2, 1]] * torch.tensor([1.0, -1.0], dtype=torch.float64)
    changed = weight.clone()
    for column in [0, width // 2] if width % 2 == 0 else [0]:
        changed[:, column] += other - mirrored
    assert float((changed - weight).abs().max()) > 0.1
    assert_close(global_filter(x, changed), global_filter(x, weight))


def test_a_filter_of_ones_changes_nothing() -> None:
    x, weight = _inputs(2, 9, 14)
    weight[..., 0], weight[..., 1] = 1, 0
    assert_close(global_filter(x, weight), x)


def test_a_constant_picture_is_multiplied_by_the_first_coefficient() -> None:
    x, weight = _inputs(2, 6, 5)
    constant = torch.ones_like(x) * torch.tensor([2.0, -3.0], dtype=torch.float64)
    assert_close(global_filter(constant, weight), constant * weight[0, 0, :, 0])


def test_a_packed_filter_is_the_filter() -> None:
    x, weight = _inputs(2, 7, 10)
    assert_close(apply_packed(x, pack_filter(weight, 10)), reference.global_filter(x, weight))


def test_what_inference_remembers_serves_training() -> None:
    x, weight = (t.float() for t in _inputs(1, 11, 13))
    with torch.inference_mode():
        global_filter(x, weight)
    global_filter(x.requires_grad_(), weight.requires_grad_()).sum().backward()
    assert weight.grad is not None


def test_an_exported_program_has_no_complex_number() -> None:
    x, weight = _inputs(1, 36, 35)

    class Filter(torch.nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return global_filter(x, weight)

    graph = torch.export.export(Filter(), (x, weight)).graph
    values = [node.meta["val"] for node in graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert values
    assert not any(value.is_complex() for value in values)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        ((4, 6, 2), (4, 4, 2, 2)),
        ((1, 4, 6, 2), (4, 3, 2, 2)),
        ((1, 4, 6, 2), (5, 4, 2, 2)),
        ((1, 4, 6, 2), (4, 4, 3, 2)),
        ((1, 4, 6, 2), (4, 4, 2)),
    ],
)
def test_shapes_that_disagree_are_refused(x: tuple[int, ...], weight: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        global_filter(torch.zeros(x), torch.zeros(weight))
