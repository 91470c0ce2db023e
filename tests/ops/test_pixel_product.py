import pytest
import torch
from torch.nn import functional as F

from pellucid.ops.onednn import why_not
from pellucid.ops.pixel_product import PixelMap, pixel_product
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (2, 3, 7, 5), (1, 9, 4, 1)])
def test_is_a_linear_map_of_each_pixel(dtype: torch.dtype, biased: bool, shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape, dtype=dtype), torch.randn(6, shape[-1], dtype=dtype)
    bias = torch.randn(6, dtype=dtype) if biased else None
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert_close(pixel_product(x, weight, bias), F.linear(x, weight, bias))


def test_a_map_is_the_same_for_pictures_of_any_size() -> None:
    weight, bias = torch.randn(6, 5), torch.randn(6)
    pixel_map = PixelMap(weight, bias)
    for size in [(1, 1), (7, 3), (33, 64), (32, 64), (7, 3)]:
        x = torch.randn(2, *size, 5)
        assert_close(pixel_map(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), F.linear(x, weight, bias))
        recorded = x.clone().requires_grad_()
        pixel_map(recorded.permute(0, 3, 1, 2)).sum().backward()
        assert_close(recorded.grad, weight.sum(0).expand_as(x))


def test_rows_and_channels_of_a_larger_picture_are_taken_as_they_lie() -> None:
    picture, weight = torch.randn(2, 9, 8, 12), torch.randn(5, 4)
    part = picture[:, 2:7, :, 4:8]
    assert_close(pixel_product(part, weight), F.linear(part, weight))


def test_gradients_are_those_of_a_linear_map() -> None:
    x, weight, bias = torch.randn(1, 3, 4, 5), torch.randn(6, 5), torch.randn(6)
    found, expected = ([t.clone().requires_grad_() for t in (x, weight, bias)] for _ in range(2))
    pixel_product(*found).square().sum().backward()
    F.linear(*expected).square().sum().backward()
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours.grad, theirs.grad)


def test_autocast_chooses_the_type() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert pixel_product(torch.randn(1, 2, 2, 3), torch.randn(4, 3)).dtype == torch.bfloat16


def test_the_operators_of_onednn_say_why_they_cannot_run() -> None:
    x = torch.ones(1, 2, 2, 3)
    others = (x.double(), x.bfloat16(), x.to("meta"), x.clone().requires_grad_(), x[:, :0])
    assert all(isinstance(why_not(t), str) for t in others)
    assert isinstance(why_not(x, None, x.double()), str)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(why_not(x), str)
