"""What the contracts do not ask: GRL's layers against their equations, and what they keep between calls."""

import copy
import pickle
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checklist import randomise
from pellucid.layers import (
    AnchoredStripeAttention,
    ChannelAttentionBlock,
    MixedAttention,
    WindowAttention,
    continuous_position_bias,
)
from pellucid.layers.anchored_stripe_attention import StripeLayout
from pellucid.layers.continuous_position_bias import ContinuousPositionBias
from pellucid.ops.tile_attention import reference
from tolerances import assert_close

Double = torch.float64


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("tokens", "anchors"), [((3, 3), (3, 3)), ((4, 8), (1, 2)), ((8, 4), (4, 2)), ((1, 2), (1, 1))]
)
def test_position_bias_is_its_equation(tokens: tuple[int, int], anchors: tuple[int, int]) -> None:
    bias = randomise(ContinuousPositionBias(2, hidden=5).double())
    table = bias(tokens, anchors)
    axes: list[list[float]] = []
    for n, a in zip(tokens, anchors, strict=True):
        offset = (n - a) // 2
        c = torch.arange(-(a - 1) - offset, n - offset, dtype=Double)
        u = 8 * c / max(n - 1 - offset, 1)
        axes.append((torch.sign(u) * torch.log2(u.abs() + 1) / 3).tolist())
    assert table.shape == (2, len(axes[0]), len(axes[1]))
    for i, t0 in enumerate(axes[0]):
        for j, t1 in enumerate(axes[1]):
            hidden = F.relu(bias.expand(torch.tensor([t0, t1], dtype=Double)))
            assert_close(table[:, i, j], 16 / (1 + torch.exp(-bias.contract(hidden))))


