"""What the contracts do not ask: each of CloFormer's layers against its equation, written with plain operators."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from checklist import randomise
from pellucid.layers import AttnConv, CloAttention, CloBlock, ConvFFN
from pellucid.layers.picture_norm import PictureNorm
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _attn_conv(layer: AttnConv, x: Tensor, d: float) -> Tensor:
    """The specification's three steps."""
    projected = F.conv2d(x, layer.qkv.weight, layer.qkv.bias)
    r, channels = layer.depthwise.kernel_size[0], projected.shape[1]
    mixed = F.conv2d(projected, layer.depthwise.weight, layer.depthwise.bias, padding=r // 2, groups=channels)
    Q, K, V = mixed[:, : channels // 3], mixed[:, channels // 3 : 2 * channels // 3], mixed[:, 2 * channels // 3 :]
    z = F.conv2d(Q * K, layer.w1.weight, layer.w1.bias)
    return torch.tanh(d**-0.5 * F.conv2d(z * torch.sigmoid(z), layer.w2.weight, layer.w2.bias)) * V


def _attention(layer: CloAttention, x: Tensor, d: int) -> Tensor:
    B, _, H, W = x.shape
    branches = [_attn_conv(branch, x, d) for branch in layer.local]
    if layer.query is not None:
        p = layer.pool
        h, w = H // p, W // p
        P = x[:, :, : h * p, : w * p].unflatten(2, (h, p)).unflatten(4, (w, p)).mean((3, 5))
        q = layer.query(x).flatten(2)
        k, v = layer.key_value(P).flatten(2).chunk(2, dim=1)
        for i in range(layer.global_heads):
            head = slice(i * d, (i + 1) * d)
            attention = (d**-0.5 * q[:, head].mT @ k[:, head]).softmax(-1)
            branches.append((attention @ v[:, head].mT).mT.reshape(B, d, H, W))
    return layer.project(torch.cat(branches, 1))


@pytest.mark.parametrize("kernel_size", [1, 3, 9])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attn_conv_is_its_equation(heads: int, kernel_size: int) -> None:
    layer = randomise(AttnConv(6, heads, kernel_size, out_channels=4).double())
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    expected = _attn_conv(layer, x, 4 / heads)
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("splits", "kernels", "pool"),
    [((2, 1), (3,), 2), ((1, 1, 1), (3, 7), 3), ((0, 2, 1), (5, 3), 1), ((3, 0), (5,), 8), ((3,), (), 2)],
    ids=str,
)
def test_the_mixer_is_its_equation(splits: tuple[int, ...], kernels: tuple[int, ...], pool: int) -> None:
    layer = randomise(CloAttention(12, 3, splits, kernels, pool).double())
    x = torch.randn(2, 12, 11, 8, dtype=torch.float64)
    expected = _attention(layer, x, 4)
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer(x), expected)
    assert len(layer.local) == sum(1 for heads in splits[:-1] if heads)


def test_a_map_smaller_than_the_pool_is_refused_in_a_sentence() -> None:
    layer = CloAttention(4, 2, (1, 1), (3,), pool=4)
    for size in ((3, 9), (9, 3)):
        with pytest.raises(ValueError, match=rf"{size[0]}×{size[1]} cannot be pooled by 4"):
            layer(torch.ones(1, 4, *size))
    assert layer(torch.ones(1, 4, 4, 4)).shape == (1, 4, 4, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        (6, 4, (2, 2), (3,), 1),
        (6, 3, (1, 1), (3,), 1),
        (6, 3, (-1, 4), (3,), 1),
        (6, 3, (2, 1), (), 1),
        (6, 3, (2, 1), (3, 5), 1),
        (6, 3, (2, 1), (4,), 1),
        (6, 3, (2, 1), (3,), 0),
        (6, 0, (0, 0), (3,), 1),
    ],
    ids=str,
)
def test_mixers_that_cannot_be_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"heads|odd"):
        CloAttention(*arguments)


def test_other_layers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="4 heads do not divide 6 channels"):
        AttnConv(6, 4, 3)
    with pytest.raises(ValueError, match="must be odd, not 2"):
        AttnConv(6, 3, 2)
    with pytest.raises(ValueError, match="must be odd, not 4"):
        ConvFFN(6, 12, 4)


@pytest.mark.parametrize("stride", [1, 2])
def test_conv_ffn_is_its_equation(stride: int) -> None:
    layer = randomise(ConvFFN(4, 7, 5, out_channels=3, stride=stride).double())
    x = torch.randn(2, 4, 9, 6, dtype=torch.float64)
    t = F.conv2d(x, layer.expand.weight, layer.expand.bias)
    t = 0.5 * t * (1 + torch.erf(t / 2**0.5))
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, stride=stride, padding=2, groups=7)
    expected = F.conv2d(t, layer.project.weight, layer.project.bias)
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer.float()(x.float()), expected)


def test_the_norm_is_over_all_values_of_a_picture() -> None:
    norm, x = randomise(PictureNorm(5).double()), 3 * torch.randn(2, 5, 4, 7, dtype=torch.float64) + 2
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
    gamma, beta = (p.view(1, 5, 1, 1) for p in (norm.weight, norm.bias))
    assert_close(norm(x), gamma * (x - mean) / (variance + 1e-5).sqrt() + beta)


def _block(**fields: Any) -> CloBlock:
    block = randomise(CloBlock(6, 3, (2, 1), (3,), pool=2, hidden=9, **fields).double())
    assert isinstance(block, CloBlock)
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return block


def test_the_block_is_its_equation() -> None:
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    block = _block()
    y = x + block.mixer(block.norm1(x))
    assert_close(block(x), y + block.feedforward(block.norm2(y)))


def test_the_last_block_of_a_stage_takes_its_shortcut_from_the_map_that_is_not_normalised() -> None:
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    block = _block(next_channels=5)
    y = x + block.mixer(block.norm1(x))
    shortcut = block.shortcut
    assert shortcut.convolution.groups == 1
    z = F.conv2d(y, shortcut.convolution.weight, shortcut.convolution.bias, stride=2, padding=2)
    expected = shortcut.project(shortcut.norm(z)) + block.feedforward(block.norm2(y))
    assert expected.shape == (2, 5, 5, 4)
    assert_close(block(x), expected)
    with torch.no_grad():
        assert_close(block(x), expected)


def test_batch_statistics_are_used_and_kept_in_training_alone() -> None:
    block, x = _block(next_channels=5), torch.randn(2, 6, 9, 7, dtype=torch.float64)
    norm = block.shortcut.norm
    before = norm.running_mean.clone()
    evaluated = block(x)
    assert torch.equal(norm.running_mean, before)
    trained = block.train()(x)
    assert not torch.equal(norm.running_mean, before)
    assert not torch.allclose(trained, evaluated)


def test_pictures_skip_branches_in_training_alone() -> None:
    block, x = _block(drop_path=0.5), torch.randn(64, 6, 2, 2, dtype=torch.float64)
    assert torch.equal(block(x), block(x))
    y, mixed = block.train().mixed(x), block.mixer(block.norm1(x))
    skipped = (y == x).flatten(1).all(1)
    assert 8 < int(skipped.sum()) < 56
    assert_close(y[~skipped], (x + 2 * mixed)[~skipped])
