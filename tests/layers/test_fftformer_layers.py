"""What the contracts do not ask: each layer against its equation, written with plain operators."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from checklist import many_stripes, randomise
from pellucid.layers import DFFN, FSAS
from pellucid.ops.pixel_product import PixelMap
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _patches(x: Tensor) -> Tensor:
    return x.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # B C H/8 W/8 8 8


def _picture(patches: Tensor) -> Tensor:
    return patches.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _plain_fsas(layer: FSAS, y: Tensor) -> Tensor:
    """The specification's four steps."""
    t = F.conv2d(y, layer.qkv.weight, layer.qkv.bias)
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, padding=1, groups=t.shape[1])
    q, k, v = t.chunk(3, dim=1)
    A = _picture(torch.fft.irfft2(torch.fft.rfft2(_patches(q)) * torch.fft.rfft2(_patches(k)), s=(8, 8)))
    mean, variance = A.mean(1, keepdim=True), A.var(1, keepdim=True, correction=0)
    gamma, beta = (p.view(1, -1, 1, 1) for p in (layer.norm.weight, layer.norm.bias))
    normalised = gamma * (A - mean) / (variance + 1e-5).sqrt() + beta
    return F.conv2d(v * normalised, layer.project.weight, layer.project.bias)


def _plain_dffn(layer: DFFN, x: Tensor) -> Tensor:
    """The specification's four steps, for a weight that is the same in conjugate bins."""
    t = F.conv2d(x, layer.expand.weight, layer.expand.bias)
    t = _picture(torch.fft.irfft2(layer.spectral_weight[:, None, None] * torch.fft.rfft2(_patches(t)), s=(8, 8)))
    t = F.conv2d(t, layer.depthwise.weight, layer.depthwise.bias, padding=1, groups=t.shape[1])
    t1, t2 = t.chunk(2, dim=1)
    return F.conv2d(0.5 * t1 * (1 + torch.erf(t1 / 2**0.5)) * t2, layer.project.weight, layer.project.bias)


def _symmetric(layer: DFFN) -> DFFN:
    with torch.no_grad():
        for v in (0, 4):
            weight = layer.spectral_weight[:, :, v].clone()
            layer.spectral_weight[:, :, v] = (weight + weight.flip(1).roll(1, 1)) / 2
    return layer


@pytest.mark.parametrize("bias", [False, True])
def test_fsas_is_its_equation(bias: bool) -> None:
    layer, y = randomise(FSAS(3, bias).double()), torch.randn(2, 3, 40, 16, dtype=torch.float64)
    expected = _plain_fsas(layer, y)
    assert_close(layer(y), expected)
    with torch.no_grad():
        assert_close(layer(y), expected)
        with many_stripes():
            assert_close(layer(y), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_dffn_is_its_equation(bias: bool) -> None:
    layer, x = _symmetric(randomise(DFFN(3, 5, bias).double())), torch.randn(2, 3, 40, 16, dtype=torch.float64)
    expected = _plain_dffn(layer, x)
    assert_close(layer(x), expected)
    with torch.no_grad():
        assert_close(layer(x), expected)
        with many_stripes():
            assert_close(layer(x), expected)


@pytest.mark.parametrize("layer", [FSAS(3, bias=True), DFFN(3, 4, bias=True)], ids=["FSAS", "DFFN"])
def test_other_sizes_are_padded_with_zeros_and_cropped(layer: torch.nn.Module) -> None:
    x = torch.randn(1, 3, 21, 10)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert_close(layer(x), layer(F.pad(x, (0, 6, 0, 3)))[..., :21, :10])


@pytest.mark.parametrize("layer", [FSAS(2), DFFN(2, 3)], ids=["FSAS", "DFFN"])
def test_a_picture_is_really_cut_into_stripes(layer: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which no value can show, as they are the same."""
    rows: list[int] = []

    class Recording(PixelMap):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            rows.append(x.shape[2])
            return super().__call__(x)

    monkeypatch.setattr(__import__(type(layer).__module__, fromlist=["PixelMap"]), "PixelMap", Recording)
    with torch.no_grad(), many_stripes():
        layer(torch.randn(1, 2, 24, 8))
    assert len(rows) == 3
    assert sum(rows) == 24


def test_spectral_weights_start_at_one() -> None:
    assert torch.equal(DFFN(2, 3).spectral_weight, torch.ones(6, 8, 5))
