import dataclasses
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from checklist import many_stripes, randomise
from pellucid.models import grl
from pellucid.models.grl import GRL, GRL_PRESETS, GRLConfig, GRLLayer
from tolerances import assert_close

TINY: dict[str, Any] = {
    "width": 8,
    "depths": (2, 1),
    "window_heads": (2, 1),
    "stripe_heads": (1, 2),
    "mlp_width": 12,
    "window_size": 4,
    "stripe_size": (4, 8),
    "anchor_factor": 2,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> GRL:
    network = randomise(GRL(GRLConfig(**{**TINY, **fields})))
    assert isinstance(network, GRL)
    return network


@pytest.mark.parametrize(
    ("preset", "parameters", "multiple"),
    [
        ("tiny-sr2", 885_420, 64),
        ("tiny-sr3", 894_075, 64),
        ("tiny-sr4", 906_192, 64),
        ("small-sr2", 3_340_003, 64),
        ("small-sr3", 3_524_643, 64),
        ("small-sr4", 3_487_715, 64),
        ("base-sr2", 20_053_587, 64),
        ("base-sr3", 20_238_227, 64),
        ("base-sr4", 20_201_299, 64),
        ("base-real-sr4", 20_016_659, 64),
        ("tiny-denoise", 880_227, 128),
        ("tiny-denoise-grey", 877_921, 128),
        ("small-denoise", 3_120_227, 128),
        ("small-denoise-grey", 3_115_617, 128),
        ("base-denoise", 19_805_263, 128),
        ("base-denoise-grey", 19_798_781, 128),
        ("small-jpeg", 3_120_227, 144),
        ("small-jpeg-grey", 3_115_617, 144),
        ("small-demosaic", 3_120_227, 32),
        ("base-deblur", 19_805_263, 96),
        ("base-defocus", 19_805_263, 96),
        ("base-defocus-dual-pixel", 19_810_123, 96),
    ],
)
def test_presets_have_the_released_networks_parameters(preset: str, parameters: int, multiple: int) -> None:
    with torch.device("meta"):
        network = GRL(GRL_PRESETS[preset])
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.config.multiple == multiple


def test_every_preset_is_counted_above() -> None:
    assert len(GRL_PRESETS) == 22


@pytest.mark.parametrize(
    ("preset", "window", "stripe", "factor"),
    [
        ("tiny-sr4", 32, (64, 64), 4),
        ("base-sr2", 32, (64, 64), 2),
        ("base-real-sr4", 16, (32, 64), 4),
        ("small-denoise", 16, (64, 128), 4),
        ("base-denoise-grey", 32, (64, 128), 2),
        ("small-jpeg", 36, (72, 144), 4),
        ("small-demosaic", 8, (32, 32), 4),
        ("base-deblur", 12, (48, 96), 4),
        ("base-defocus-dual-pixel", 16, (48, 96), 4),
    ],
)
def test_presets_cut_the_picture_as_released(preset: str, window: int, stripe: tuple[int, int], factor: int) -> None:
    config = GRL_PRESETS[preset]
    assert (config.window_size, config.stripe_size, config.anchor_factor) == (window, stripe, factor)
    assert config.stripe_shift


def test_layers_come_in_a_cycle_of_four() -> None:
    """Window shifted or not, stripe horizontal or vertical, stripe shifted or not."""
    with torch.device("meta"):
        network = GRL(GRLConfig(**{**TINY, "depths": (5, 1)}))
    cycle = [
        (
            layer.attention.windows.shift[0],
            layer.attention.stripes.layout.vertical,
            layer.attention.stripes.layout.shifted,
        )
        for stage in network.stages
        for layer in stage.layers
    ]
    four = [(2, False, False), (0, True, False), (2, False, True), (0, True, True)]
    assert cycle == [*four, four[0], four[0]]


UPSAMPLERS = [
    ("none", 1, 3, 3),
    ("none", 1, 4, 3),
    ("none", 1, 3, 1),
    ("pixelshuffle", 1, 3, 3),
    ("pixelshuffle", 3, 1, 1),
    ("pixelshuffle", 4, 4, 3),
    ("pixelshuffledirect", 3, 3, 3),
    ("nearest+conv", 4, 3, 3),
]


@pytest.mark.parametrize(("upsampler", "scale", "in_channels", "out_channels"), UPSAMPLERS)
def test_any_size_is_restored(upsampler: str, scale: int, in_channels: int, out_channels: int) -> None:
    network = _tiny(upsampler=upsampler, scale=scale, in_channels=in_channels, out_channels=out_channels)
    for H, W in ((1, 1), (1, 5), (9, 2), (3, 70)):
        with torch.no_grad():
            restored = network(torch.rand(2, in_channels, H, W))
        assert restored.shape == (2, out_channels, scale * H, scale * W)
        assert bool(torch.isfinite(restored).all())


@pytest.mark.parametrize(("upsampler", "scale"), [("pixelshuffle", 3), ("pixelshuffle", 4), ("nearest+conv", 4)])
def test_a_head_gives_the_same_in_stripes(upsampler: str, scale: int) -> None:
    head = randomise(_tiny(upsampler=upsampler, scale=scale).head)
    y = torch.randn(2, 8, 29, 5)
    expected = head(y)
    with torch.no_grad(), many_stripes():
        assert_close(head(y), expected)
        with mock.patch.object(grl, "_HEAD_REACH", 1):
            assert not torch.allclose(head(y), expected)


@pytest.mark.parametrize("size", [(9, 11), (9, 3), (3, 9), (8, 16), (5, 5)])
def test_the_input_is_padded_by_reflection_or_else_by_zeros_on_both_axes(size: tuple[int, int]) -> None:
    network, image = _tiny(), torch.rand(1, 3, *size)
    bottom, right = -size[0] % 8, -size[1] % 8
    mode = "reflect" if bottom < size[0] and right < size[1] else "constant"
    with torch.no_grad():
        whole = network(F.pad(image, (0, right, 0, bottom), mode=mode))
        assert_close(network(image), whole[..., : size[0], : size[1]])


@pytest.mark.parametrize(
    ("window", "stripe", "groups", "factor", "multiple"),
    [
        (4, (4, 8), (None, None), 2, 8),
        (6, (4, 8), (None, None), 2, 24),
        (4, (4, None), (None, 3), 2, 12),
        (4, (None, None), (3, 2), 2, 12),
        (3, (4, 4), (None, None), 4, 12),
    ],
)
def test_height_and_width_are_padded_to_whole_windows_and_stripes(
    window: int, stripe: Any, groups: Any, factor: int, multiple: int
) -> None:
    fields = {"window_size": window, "stripe_size": stripe, "stripe_groups": groups, "anchor_factor": factor}
    assert GRLConfig(**{**TINY, **fields}).multiple == multiple
    with torch.no_grad():
        assert _tiny(**fields)(torch.rand(1, 3, 7, 2 * multiple + 1)).shape == (1, 3, 7, 2 * multiple + 1)


def _silenced(network: GRL) -> GRL:
    with torch.no_grad():
        network.head.output.weight.zero_()
        network.head.output.bias.zero_()
    return network


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_image_is_added_where_the_channels_are_as_many(channels: int) -> None:
    network = _silenced(_tiny(in_channels=channels, out_channels=channels))
    image = torch.rand(1, channels, 9, 11)
    assert_close(network(image), image)


def test_the_dual_pixel_network_adds_no_image_and_no_mean() -> None:
    network = _silenced(_tiny(in_channels=6))
    assert torch.equal(network(torch.rand(1, 6, 9, 11)), torch.zeros(1, 3, 9, 11))


def test_the_mean_of_the_colours_is_taken_off_and_added_again() -> None:
    network = _silenced(_tiny(upsampler="pixelshuffle", scale=2))
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    assert_close(network(torch.rand(1, 3, 4, 4)), mean.expand(1, 3, 8, 8))
    seen: list[torch.Tensor] = []
    network.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 8, 8)
    network(image)
    assert_close(seen[0], image - mean)


