import dataclasses
from typing import Any

import pytest
import torch

from checklist import randomise
from pellucid.models.gfnet import GFNET_PRESETS, GFNet, GFNetConfig
from pellucid.models.gfnet_h import GFNETH_PRESETS, GFNetH, GFNetHConfig
from tolerances import assert_close

TINY: dict[str, Any] = {"classes": 5, "image_size": 24, "patch_size": 4, "width": 6, "depth": 2}
TINY_H: dict[str, Any] = {
    "classes": 5,
    "image_size": 24,
    "patch_size": 2,
    "widths": (4, 6, 8),
    "depths": (1, 2, 1),
    "mlp_ratios": (2.0, 2.0, 1.5),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> GFNet:
    network = randomise(GFNet(GFNetConfig(**{**TINY, **fields})))
    assert isinstance(network, GFNet)
    return network


def _tiny_h(**fields: Any) -> GFNetH:
    network = randomise(GFNetH(GFNetHConfig(**{**TINY_H, **fields})))
    assert isinstance(network, GFNetH)
    return network


@pytest.mark.parametrize(
    ("network", "config", "parameters"),
    [
        (GFNet, GFNET_PRESETS["ti"], 7_511_784),
        (GFNet, GFNET_PRESETS["xs"], 15_985_768),
        (GFNet, GFNET_PRESETS["s"], 24_869_608),
        (GFNet, GFNET_PRESETS["b"], 43_120_616),
        (GFNetH, GFNETH_PRESETS["ti"], 15_085_096),
        (GFNetH, GFNETH_PRESETS["s"], 32_162_632),
        (GFNetH, GFNETH_PRESETS["b"], 53_744_200),
    ],
)
def test_presets_have_the_released_networks_parameters(network: Any, config: Any, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in network(config).parameters()) == parameters


def test_filters_of_the_hierarchy_are_as_large_as_its_grids() -> None:
    with torch.device("meta"):
        network = GFNetH(GFNETH_PRESETS["s"])
    shapes = [tuple(blocks[0].filter.complex_weight.shape[:2]) for blocks in network.stages]
    assert shapes == [(56, 29), (28, 15), (14, 8), (7, 4)]
    assert GFNetHConfig(image_size=200).grids == (50, 25, 12, 6)
    assert GFNetHConfig(image_size=32).grids == (8, 4, 2, 1)


@pytest.mark.parametrize(("make", "size"), [(_tiny, (27, 26)), (_tiny_h, (25, 25))])
def test_what_fills_no_patch_is_not_seen(make: Any, size: tuple[int, int]) -> None:
    network = make()
    image = torch.rand(2, 3, *size)
    seen = image[:, :, :24, :24]
    with torch.no_grad():
        assert_close(network(image), network(seen))


def test_logits_are_the_head_on_the_mean_of_the_features() -> None:
    network, image = _tiny(), torch.rand(2, 3, 24, 32)
    with torch.no_grad():
        features = network.features(image)
        assert features.shape == (2, 6, 6, 8)
        assert_close(network(image), features.mean((2, 3)) @ network.head.weight.T + network.head.bias)


def test_the_pyramid_has_a_map_for_each_stage() -> None:
    network, image = _tiny_h(), torch.rand(2, 3, 25, 40)
    with torch.no_grad():
        maps = network.pyramid(image)
        assert [tuple(m.shape) for m in maps] == [(2, 4, 12, 20), (2, 6, 6, 10), (2, 8, 3, 5)]
        features = network.features(image)
        assert_close(features, network.norm(maps[-1]))
        assert_close(network(image), features.mean((2, 3)) @ network.head.weight.T + network.head.bias)


@pytest.mark.parametrize("make", [_tiny, _tiny_h])
def test_without_classes_the_mean_of_the_features_is_returned(make: Any) -> None:
    network, image = make(classes=0), torch.rand(1, 3, 24, 24)
    assert not any(name.startswith("head") for name in network.state_dict())
    with torch.no_grad():
        assert_close(network(image), network.features(image).mean((2, 3)))


@pytest.mark.parametrize(("make", "size"), [(_tiny, (3, 40)), (_tiny, (40, 3)), (_tiny_h, (7, 40)), (_tiny_h, (9, 7))])
def test_an_image_that_is_too_small_is_refused(make: Any, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]} × {size[1]} is smaller than"):
        make()(torch.rand(1, 3, *size))


def test_hidden_widths_are_truncated_and_come_back_from_their_ratio() -> None:
    assert GFNetConfig(width=384, mlp_ratio=2.66).hidden == 1021
    for width, hidden in ((46, 122), (92, 244), (7, 3), (384, 1021)):
        assert GFNetConfig(width=width, mlp_ratio=hidden / width).hidden == hidden


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"width": 2**15},
        {"depth": 0},
        {"depth": 513},
        {"classes": -1},
        {"in_channels": 0},
        {"patch_size": 0},
        {"image_size": 3},
        {"image_size": 5000, "patch_size": 1},
        {"image_size": 24.0},
        {"mlp_ratio": 0.1},
        {"mlp_ratio": 65.0},
        {"mlp_ratio": float("nan")},
        {"layer_scale": float("nan")},
        {"layer_scale": float("inf")},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        GFNetConfig(**{**TINY, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"widths": (4, 6)},
        {"widths": (4, 0, 8)},
        {"depths": (1, 2)},
        {"depths": (1, 0, 1)},
        {"depths": (500, 10, 3)},
        {"mlp_ratios": (2.0, 2.0)},
        {"mlp_ratios": (2.0, 0.1, 2.0)},
        {"mlp_ratios": (2.0, 2.0, float("nan"))},
        {"widths": (), "depths": (), "mlp_ratios": ()},
        {"widths": (4,) * 9, "depths": (1,) * 9, "mlp_ratios": (2.0,) * 9},
        {"image_size": 7},
        {"image_size": 4096, "patch_size": 1},
        {"patch_size": 0},
        {"layer_scale": float("nan")},
    ],
    ids=str,
)
def test_hierarchies_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        GFNetHConfig(**{**TINY_H, **fields})


def test_configurations_are_frozen_and_keyword_only() -> None:
    for config in (GFNetConfig(), GFNetHConfig()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.classes = 3  # type: ignore[misc]
        with pytest.raises(TypeError):
            type(config)(3)  # type: ignore[misc]
    for presets in (GFNET_PRESETS, GFNETH_PRESETS):
        with pytest.raises(TypeError):
            presets["mine"] = presets["s"]  # type: ignore[index]
