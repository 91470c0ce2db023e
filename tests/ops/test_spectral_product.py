import pytest
import torch
from torch import Tensor

from pellucid.ops.spectral_product import spectral_product
from tolerances import assert_close


def _circular(q: Tensor, k: Tensor, sign: int) -> Tensor:
    """A[m,n] = Σ q[a,b] k[(m − a) mod 8, (n − b) mod 8], or k[(a + m) …] with sign −1: a correlation."""
    A = torch.zeros_like(q)
    for m, n, a, b in torch.cartesian_prod(*[torch.arange(8)] * 4).tolist():
        A[:, m, n] += q[:, a, b] * k[:, sign * (m - a) % 8, sign * (n - b) % 8]
    return A


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_is_the_circular_convolution_of_the_specification(dtype: torch.dtype) -> None:
    """And not the correlation that the paper's conjugate would give."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8, 8, 3, dtype=dtype)
    convolution = _circular(q, k, sign=1)
    assert_close(spectral_product(q, k), convolution)
    assert float((_circular(q, k, sign=-1) - convolution).abs().max()) > 1


def test_patches_do_not_meet() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 16, 24, 2)
    whole = spectral_product(q, k)
    for i, j in ((0, 0), (0, 8), (8, 16)):
        part = spectral_product(q[:, i : i + 8, j : j + 8], k[:, i : i + 8, j : j + 8])
        assert_close(whole[:, i : i + 8, j : j + 8], part)


def test_incomplete_patches_are_completed_with_zeros() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 5, 11, 2)
    larger_q, larger_k = torch.zeros(2, 1, 8, 16, 2)
    larger_q[:, :5, :11], larger_k[:, :5, :11] = q, k
    assert_close(spectral_product(q, k), spectral_product(larger_q, larger_k)[:, :5, :11])


def test_shapes_that_disagree_are_refused() -> None:
    for q, k in (((1, 8, 8, 3), (1, 8, 8, 2)), ((8, 8, 3), (8, 8, 3)), ((1, 8, 16, 3), (1, 16, 8, 3))):
        with pytest.raises(ValueError, match="must share"):
            spectral_product(torch.ones(q), torch.ones(k))
