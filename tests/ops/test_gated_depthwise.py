import pytest
import torch

from pellucid.ops.gated_depthwise import gated_depthwise
from tolerances import assert_close


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_is_the_equation_of_the_specification(dtype: torch.dtype) -> None:
    """½ x (1 + erf(x / √2)) of the first, times the second; a cross-correlation with zeros around the picture."""
    torch.manual_seed(0)
    t1, t2 = torch.randn(2, 1, 4, 5, 3, dtype=dtype)
    weights, biases = torch.randn(2, 3, 1, 3, 3, dtype=dtype), torch.randn(2, 3, dtype=dtype)
    mixed = []
    for t, weight, bias in zip((t1, t2), weights, biases, strict=True):
        padded = torch.zeros(1, 6, 7, 3, dtype=dtype)
        padded[:, 1:-1, 1:-1] = t
        windows = ((i, j, padded[:, i : i + 4, j : j + 5]) for i in range(3) for j in range(3))
        mixed.append(sum(window * weight[:, 0, i, j] for i, j, window in windows) + bias)
    expected = 0.5 * mixed[0] * (1 + torch.erf(mixed[0] / 2**0.5)) * mixed[1]
    assert_close(gated_depthwise(t1, t2, *weights, *biases), expected)


@pytest.mark.parametrize(
    ("t1", "t2", "weight1", "weight2"),
    [
        ((1, 4, 4, 3), (1, 4, 5, 3), (3, 1, 3, 3), (3, 1, 3, 3)),
        ((4, 4, 3), (4, 4, 3), (3, 1, 3, 3), (3, 1, 3, 3)),
        ((1, 4, 4, 3), (1, 4, 4, 3), (4, 1, 3, 3), (3, 1, 3, 3)),
        ((1, 4, 4, 3), (1, 4, 4, 3), (3, 1, 3, 3), (3, 1, 5, 5)),
    ],
)
def test_shapes_that_disagree_are_refused(
    t1: tuple[int, ...], t2: tuple[int, ...], weight1: tuple[int, ...], weight2: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="must"):
        gated_depthwise(torch.ones(t1), torch.ones(t2), torch.ones(weight1), torch.ones(weight2))