def test_training_drops_branches_at_a_rate_that_grows_with_depth() -> None:
    with torch.device("meta"):
        network = GRL(GRLConfig(**TINY))
    assert [layer.drop for stage in network.stages for layer in stage.layers] == pytest.approx([0, 0.05, 0.1])


def test_a_dropped_branch_leaves_the_picture_as_it_was() -> None:
    layer = randomise(GRLLayer(GRLConfig(**TINY), stage=0, index=0, drop=0.5)).train()
    x = torch.rand(64, 8, 8, 8)
    untouched = sum(torch.equal(before, after) for before, after in zip(x, layer(x), strict=True))
    assert 4 <= untouched <= 32  # a quarter, as both branches must be left out
    assert not any(torch.equal(before, after) for before, after in zip(x, layer.eval()(x), strict=True))


def test_linear_layers_start_small_and_norms_as_the_identity() -> None:
    network = GRL(GRLConfig(**TINY))
    layer = network.stages[0].layers[0]
    assert float(layer.attention.qkv.weight.detach().std()) < 0.03
    assert not layer.attention.qkv.bias.any()
    assert torch.equal(layer.norm1.weight, torch.ones(8))
    assert_close(layer.attention.windows.position.temperature.exp(), torch.full((2, 1, 1), 10.0))


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": (1,)},
        {"depths": (), "window_heads": (), "stripe_heads": ()},
        {"depths": (0, 1)},
        {"depths": (400, 400)},
        {"width": 0},
        {"width": 9},
        {"width": 2**15},
        {"window_heads": (3, 1)},
        {"stripe_heads": (1, 3)},
        {"stripe_heads": (1, 0)},
        {"in_channels": 0},
        {"out_channels": -1},
        {"mlp_width": 0},
        {"local": True},  # a squeeze of ⌊8 / 18⌋ channels
        {"local": 1},
        {"stripe_shift": None},
        {"window_size": 0},
        {"window_size": 4.0},
        {"stripe_size": (4, None)},
        {"stripe_size": (4, 7)},
        {"stripe_size": (4,)},
        {"stripe_size": (4, 8, 8)},
        {"stripe_groups": (None,)},
        {"stripe_groups": (None, 0)},
        {"anchor_factor": 0},
        {"window_size": 16383},  # windows and stripes would fit together only every 131 064 pixels
        {"upsampler": ""},
        {"upsampler": "bicubic"},
        {"scale": 2},
        {"upsampler": "pixelshuffle", "scale": 5},
        {"upsampler": "pixelshuffle", "scale": 6},
        {"upsampler": "nearest+conv", "scale": 2},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        GRLConfig(**{**TINY, **fields})


def test_a_configuration_is_frozen_and_keyword_only() -> None:
    config = GRLConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        GRLConfig(3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        GRL_PRESETS["mine"] = config  # type: ignore[index]
    assert len(dataclasses.fields(config)) <= 15
