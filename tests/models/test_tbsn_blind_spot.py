"""TBSN cannot see what it predicts, given its channel-attention matrices; and the test that shows it has teeth.

All pixels of one parity class are replaced by random values. With the matrices of the first run, the outputs of that
class must be the same bits. Networks that are wrong in one place, however small its part, must be caught.
"""

from collections.abc import Callable, Generator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blind_spot_leak import CLASSES, leak, others, outputs
from checklist import many_stripes
from pellucid.layers import MaskedWindowAttention, OverlapPatchEmbed
from pellucid.models.tbsn import TBSN, LatticeFeedForward, TBSNConfig
from pellucid.ops.lattices import from_lattices, to_lattices

TINY: dict[str, Any] = {"width": 8, "blocks": (1, 1, 1), "refinement": 1}


@pytest.fixture(autouse=True)
def _seeded() -> Generator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def _network(dtype: torch.dtype = torch.float64, **fields: Any) -> TBSN:
    return TBSN(TBSNConfig(**{**TINY, **fields})).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [(64, 64), (32, 96), (64, 32)], ids=str)
def test_a_pixel_sees_none_of_its_own_class(size: tuple[int, int], dtype: torch.dtype) -> None:
    network = _network(dtype)
    picture = 255 * torch.rand(2, 3, *size, dtype=dtype)
    for a, b in CLASSES:
        first, second = outputs(network, a, b, picture)
        assert torch.equal(first[..., a::2, b::2], second[..., a::2, b::2])
        for other in set(CLASSES) - {(a, b)}:
            assert not torch.equal(first[..., other[0] :: 2, other[1] :: 2], second[..., other[0] :: 2, other[1] :: 2])


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 16},
        {"norm_bias": True, "bias": True, "embed_bias": True},
        {"window": 4, "overlaps": (8, 4, 12)},
        {"window": 16, "overlaps": (20, 16, 24)},
        {"blocks": (1, 1), "channel_heads": (2, 2), "window_heads": (1, 1), "overlaps": (12, 16)},
    ],
    ids=str,
)
def test_no_configuration_sees_its_own_class(fields: dict[str, Any]) -> None:
    network = _network(**fields)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))  # the centre tap, too
    assert leak(network) == 0


def test_nor_does_one_that_works_in_stripes() -> None:
    with many_stripes():
        assert leak(_network()) == 0


def test_where_the_picture_is_padded_the_reflection_does_not_show_a_pixel_to_itself() -> None:
    """Reflection keeps parity where the last row is even, as row r becomes row 2(H − 1) − r."""
    network = _network()
    for a, b in CLASSES:
        first, second = outputs(network, a, b, 255 * torch.rand(1, 3, 43, 61, dtype=torch.float64))
        assert torch.equal(first[..., a::2, b::2], second[..., a::2, b::2])


class _InThePicture(nn.Module):
    """Computes in the picture what ought to be computed on its lattices."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return to_lattices(self.function(from_lattices(x)))

    on_lattices = forward


def _seeing_the_centre(network: TBSN) -> None:
    """The embedding's centre tap is not masked."""
    embed = OverlapPatchEmbed(3, network.config.width).double()
    embed.convolution.weight.copy_(network.embed.convolution.weight)
    embed.convolution.weight[:, :, 1, 1] = 0.1
    network.embed = embed


def _moving_pixels(network: TBSN) -> None:
    """Pixel-unshuffle and pixel-shuffle between levels 1 and 2, where patches should move."""
    down, up = network.downs[0], network.ups[-1]
    network.downs[0] = _InThePicture(lambda x: F.pixel_unshuffle(down.convolution(x), 2))
    network.ups[-1] = _InThePicture(lambda x: F.pixel_shuffle(up.convolution(x), 2))


class _FeedForward(nn.Module):
    """A feed-forward layer with its first convolution replaced."""

    def __init__(self, layer: LatticeFeedForward, expand: nn.Module) -> None:
        super().__init__()
        self.layer, self.expand = layer, expand

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + self.layer.project(F.gelu(self.expand(y)))


def _mixing_neighbours(network: TBSN) -> None:
    """One convolution of one feed-forward layer without dilation."""
    block = network.latent[0]
    block.window_feedforward = _FeedForward(block.window_feedforward, _InThePicture(block.window_feedforward.expand))


