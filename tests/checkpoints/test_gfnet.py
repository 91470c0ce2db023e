import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from checklist import randomise
from checkpoint_checklist import assert_refused, assert_same_weights
from contracts import CHECKPOINTS
from pellucid import checkpoints
from pellucid.checkpoints import gfnet, gfnet_h
from pellucid.models.gfnet import GFNET_PRESETS, GFNet, GFNetConfig
from pellucid.models.gfnet_h import GFNETH_PRESETS, GFNetH, GFNetHConfig

SMALL = GFNetConfig(classes=7, image_size=32, patch_size=8, width=12, depth=2)
SMALL_H = GFNetHConfig(
    classes=7, image_size=32, widths=(4, 6, 8, 10), depths=(1, 2, 1, 1), mlp_ratios=(4.0, 4.0, 4.0, 4.0)
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _in_the_authors_layout(network: GFNet | GFNetH) -> dict[str, torch.Tensor]:
    adapter = gfnet if isinstance(network, GFNet) else gfnet_h
    state = {adapter.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    return state


def _network(config: GFNetConfig | GFNetHConfig, **fields: Any) -> Any:
    config = dataclasses.replace(config, **fields)
    return randomise(GFNet(config) if isinstance(config, GFNetConfig) else GFNetH(config))


CASES = [
    (SMALL, {}),
    (SMALL, {"patch_size": 4, "image_size": 28}),
    (SMALL, {"image_size": 72, "width": 9, "depth": 1}),
    (SMALL, {"in_channels": 1, "mlp_ratio": 3.0}),
    (SMALL, {"width": 46, "mlp_ratio": 2.66}),
    (SMALL, {"layer_scale": 1.0}),
    (SMALL, {"classes": 0}),
    (SMALL, {"depth": 11}),
    (SMALL_H, {}),
    (SMALL_H, {"image_size": 64, "depths": (1, 1, 3, 2)}),
    (SMALL_H, {"layer_scale": None, "image_size": 100}),
    (SMALL_H, {"mlp_ratios": (8.0, 6.0, 4.0, 2.5), "in_channels": 4}),
    (SMALL_H, {"patch_size": 2, "classes": 0}),
    (SMALL_H, {"widths": (5, 7), "depths": (2, 11), "mlp_ratios": (4.0, 4.0)}),
]


@pytest.mark.parametrize(("config", "fields"), CASES, ids=str)
def test_a_random_network_comes_back_from_the_authors_layout(config: Any, fields: Any, tmp_path: Path) -> None:
    """Bit for bit, from a PyTorch and from a safetensors file."""
    network = _network(config, **fields)
    state = _in_the_authors_layout(network)
    torch.save({"model": state, "epoch": 300, "scaler": {}}, tmp_path / "authors.pth")
    save_file(state, tmp_path / "authors.safetensors")
    image = torch.rand(2, network.config.in_channels, 40, 67)
    with torch.no_grad():
        expected = network(image)
        for path in tmp_path.iterdir():
            loaded: Any = checkpoints.load(path)
            assert type(loaded) is type(network)
            assert (loaded.config.image_size, loaded.config.hidden) == (
                network.config.image_size // network.config.patch_size * network.config.patch_size,
                network.config.hidden,
            )
            assert (loaded.config.layer_scale is None) == (network.config.layer_scale is None)
            assert torch.equal(loaded(image), expected)


@pytest.mark.parametrize(
    ("adapter", "network", "presets"), [(gfnet, GFNet, GFNET_PRESETS), (gfnet_h, GFNetH, GFNETH_PRESETS)]
)
def test_the_released_networks_are_told_apart_by_their_tensors(adapter: Any, network: Any, presets: Any) -> None:
    for config in presets.values():
        with torch.device("meta"):
            state = _in_the_authors_layout(network(config))
        assert [name for name, system in checkpoints.SYSTEMS.items() if system.recognise(state)] == [
            "gfnet" if adapter is gfnet else "gfnet-h"
        ]
        inferred = adapter.infer_config(state)
        assert dataclasses.replace(inferred, layer_scale=config.layer_scale) == config


def test_no_other_golden_file_is_taken_for_a_gfnet() -> None:
    for row in CHECKPOINTS:
        tensors = checkpoints.read_weight_file(row.path).tensors
        assert gfnet.recognise(tensors) == (row.system == "gfnet")
        assert gfnet_h.recognise(tensors) == (row.system == "gfnet-h")


def test_names_are_translated_as_the_specification_lists_them() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(GFNet(dataclasses.replace(SMALL, layer_scale=1.0)))
        hierarchical = _in_the_authors_layout(GFNetH(SMALL_H))
    listed = {
        "pos_embed": (1, 16, 12),
        "patch_embed.proj.weight": (12, 3, 8, 8),
        "patch_embed.proj.bias": (12,),
        "blocks.1.norm1.weight": (12,),
        "blocks.1.filter.complex_weight": (4, 3, 12, 2),
        "blocks.1.norm2.bias": (12,),
        "blocks.0.mlp.fc1.weight": (48, 12),
        "blocks.0.mlp.fc2.weight": (12, 48),
        "blocks.0.gamma": (12,),
        "norm.weight": (12,),
        "head.weight": (7, 12),
    }
    assert {name: tuple(state[name].shape) for name in listed} == listed
    listed = {
        "pos_embed": (1, 64, 4),
        "patch_embed.0.proj.weight": (4, 3, 4, 4),
        "patch_embed.3.proj.weight": (10, 8, 2, 2),
        "blocks.1.1.filter.complex_weight": (4, 3, 6, 2),
        "blocks.3.0.mlp.fc2.bias": (10,),
        "blocks.2.0.gamma": (8,),
        "norm.bias": (10,),
        "head.bias": (7,),
    }
    assert {name: tuple(hierarchical[name].shape) for name in listed} == listed


@pytest.mark.parametrize("config", [SMALL, SMALL_H])
def test_layers_that_the_network_never_applies_are_left_out(config: Any, tmp_path: Path) -> None:
    network = _network(config)
    unused = {
        "pre_logits.fc.weight": torch.ones(3, 3),
        "pre_logits.fc.bias": torch.ones(3),
        "head_dist.weight": torch.ones(2, 2),
        "aux_head.weight": torch.ones(2, 2),
    }
    path = tmp_path / "a.pth"
    torch.save({"model": {**_in_the_authors_layout(network), **unused}}, path)
    assert_same_weights(path, network)
    assert checkpoints.describe(path).dismissed == dict.fromkeys(unused, "not used by the network")


@pytest.mark.parametrize("config", [SMALL, SMALL_H])
@pytest.mark.parametrize("misfit", ["pos_embed", "filter.complex_weight", "mlp.fc1.weight", "gamma"])
def test_blocks_that_disagree_are_refused(config: Any, misfit: str, tmp_path: Path) -> None:
    """A position embedding that is not square, or a last block unlike the first."""
    state = _in_the_authors_layout(_network(config, layer_scale=1.0))
    name = [name for name in state if name.endswith(misfit)][-1]
    if misfit == "gamma":
        del state[name]
    else:
        state[name] = torch.cat([state[name], state[name]], dim=1)
    torch.save(state, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


@pytest.mark.parametrize("system", ["gfnet", "gfnet-h"])
def test_presets_survive_saving_and_loading(system: str, tmp_path: Path) -> None:
    network, path = checkpoints.create(system, preset="ti"), tmp_path / "own.safetensors"
    checkpoints.save(network, system, path)
    assert_same_weights(path, network)
    assert checkpoints.describe(path).config == checkpoints.SYSTEMS[system].presets["ti"]
