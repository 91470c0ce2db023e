import math

import pytest
import torch

from pellucid.ops.bias_free_norm import bias_free_norm
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_constant_vector_is_divided_by_the_root_of_epsilon(dtype: torch.dtype, requires_grad: bool) -> None:
    """The specification's acceptance: σ² = 0 gives γ·x/√ε, not 0. In float32 for values whose mean is exact."""
    x = torch.tensor([0.5, -2.0, 4.0], dtype=dtype)[:, None].expand(3, 8).contiguous().requires_grad_(requires_grad)
    weight = torch.linspace(-1, 2, 8, dtype=dtype)
    assert_close(bias_free_norm(x, weight, 1e-5), weight * x / math.sqrt(1e-5))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_mean_stays_in_the_numerator(requires_grad: bool) -> None:
    x = torch.tensor([[1.0, 2.0, 6.0]], dtype=torch.float64, requires_grad=requires_grad)  # mean 3, variance 14/3
    weight = torch.tensor([1.0, 1.0, 10.0], dtype=torch.float64)
    expected = torch.tensor([[1.0, 2.0, 60.0]], dtype=torch.float64) / math.sqrt(14 / 3 + 0.5)
    assert_close(bias_free_norm(x, weight, epsilon=0.5), expected)


def test_black_stays_black() -> None:
    assert torch.equal(bias_free_norm(torch.zeros(2, 3, 4), torch.ones(4)), torch.zeros(2, 3, 4))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 3, 4), (2, 1, 3, 2, 4)])
def test_any_number_of_leading_axes(shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape), torch.randn(4)
    rows = torch.stack([bias_free_norm(row, weight) for row in x.reshape(-1, 4)])
    assert_close(bias_free_norm(x, weight).reshape(-1, 4), rows)


@pytest.mark.parametrize("weight", [(3,), (1,), (4, 1), ()])
def test_a_weight_of_another_length_is_refused(weight: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="weight must be"):
        bias_free_norm(torch.ones(2, 4), torch.ones(weight))