class _Unmasked(nn.Module):
    """M-WSA with its mask forgotten, in the picture: every pixel of the overlapping window is a key."""

    def __init__(self, layer: MaskedWindowAttention, mask_put_back: bool) -> None:
        super().__init__()
        self.layer, self.mask_put_back = layer, mask_put_back

    def on_lattices(self, x: Tensor) -> Tensor:
        layer, picture = self.layer, from_lattices(x)
        B, _, H, W = picture.shape
        d, w, o = layer.height.shape[1], layer.window, layer.window + 2 * layer.reach
        q, k, v = layer.qkv(picture).chunk(3, dim=1)
        q = F.unfold(q, w, stride=w).view(B, -1, d, w * w, H // w * (W // w)).permute(0, 4, 1, 3, 2) * d**-0.5
        k, v = (F.unfold(t, o, padding=layer.reach, stride=w).view(B, -1, d, o * o, q.shape[1]) for t in (k, v))
        offset = torch.arange(o) - torch.arange(w)[:, None] + o - 1
        position = layer.height[offset][:, None, :, None] + layer.width[offset][:, None, :]
        scores = q @ k.permute(0, 4, 1, 2, 3) + torch.einsum("buhid,ijd->buhij", q, position.view(w * w, o * o, d))
        if self.mask_put_back:
            even = (offset + o - 1) % 2 == 0
            scores = scores.masked_fill(~(even[:, None, :, None] & even[:, None, :]).view(w * w, o * o), -torch.inf)
        y = scores.softmax(-1) @ v.permute(0, 4, 1, 3, 2)
        y = F.fold(y.permute(0, 2, 4, 3, 1).reshape(B, -1, y.shape[1]), (H, W), w, stride=w)
        return to_lattices(layer.project(y))


def _without_a_mask(network: TBSN, mask_put_back: bool = False) -> None:
    """The mask of M-WSA is missing, in the latent stage only."""
    network.latent[0].window_attention = _Unmasked(network.latent[0].window_attention, mask_put_back)


MUTANTS = [_seeing_the_centre, _moving_pixels, _mixing_neighbours, _without_a_mask]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_every_mutant_is_caught(mutate: Callable[[TBSN], None]) -> None:
    network = _network()
    assert leak(network) == 0
    mutate(network)
    assert leak(network) > 0


def test_the_mutants_differ_from_the_network_in_nothing_but_their_fault() -> None:
    """With the fault put right, the mutants' own code gives what the network gives."""
    network, picture = _network(), 255 * torch.rand(1, 3, 64, 64, dtype=torch.float64)
    expected = network(picture)
    _without_a_mask(network, mask_put_back=True)
    torch.testing.assert_close(network(picture), expected, rtol=1e-10, atol=1e-10)
    down, block = network.downs[0], network.latent[0]
    network.downs[0] = _InThePicture(down)
    weight = block.window_feedforward.expand.weight
    dilated = _InThePicture(lambda x: F.conv2d(x, weight, padding=2, dilation=2))
    block.window_feedforward = _FeedForward(block.window_feedforward, dilated)
    torch.testing.assert_close(network(picture), expected, rtol=1e-10, atol=1e-10)


def test_minimal_filtering_is_as_blind() -> None:
    """It runs where there are many channels, so the little networks of these tests do without."""
    with mock.patch("pellucid.ops.local_feedforward.fast._FEWEST_CHANNELS", 1):
        network = _network()
        assert leak(network) == 0
        _mixing_neighbours(network)
        assert leak(network) > 0


def test_live_matrices_carry_a_trace() -> None:
    """What is left of a class in sums over all pixels: small, and not nothing; a missing mask would hide behind it."""
    network, picture = _network(), 255 * torch.rand(1, 3, 64, 64, dtype=torch.float64)
    change = float((network(picture) - network(others(0, 0, picture)))[..., ::2, ::2].abs().max())
    assert 0 < change < 0.1


def test_the_released_layout_is_blind_once_loaded(tmp_path) -> None:
    """Whatever a file holds in the centre tap."""
    from pellucid import checkpoints
    from pellucid.checkpoints import tbsn

    state = {tbsn.official_name(name): t.float() for name, t in _network().state_dict().items()}
    state["patch_embed.proj.weight"][:, :, 1, 1] = 3e-4
    torch.save(state, tmp_path / "a.pth")
    network = checkpoints.load(tmp_path / "a.pth", window_size=8).double()
    assert torch.equal(network.embed.convolution.weight[:, :, 1, 1], torch.zeros(8, 3, dtype=torch.float64))
    assert leak(network) == 0
