import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from checklist import randomise
from checkpoint_checklist import WRAPPERS, assert_refused, assert_same_weights
from pellucid import checkpoints
from pellucid.checkpoints import catnet
from pellucid.errors import CheckpointError, UsageError
from pellucid.models.catnet import CATNet, CATNetConfig
from tolerances import assert_close

TINY: dict[str, Any] = {
    "blocks": (1, 2, 1, 1), "features": 32, "channels": 8, "iterations": 2, "key_channels": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _network(encoder: nn.Module | None = None, **fields: Any) -> CATNet:
    network = randomise(CATNet(CATNetConfig(**{**TINY, **fields}), encoder))
    assert isinstance(network, CATNet)
    return network


EVERY_FIELD = {
    "heads": 2, "mask_mode": "keys", "head": "softmax", "alpha": 5.0, "threshold": 0.6, "dilated_threshold": 0.3,
    "shared_streams": True, "key_channels": 6, "iterations": 3, "blocks": (2, 1, 1, 3), "channels": 12,
}  # fmt: skip


@pytest.mark.parametrize("fields", [{}, EVERY_FIELD], ids=["defaults", "every-field"])
def test_our_own_file_holds_the_whole_configuration(fields: dict[str, Any], tmp_path: Path) -> None:
    network, path = _network(**fields), tmp_path / "own.safetensors"
    checkpoints.save(network, "catnet", path)
    loaded = checkpoints.load(path)
    assert loaded.config == network.config
    assert_same_weights(path, network)
    episode = torch.randn(1, 2, 3, 20, 24), torch.rand(1, 2, 20, 24) > 0.5, torch.randn(1, 3, 17, 30)
    with torch.no_grad():
        assert_close(loaded(*episode), network(*episode))  # where in memory weights lie moves the last bit


@pytest.mark.parametrize("fields", [{}, EVERY_FIELD], ids=["defaults", "every-field"])
def test_a_bare_file_says_its_sizes_and_the_rest_is_given(fields: dict[str, Any], tmp_path: Path) -> None:
    network, path = _network(**fields), tmp_path / "bare.pth"
    given = {name: value for name, value in fields.items() if name in checkpoints.SYSTEMS["catnet"].settings}
    for wrap in WRAPPERS.values():
        torch.save(wrap(dict(network.state_dict())), path)
        loaded = checkpoints.load(path, **given)
        assert loaded.config == network.config
        assert all(torch.equal(t, network.state_dict()[name]) for name, t in loaded.state_dict().items())


def test_other_settings_are_refused(tmp_path: Path) -> None:
    torch.save(_network().state_dict(), tmp_path / "bare.pth")
    with pytest.raises(UsageError, match="dilated_threshold"):
        checkpoints.load(tmp_path / "bare.pth", stripe_size=(8, None))
    assert_refused(tmp_path / "bare.pth", heads=3)
    assert_refused(tmp_path / "bare.pth", alpha="much")
    assert_refused(tmp_path / "bare.pth", head="softmax")


def test_a_lost_threshold_does_not_make_another_head(tmp_path: Path) -> None:
    state = _network().state_dict()
    del state["head.t"]
    torch.save(state, tmp_path / "bare.pth")
    assert_refused(tmp_path / "bare.pth")


def _published_code(channels: int = 8) -> dict[str, Tensor]:
    """The names that the authors' code would save, were it mended to run."""
    state = {
        "encoder.backbone.conv1.weight": torch.ones(4, 3, 7, 7),
        "encoder.localconv.weight": torch.ones(channels, 32, 1, 1),
        "t": torch.ones(1),
        "conv_fusion.weight": torch.ones(channels, channels + 1, 1, 1),
        "conv_fusion.bias": torch.ones(channels),
    }
    for module in ("self_attention", "cross_attention"):
        state |= {f"{module}.{name}.weight": torch.ones(channels, channels, 1, 1) for name in ("query", "key", "value")}
        state |= {f"{module}.mlp.{i}.weight": torch.ones(channels, channels) for i in (0, 2)}
        state[f"{module}.norm.weight"] = torch.ones(channels, 4, 4)
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_weights_of_the_published_code_are_refused_with_the_reason(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "published.pth"
    torch.save({f"{prefix}{name}": t for name, t in _published_code().items()}, path)
    assert_refused(path)
    with pytest.raises(CheckpointError, match="do not map onto the paper's network"):
        checkpoints.load(path)


def test_a_file_with_an_encoder_of_ones_own_is_refused_with_what_to_do(tmp_path: Path) -> None:
    network = _network(nn.Conv2d(3, 7, 8, stride=8), blocks=(), features=7)
    checkpoints.save(network, "catnet", tmp_path / "own.safetensors")
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    for path in tmp_path.iterdir():
        assert_refused(path)
        with pytest.raises(CheckpointError, match=r"CATNet\(config, encoder\)"):
            checkpoints.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [1, 1]},
        {"blocks": 3},
        {"blocks": None},
        {"features": "many"},
        {"channels": 10**9},
        {"iterations": 10**6},
        {"mask_mode": ["rows"]},
        {"alpha": "x"},
        {"head": 3},
        {"surprise": 1},
    ],
    ids=str,
)
def test_configurations_that_lie_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    fields = {**dataclasses.asdict(_network().config), **change}
    metadata = {"pellucid": json.dumps({"system": "catnet", "config": fields})}
    save_file(dict(_network().state_dict()), tmp_path / "own.safetensors", metadata)
    assert_refused(tmp_path / "own.safetensors")


def test_no_other_file_is_taken_for_this_network() -> None:
    assert not catnet.recognise({"reduce.weight": torch.ones(1), "encoder.stem.weight": torch.ones(1)})
    assert not catnet.recognise({"encoder.backbone.conv1.weight": torch.ones(1)})
    assert not catnet.recognise({})
