"""What the contracts do not ask: the layers of GFNet against their equations, and what they remember."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from checklist import randomise
from pellucid.layers import GFBlock, GlobalFilter, LearnedPosition, global_filter
from pellucid.layers.global_filter import resize_filter
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _plain_filter(x: Tensor, weight: Tensor) -> Tensor:
    """The equation on (B, C, H, W)."""
    spectrum = torch.fft.rfft2(x, norm="ortho") * torch.view_as_complex(weight.detach().contiguous()).permute(2, 0, 1)
    return torch.fft.irfft2(spectrum, s=x.shape[-2:], norm="ortho")


def test_the_layer_is_the_equation() -> None:
    layer, x = GlobalFilter(3, 9, 14), torch.randn(2, 3, 9, 14)
    assert layer.complex_weight.shape == (9, 8, 3, 2)
    assert_close(layer(x), _plain_filter(x, layer.complex_weight))


def test_filters_start_small() -> None:
    assert 0.018 < float(GlobalFilter(64, 14, 14).complex_weight.detach().std()) < 0.022


@pytest.mark.parametrize(("height", "width"), [(24, 24), (7, 7), (11, 20), (1, 1), (1, 30)])
def test_a_filter_is_resized_as_an_image_with_aligned_corners(height: int, width: int) -> None:
    weight = torch.randn(14, 8, 3, 2, dtype=torch.float64)
    resized = resize_filter(weight, height, width)
    assert resized.shape == (height, width // 2 + 1, 3, 2)
    for c in range(3):
        for part in range(2):
            image = weight[..., c, part][None, None]
            wanted = F.interpolate(image, (height, width // 2 + 1), mode="bicubic", align_corners=True)[0, 0]
            assert_close(resized[..., c, part], wanted, scale=1.0)
    assert_close(resized[0, 0], weight[0, 0])
    if min(height, width) > 1:
        assert_close(resized[-1, -1], weight[-1, -1])


def test_a_filter_of_the_stored_size_is_not_touched() -> None:
    weight = torch.randn(14, 8, 3, 2)
    assert resize_filter(weight, 14, 14) is weight


def test_another_size_is_filtered_by_the_resized_filter() -> None:
    layer, x = GlobalFilter(3, 6, 6), torch.randn(2, 3, 9, 8)
    expected = _plain_filter(x, resize_filter(layer.complex_weight, 9, 8))
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer(x), expected)


def _step(layer: GlobalFilter) -> None:
    layer.complex_weight.grad = torch.ones_like(layer.complex_weight)
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


CHANGES: dict[str, Callable[[GlobalFilter], object]] = {
    "in place": lambda layer: layer.complex_weight.detach().mul_(2),
    "optimiser": _step,
    "loaded": lambda layer: layer.load_state_dict(GlobalFilter(3, 6, 5).state_dict()),
    "assigned": lambda layer: layer.load_state_dict(GlobalFilter(3, 6, 5).state_dict(), assign=True),
    "data": lambda layer: setattr(layer.complex_weight, "data", torch.randn(6, 3, 3, 2)),
    "double": lambda layer: layer.double(),
    "half": lambda layer: layer.bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@torch.no_grad()
def test_what_is_remembered_is_forgotten_when_the_weights_change(change: Callable[[GlobalFilter], object]) -> None:
    layer, x = GlobalFilter(3, 6, 5), torch.randn(1, 3, 6, 5)
    for _ in range(3):  # so that freed memory is used again
        before = layer(x)
        change(layer)
        after = layer(x)
        assert_close(after, _plain_filter(x.double(), layer.complex_weight.double()), torch.float32)
        assert layer.complex_weight.dtype != torch.float32 or not torch.allclose(before, after)


@torch.no_grad()
def test_the_filter_is_arranged_once_for_a_size() -> None:
    layer = GlobalFilter(3, 6, 5)
    with mock.patch.object(global_filter, "pack_filter", wraps=global_filter.pack_filter) as packed:
        for size, count in (((6, 5), 1), ((6, 5), 1), ((7, 5), 2), ((7, 4), 3), ((7, 4), 3), ((6, 5), 4)):
            x = torch.randn(2, 3, *size)
            assert_close(layer(x), _plain_filter(x, resize_filter(layer.complex_weight, *size)))
            assert packed.call_count == count


def test_nothing_is_remembered_while_a_gradient_is_recorded() -> None:
    layer, x = GlobalFilter(3, 6, 5), torch.randn(1, 3, 6, 5)
    with torch.inference_mode():
        expected = layer(x)
    for _ in range(2):  # twice, as a remembered graph could be used once only
        y = layer(x)
        assert_close(y, expected)
        y.sum().backward()
    layer.requires_grad_(False)
    assert_close(layer(x), expected)
    assert torch.autograd.grad(layer(x.requires_grad_()).sum(), x)[0].shape == x.shape


@torch.no_grad()
def test_a_copy_remembers_nothing_and_nothing_is_saved() -> None:
    layer, x = GlobalFilter(3, 6, 5), torch.randn(1, 3, 6, 5)
    expected = layer(x)
    for copy in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert copy._packed._last is None
        assert torch.equal(copy(x), expected)
        copy.complex_weight.mul_(2)
        assert_close(copy(x), 2 * expected)
        assert torch.equal(layer(x), expected)
    assert list(layer.state_dict()) == ["complex_weight"]


@torch.inference_mode()
def test_weights_made_in_inference_mode_are_never_remembered() -> None:
    layer, x = GlobalFilter(3, 6, 5), torch.randn(1, 3, 6, 5)
    expected = layer(x)
    layer.complex_weight.mul_(2)
    assert_close(layer(x), 2 * expected)


@pytest.mark.parametrize("layer_scale", [None, 0.5])
def test_a_block_has_one_residual_around_filter_and_feed_forward(layer_scale: float | None) -> None:
    block, x = randomise(GFBlock(4, 9, 6, 5, layer_scale).double()), torch.randn(2, 4, 6, 5, dtype=torch.float64)

    def norm(weights: torch.nn.Module, t: Tensor) -> Tensor:
        t = t - t.mean(-1, keepdim=True)
        return weights.weight * t / (t.square().mean(-1, keepdim=True) + 1e-6).sqrt() + weights.bias

    y = norm(block.norm1, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    y = _plain_filter(y, block.filter.complex_weight).permute(0, 2, 3, 1)
    y = norm(block.norm2, y) @ block.expand.weight.T + block.expand.bias
    y = 0.5 * y * (1 + torch.erf(y / 2**0.5)) @ block.project.weight.T + block.project.bias
    if block.gamma is not None:
        y = y * block.gamma
    assert_close(block(x), x + y.permute(0, 3, 1, 2))


def test_a_block_starts_as_the_specification_says() -> None:
    block = GFBlock(64, 256, 4, 4, layer_scale=1e-3)
    assert bool((block.gamma == 1e-3).all())
    assert 0.018 < float(block.expand.weight.detach().std()) < 0.022
    assert not bool(block.expand.bias.any() | block.project.bias.any())
    assert GFBlock(4, 8, 4, 4).gamma is None


def test_the_position_is_added_row_by_row_and_interpolated_without_aligned_corners() -> None:
    layer, x = LearnedPosition(3, 4, 6), torch.randn(2, 3, 4, 6)
    stored = layer.embedding.detach().view(4, 6, 3).permute(2, 0, 1)[None]
    assert torch.equal(layer(x), x + stored)
    x = torch.randn(2, 3, 7, 5)
    assert_close(layer(x), x + F.interpolate(stored, (7, 5), mode="bicubic", align_corners=False))
