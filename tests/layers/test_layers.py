"""What the contracts do not ask: each layer against its equation, written with plain operators."""

from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from checklist import many_stripes, randomise
from pellucid.layers import (
    GDFN,
    MDTA,
    BiasFreeLayerNorm,
    ChannelLayerNorm,
    OverlapPatchEmbed,
    PixelShuffleUpsample,
    PixelUnshuffleDownsample,
    mdta,
)
from pellucid.ops.channel_attention import GramStatistics, gram_statistics
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _plain_mdta(layer: MDTA, y: Tensor) -> Tensor:
    """The specification's five steps."""
    B, C, H, W = y.shape
    h = layer.temperature.shape[0]
    t = F.conv2d(y, layer.qkv.weight, layer.qkv.bias)
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, padding=1, groups=3 * C)
    q, k, v = (part.reshape(B, h, C // h, H * W) for part in (t[:, :C], t[:, C : 2 * C], t[:, 2 * C :]))
    q = q / q.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    k = k / k.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    attention = (layer.temperature * (q @ k.mT)).softmax(dim=-1)
    return F.conv2d((attention @ v).reshape(B, C, H, W), layer.project.weight, layer.project.bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_mdta_is_its_equation(heads: int, bias: bool) -> None:
    layer, y = randomise(MDTA(6, heads, bias).double()), torch.randn(2, 6, 29, 7, dtype=torch.float64)
    expected = _plain_mdta(layer, y)
    assert_close(layer(y), expected)
    with torch.no_grad():
        assert_close(layer(y), expected)
        with many_stripes():
            assert_close(layer(y), expected)


def test_mdta_sums_its_statistics_over_several_stripes() -> None:
    layer, y = randomise(MDTA(6, 2).double()), torch.randn(1, 6, 29, 7, dtype=torch.float64)
    parts: list[GramStatistics] = []

    def recorded(q: Tensor, k: Tensor, heads: int, *, overwrite: bool) -> GramStatistics:
        parts.append(gram_statistics(q, k, heads, overwrite=overwrite))
        return parts[-1]

    with torch.no_grad(), many_stripes(), mock.patch.object(mdta, "gram_statistics", recorded):
        layer(y)
    with torch.no_grad():
        q, k, _ = layer.depthwise(layer.qkv(y)).permute(0, 2, 3, 1).chunk(3, dim=-1)
    assert len(parts) == 4
    for total, expected in zip(GramStatistics.total(parts), gram_statistics(q, k, 2), strict=True):
        assert_close(total, expected)


def test_mdta_starts_with_temperature_one_per_head() -> None:
    assert torch.equal(MDTA(6, 3).temperature, torch.ones(3, 1, 1))


@pytest.mark.parametrize(("channels", "heads"), [(6, 4), (3, 2), (1, 2)])
def test_mdta_refuses_heads_that_do_not_divide_the_channels(channels: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"{heads} heads do not divide {channels} channels"):
        MDTA(channels, heads)


@pytest.mark.parametrize("bias", [False, True])
def test_gdfn_is_its_equation(bias: bool) -> None:
    layer, x = randomise(GDFN(5, 7, bias).double()), torch.randn(2, 5, 27, 4, dtype=torch.float64)
    t = F.conv2d(x, layer.expand.weight, layer.expand.bias)
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, padding=1, groups=14)
    activated = 0.5 * t[:, :7] * (1 + torch.erf(t[:, :7] / 2**0.5))
    expected = F.conv2d(activated * t[:, 7:], layer.project.weight, layer.project.bias)
    assert_close(layer(x), expected)
    with torch.no_grad(), many_stripes():
        assert_close(layer(x), expected)


def test_norms_are_their_equations() -> None:
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64) + 2
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    biased, bias_free = randomise(ChannelLayerNorm(5).double()), randomise(BiasFreeLayerNorm(5).double())
    gamma, beta = (p.view(1, 5, 1, 1) for p in (biased.weight, biased.bias))
    assert_close(biased(x), gamma * (x - mean) / (variance + 1e-5).sqrt() + beta)
    expected = bias_free.weight.view(1, 5, 1, 1) * x / (variance + 1e-5).sqrt()
    assert_close(bias_free(x), expected)
    with torch.no_grad():
        assert_close(bias_free(x), expected)


def test_norms_start_as_the_identity_of_scale() -> None:
    for norm in (ChannelLayerNorm(4), BiasFreeLayerNorm(4)):
        assert torch.equal(norm.weight, torch.ones(4))
    assert torch.equal(ChannelLayerNorm(4).bias, torch.zeros(4))


def test_resampling_moves_pixels_as_the_specification_says() -> None:
    """PixelUnshuffle: y[4c+2i+j, u, v] = x[c, 2u+i, 2v+j]; PixelShuffle is its inverse."""
    down, up = PixelUnshuffleDownsample(4), PixelShuffleUpsample(4)
    x = torch.randn(1, 4, 6, 10)
    convolved, unshuffled = down.convolution(x), down(x)
    for c, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(2)).tolist():
        assert torch.equal(unshuffled[:, 4 * c + 2 * i + j], convolved[:, c, i::2, j::2])
    convolved, shuffled = up.convolution(x), up(x)
    for c, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(2)).tolist():
        assert torch.equal(shuffled[:, c, i::2, j::2], convolved[:, 4 * c + 2 * i + j])


def test_embedding_and_resampling_have_no_biases() -> None:
    for layer in (OverlapPatchEmbed(3, 4), PixelUnshuffleDownsample(4), PixelShuffleUpsample(4)):
        assert [name for name, _ in layer.named_parameters()] == ["convolution.weight"]
