import pytest
import torch
from torch.nn import functional as F

from pellucid.ops.spectral_weight import spectral_weight
from tolerances import assert_close


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_is_the_circular_convolution_with_the_weights_transform(dtype: torch.dtype) -> None:
    """Also for a weight that differs in conjugate bins: their mean acts."""
    torch.manual_seed(0)
    y, weight, projection = torch.randn(1, 8, 8, 2, dtype=dtype), torch.randn(3, 8, 5, dtype=dtype), torch.eye(3, 2)
    mean = weight.clone()
    for u, v in torch.cartesian_prod(torch.arange(8), torch.tensor([0, 4])).tolist():
        mean[:, u, v] = (weight[:, u, v] + weight[:, -u % 8, v]) / 2
    kernel = torch.fft.irfft2(mean, s=(8, 8))
    t, expected = F.linear(y, projection.to(dtype)), torch.zeros(1, 8, 8, 3, dtype=dtype)
    for m, n, a, b in torch.cartesian_prod(*[torch.arange(8)] * 4).tolist():
        expected[:, m, n] += t[:, a, b] * kernel[:, (m - a) % 8, (n - b) % 8]
    assert_close(spectral_weight(y, weight, projection.to(dtype)), expected)


def test_ones_leave_the_projection() -> None:
    torch.manual_seed(0)
    y, projection, bias = torch.randn(2, 9, 5, 3), torch.randn(4, 3), torch.randn(4)
    assert_close(spectral_weight(y, torch.ones(4, 8, 5), projection, bias), F.linear(y, projection, bias))


def test_the_bias_is_a_frequency_too() -> None:
    y, weight, bias = torch.zeros(1, 8, 8, 2), torch.ones(2, 8, 5), torch.tensor([1.0, -2.0])
    weight[:, 0, 0] = torch.tensor([3.0, 5.0])
    assert_close(spectral_weight(y, weight, torch.eye(2), bias), torch.tensor([3.0, -10.0]).expand(1, 8, 8, 2))


@pytest.mark.parametrize(
    ("y", "weight", "projection"),
    [
        ((8, 8, 2), (3, 8, 5), (3, 2)),
        ((1, 8, 8, 2), (3, 8, 5), (3, 3)),
        ((1, 8, 8, 2), (2, 8, 5), (3, 2)),
        ((1, 8, 8, 2), (3, 5, 8), (3, 2)),
    ],
)
def test_shapes_that_disagree_are_refused(
    y: tuple[int, ...], weight: tuple[int, ...], projection: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="must"):
        spectral_weight(torch.ones(y), torch.ones(weight), torch.ones(projection))
