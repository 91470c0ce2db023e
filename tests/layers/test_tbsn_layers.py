"""What the contracts do not ask of TBSN's layers: each against its equation, written with plain operators."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from checklist import many_stripes, randomise
from pellucid.layers import (
    CentreMaskedConv2d,
    GroupedChannelAttention,
    MaskedWindowAttention,
    PatchShuffleUpsample,
    PatchUnshuffleDownsample,
)
from pellucid.ops.lattices import from_lattices, to_lattices
from pellucid.ops.masked_window_attention import reference
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_lattices_are_the_parity_classes() -> None:
    x = torch.randn(2, 3, 6, 10)
    lattices = to_lattices(x)
    for picture in range(2):
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            assert torch.equal(lattices[4 * picture + 2 * a + b], x[picture, :, a::2, b::2])
    assert torch.equal(from_lattices(lattices), x)
    last = x.contiguous(memory_format=torch.channels_last)
    assert to_lattices(last).is_contiguous(memory_format=torch.channels_last)
    assert from_lattices(to_lattices(last)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(8, 16), (19, 45), (3, 2)])
@pytest.mark.parametrize(
    "fields", [{}, {"bias": True}, {"window": 4, "overlap": 8}, {"window": 16, "overlap": 20}], ids=str
)
def test_window_attention_is_its_equation(fields: dict[str, Any], size: tuple[int, int]) -> None:
    layer = randomise(MaskedWindowAttention(6, 3, head_channels=4, **fields).double())
    assert isinstance(layer, MaskedWindowAttention)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    q, k, v = layer.qkv(x).permute(0, 2, 3, 1).chunk(3, dim=-1)
    y = reference.masked_window_attention(q, k, v, layer.height, layer.width, layer.window)
    expected = layer.project(y.permute(0, 3, 1, 2))
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer(x), expected)
        with many_stripes():
            assert_close(layer(x), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_window_attention_on_lattices_is_that_in_the_picture(bias: bool) -> None:
    """Also where the lattices do not hold whole windows."""
    layer = randomise(MaskedWindowAttention(6, 2, head_channels=3, bias=bias).double())
    x = torch.randn(2, 6, 26, 44, dtype=torch.float64)
    expected = layer(x)
    assert_close(from_lattices(layer.on_lattices(to_lattices(x))), expected)
    with torch.no_grad(), many_stripes():
        assert_close(from_lattices(layer.on_lattices(to_lattices(x))), expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_channel_attention_is_its_equation(groups: int, bias: bool) -> None:
    layer = randomise(GroupedChannelAttention(6, groups, bias).double())
    y = torch.randn(2, 6, 38, 14, dtype=torch.float64)
    t = F.conv2d(y, layer.qkv.weight, layer.qkv.bias)
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, padding=2, dilation=2, groups=18)
    q, k, v = (part.reshape(2, groups, 6 // groups, -1) for part in t.chunk(3, dim=1))
    q, k = (part / part.norm(dim=-1, keepdim=True).clamp_min(1e-12) for part in (q, k))
    mixed = (layer.temperature * (q @ k.mT)).softmax(dim=-1) @ v
    expected = F.conv2d(mixed.reshape(y.shape), layer.project.weight, layer.project.bias)

    def results() -> tuple[Tensor, Tensor]:
        return layer(y), from_lattices(layer.on_lattices(to_lattices(y)))

    for result in results():
        assert_close(result, expected)
    with torch.no_grad(), many_stripes():
        for result in results():
            assert_close(result, expected)


def test_the_embedding_does_not_see_the_centre() -> None:
    layer, x = randomise(CentreMaskedConv2d(2, 5).double()), torch.randn(1, 2, 7, 9, dtype=torch.float64)
    before = layer(x)
    x[0, :, 3, 4] = 1e6
    after = layer(x)
    assert torch.equal(after[0, :, 3, 4], before[0, :, 3, 4])
    assert not torch.equal(after[0, :, 3, 3], before[0, :, 3, 3])
    layer.convolution.weight.grad = None
    layer(x).square().sum().backward()
    assert not bool(layer.convolution.weight.grad[:, :, 1, 1].any())


def test_the_embedding_starts_with_an_empty_centre() -> None:
    assert not bool(CentreMaskedConv2d(3, 4).convolution.weight[:, :, 1, 1].any())
    assert CentreMaskedConv2d(3, 4, bias=True).convolution.bias is not None


def test_patches_move_as_the_specification_says() -> None:
    """y[4c+2i+j, 2u+a, 2v+b] = x[c, 4u+2i+a, 4v+2j+b], and its inverse."""
    down, up = PatchUnshuffleDownsample(4), PatchShuffleUpsample(8)
    x = torch.randn(1, 4, 8, 12)
    convolved, moved = down.convolution(x), down(x)
    half = torch.randn(1, 8, 4, 6)
    half_convolved, back = up.convolution(half), up(half)
    two = torch.arange(2)
    for i, j, a, b in torch.cartesian_prod(two, two, two, two).tolist():
        for c in range(2):
            inside = convolved[:, c, 2 * i + a :: 4, 2 * j + b :: 4]
            assert torch.equal(moved[:, 4 * c + 2 * i + j, a::2, b::2], inside)
        for c in range(4):
            inside = half_convolved[:, 4 * c + 2 * i + j, a::2, b::2]
            assert torch.equal(back[:, c, 2 * i + a :: 4, 2 * j + b :: 4], inside)


def test_resampling_has_no_biases() -> None:
    for layer in (PatchUnshuffleDownsample(4), PatchShuffleUpsample(4)):
        assert [name for name, _ in layer.named_parameters()] == ["convolution.weight"]


@pytest.mark.parametrize(("window", "overlap"), [(8, 10), (4, 6), (8, 4), (7, 11), (0, 4), (8, 13)])
def test_windows_that_would_show_a_pixel_to_itself_are_refused(window: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="not safe for a blind spot"):
        MaskedWindowAttention(6, 2, window=window, overlap=overlap)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        GroupedChannelAttention(6, 4)
