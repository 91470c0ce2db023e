"""What stands around the weights in the authors' files: settings, prefixes, discriminators."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from checkpoint_checklist import assert_refused, assert_same_weights
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.errors import CheckpointError, UsageError

OFFICIAL = GOLDEN / "restormer_gray_withbias.pth"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return checkpoints.read_weight_file(OFFICIAL).tensors


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return checkpoints.load(OFFICIAL)


class CfgNode(dict[str, Any]):
    """Stored as yacs stores its settings, under the name that it has there."""

    __module__ = "yacs.config"


def test_settings_objects_become_inert(
    state: dict[str, Tensor], network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not built, and their module is not imported: it need not even be there."""
    module = type(sys)("yacs.config")
    monkeypatch.setattr(module, "CfgNode", CfgNode, raising=False)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "yacs", type(sys)("yacs"))
        patched.setitem(sys.modules, "yacs.config", module)
        config = CfgNode(MODEL=CfgNode(NAME="x"))
        torch.save({"model": state, "args": argparse.Namespace(lr=1e-3), "config": config}, tmp_path / "a.pth")
    assert "yacs" not in sys.modules
    assert_same_weights(tmp_path / "a.pth", network)
    assert "yacs" not in sys.modules


class Surprise:
    """A class that nobody announced."""


def test_other_objects_are_still_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save({"model": state, "args": Surprise()}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_the_network_is_taken_from_beside_its_discriminator(
    state: dict[str, Tensor], network: torch.nn.Module, tmp_path: Path
) -> None:
    others = {"model_d.0.weight": torch.ones(3), "best_iter": torch.tensor(3)}
    generator = {f"model_g.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": {**others, **generator}}, tmp_path / "a.pth")
    assert_same_weights(tmp_path / "a.pth", network)
    described = checkpoints.describe(tmp_path / "a.pth")
    assert described.dismissed == dict.fromkeys(others, "serves training only")


@pytest.mark.parametrize("prefix", ["module.", "model.", "bsn.", "module.model.", "model.module."])
def test_prefixes_of_all_names_are_taken_off(
    prefix: str, state: dict[str, Tensor], network: torch.nn.Module, tmp_path: Path
) -> None:
    torch.save({"model_weight": {"denoiser": {prefix + name: t for name, t in state.items()}}}, tmp_path / "a.pth")
    assert_same_weights(tmp_path / "a.pth", network)


def test_settings_are_refused_where_nothing_is_open(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no settings, not depth, width"):
        checkpoints.load(OFFICIAL, width=3, depth=2)
    checkpoints.convert(OFFICIAL, tmp_path / "own.safetensors")
    with pytest.raises(UsageError, match="holds its own configuration"):
        checkpoints.load(tmp_path / "own.safetensors", width=3)


def test_parameters_are_counted() -> None:
    described = checkpoints.describe(OFFICIAL)
    assert checkpoints.count_parameters(described) == 266_162  # from the authors' code


def test_what_weights_are_for_is_kept(network: torch.nn.Module, tmp_path: Path) -> None:
    about = {"task": "sr", "scale": "4"}
    checkpoints.save(network, "restormer", tmp_path / "a.safetensors", about=about)
    assert checkpoints.describe(tmp_path / "a.safetensors").about == about
    checkpoints.save(network, "restormer", tmp_path / "b.safetensors")
    assert checkpoints.describe(tmp_path / "b.safetensors").about == {}
    assert checkpoints.describe(OFFICIAL).about == {}


@pytest.mark.parametrize("about", [3, [1], {"task": 3}, {"task": ["sr"]}], ids=str)
def test_what_weights_are_for_in_another_form_is_refused(
    network: torch.nn.Module, tmp_path: Path, about: object
) -> None:
    checkpoints.save(network, "restormer", tmp_path / "good.safetensors")
    with safe_open(tmp_path / "good.safetensors", "pt") as file:
        stated = json.loads(file.metadata()["pellucid"])
    save_file(network.state_dict(), tmp_path / "a.safetensors", {"pellucid": json.dumps({**stated, "about": about})})
    with pytest.raises(CheckpointError, match="does not make sense"):
        checkpoints.load(tmp_path / "a.safetensors")