def test_window_attention_is_its_equation() -> None:
    layer, x = randomise(WindowAttention(6, 2, window_size=4, shifted=True).double()), torch.randn(2, 6, 8, 12).double()
    q, k, v = layer.qkv(x.permute(0, 2, 3, 1)).chunk(3, dim=-1)
    position, window, shift = layer.heads.position, (4, 4), (2, 2)
    table = position(window, window)
    expected = reference.tile_attention(q, k, v, position.temperature, table, window, window, shift, shift)
    assert_close(layer(x), expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("vertical", [False, True])
def test_anchored_stripe_attention_is_its_equation(vertical: bool) -> None:
    layer = AnchoredStripeAttention(6, 2, stripe_size=(6, 4), anchor_factor=2, vertical=vertical, shifted=True)
    layer, x = randomise(layer.double()), torch.randn(2, 6, 12, 24).double()
    tokens, shift = ((4, 6), (2, 3)) if vertical else ((6, 4), (3, 2))
    few, few_shift = (tokens[0] // 2, tokens[1] // 2), (shift[0] // 2, shift[1] // 2)
    q, k, v = layer.qkv(x.permute(0, 2, 3, 1)).chunk(3, dim=-1)
    a = layer.anchor(F.avg_pool2d(x, 2).permute(0, 2, 3, 1))
    gather, read = layer.heads.gather, layer.heads.read
    one, two = gather(tokens, few), read(tokens, few)
    z = reference.tile_attention(a, k, v, gather.temperature, one, few, tokens, few_shift, shift)
    expected = reference.tile_attention(q, a, z, read.temperature, two, tokens, few, shift, few_shift)
    assert_close(layer(x), expected.permute(0, 3, 1, 2))


def test_mixed_attention_is_both_on_half_the_channels_each() -> None:
    """The layers alone, given the rows of its weights that are theirs."""
    mixed = MixedAttention(8, 2, 1, window_size=4, stripe_size=(4, 8), anchor_factor=2, shifted_stripes=True)
    mixed, x = randomise(mixed.double()), torch.randn(2, 8, 8, 16).double()
    q, far = mixed.qkv(x.permute(0, 2, 3, 1)).chunk(2, dim=-1)
    anchors = mixed.anchor(F.avg_pool2d(x, 2).permute(0, 2, 3, 1))
    joined = torch.cat([mixed.windows(q), mixed.stripes(far, anchors)], dim=-1)
    assert_close(mixed(x), mixed.project(joined).permute(0, 3, 1, 2))


def test_channel_attention_block_is_its_equation() -> None:
    layer, x = randomise(ChannelAttentionBlock(6, 3, 2).double()), torch.randn(2, 6, 5, 7).double()
    c = layer.compress(x)
    c = layer.expand(0.5 * c * (1 + torch.erf(c / 2**0.5)))
    squeezed = torch.einsum("bc,sc->bs", c.mean((2, 3)), layer.squeeze.weight[:, :, 0, 0]) + layer.squeeze.bias
    excited = squeezed.clamp_min(0) @ layer.excite.weight[:, :, 0, 0].T + layer.excite.bias
    assert_close(layer(x), c / (1 + torch.exp(-excited))[:, :, None, None])


@pytest.mark.parametrize(
    ("fields", "multiple", "tile", "shift"),
    [
        ({"stripe_size": (8, 16)}, 16, (8, 16), (4, 8)),
        ({"stripe_size": (8, 16), "vertical": True}, 16, (16, 8), (8, 4)),
        ({"stripe_size": (8, None), "stripe_groups": (None, 4)}, 16, (8, 24), (4, 12)),
        ({"stripe_size": (8, None), "stripe_groups": (None, 4), "vertical": True}, 16, (12, 8), (6, 4)),
        ({"stripe_size": (8, None), "stripe_groups": (None, 1)}, 8, (8, 96), (4, 0)),
        ({"stripe_size": (8, None), "stripe_groups": (None, 1), "vertical": True}, 8, (48, 8), (0, 4)),
        ({"stripe_size": (8, 16), "shifted": False}, 16, (8, 16), (0, 0)),
    ],
)
def test_stripes_of_a_picture_of_48_by_96(fields, multiple, tile, shift) -> None:
    layout = StripeLayout(**{"shifted": True, **fields})
    assert (layout.multiple, layout.tile(48, 96), layout.shift(48, 96)) == (multiple, tile, shift)


@pytest.mark.parametrize(
    ("sizes", "groups", "factor"), [((8, None), (None, None), 4), ((8, 6), (None, None), 4), ((2, 8), (None, None), 4)]
)
def test_stripes_that_make_no_sense_are_refused(sizes, groups, factor) -> None:
    with pytest.raises(ValueError, match="a stripe needs a size"):
        AnchoredStripeAttention(8, 2, stripe_size=sizes, stripe_groups=groups, anchor_factor=factor)


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    for make in (WindowAttention, AnchoredStripeAttention):
        with pytest.raises(ValueError, match="4 heads do not divide 6 channels"):
            make(6, 4)
    for channels, heads in ((7, (1, 1)), (8, (3, 2)), (8, (2, 3))):
        with pytest.raises(ValueError, match="heads do not divide the halves"):
            MixedAttention(channels, *heads)


class _Counted:
    """Counts how often a table of position biases is computed."""

    def __init__(self) -> None:
        self.tables, self.compute = 0, continuous_position_bias._table

    def __call__(self, *arguments: object) -> Tensor:
        self.tables += 1
        return self.compute(*arguments)


@pytest.fixture
def counted():
    with mock.patch.object(continuous_position_bias, "_table", _Counted()) as count:
        yield count


def _mixed() -> nn.Module:
    return randomise(MixedAttention(8, 2, 1, window_size=4, stripe_size=(4, 8), anchor_factor=2))


def test_tables_are_computed_once_for_each_size(counted: _Counted) -> None:
    layer = _mixed()
    with torch.no_grad():
        for _ in range(3):
            layer(torch.rand(1, 8, 16, 16))
            layer(torch.rand(2, 8, 11, 33))
        assert counted.tables == 3  # windows, anchors from tokens, tokens from anchors
    with torch.inference_mode():
        layer(torch.rand(1, 8, 16, 16))
    assert counted.tables == 3
    layer(torch.rand(1, 8, 16, 16))
    assert counted.tables == 6, "where a gradient is recorded, nothing is kept"
    layer.requires_grad_(False)(torch.rand(1, 8, 16, 16, requires_grad=True)).sum().backward()
    assert counted.tables == 6, "frozen weights need no gradient"


def _scaled_in_place(layer: nn.Module) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5)


def _loaded(layer: nn.Module) -> None:
    layer.load_state_dict({name: 1.5 * tensor for name, tensor in layer.state_dict().items()})


def _assigned(layer: nn.Module) -> None:
    layer.load_state_dict({name: 1.5 * tensor for name, tensor in layer.state_dict().items()}, assign=True)


def _cast(layer: nn.Module) -> None:
    layer.to(torch.float64)
    _scaled_in_place(layer)
    layer.to(torch.float32)


@pytest.mark.parametrize("change", [_scaled_in_place, _loaded, _assigned, _cast])
def test_tables_follow_their_weights(change: Callable[[nn.Module], None]) -> None:
    layer, x = _mixed(), torch.rand(1, 8, 8, 8)
    with torch.no_grad():
        before = layer(x)
        change(layer)
        fresh = copy.deepcopy(layer)
        assert torch.equal(layer(x), fresh(x))
        assert not torch.equal(layer(x), before)


def test_tables_are_kept_out_of_what_is_saved_and_are_few(counted: _Counted) -> None:
    layer = randomise(ContinuousPositionBias(2))
    names = set(layer.state_dict())
    with torch.no_grad():
        for size in range(2, 40):
            layer((size, size), (size, size))
        assert counted.tables == 38
        assert len(layer._tables._values) < 10
        assert set(layer.state_dict()) == names
        for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert not copied._tables._values
            assert torch.equal(copied((4, 4), (2, 2)), layer((4, 4), (2, 2)))
