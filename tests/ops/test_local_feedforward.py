"""Minimal filtering at the sizes that it is for: many channels, and pictures that torch splits in threads."""

import pytest
import torch

from pellucid.ops.local_feedforward import fast, local_feedforward, reference
from tolerances import assert_close


@pytest.mark.parametrize(("channels", "height", "width"), [(96, 64, 64), (64, 45, 70), (192, 9, 33)])
def test_minimal_filtering_equals_the_equation(channels: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(4, height, width, channels) for _ in range(2))
    weights = [torch.randn(channels, channels, 3, 3) / (9 * channels) ** 0.5 for _ in range(2)]
    biases = [torch.randn(channels) for _ in range(2)]
    assert fast.why_not(x, y, *weights, *biases) is None
    wide = (t.double() for t in (x, y, *weights, *biases))
    assert_close(local_feedforward(x, y, *weights, *biases), reference.local_feedforward(*wide))


def test_it_says_why_not() -> None:
    x, few, many = torch.zeros(1, 4, 4, 64), torch.zeros(64, 8, 3, 3), torch.zeros(64, 64, 3, 3)
    assert fast.why_not(x, few) == "there are few channels"
    assert fast.why_not(x, many.clone().requires_grad_()) == "a gradient is being recorded"
    assert fast.why_not(x.bfloat16(), many.bfloat16()) == "it is made for float32 and float64 on a CPU"
    with torch.autocast("cpu", torch.bfloat16):
        assert fast.why_not(x, many) == "another precision is asked for"


def test_shapes_that_disagree_are_refused() -> None:
    x, weight = torch.zeros(1, 4, 4, 3), torch.zeros(3, 3, 3, 3)
    with pytest.raises(ValueError, match="x must be y with 3 channels"):
        local_feedforward(x[:, 1:], x, weight, weight)
    with pytest.raises(ValueError, match="weights must be"):
        local_feedforward(x, x, torch.zeros(4, 3, 3, 3), weight)
