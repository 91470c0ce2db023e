"""What stands around the weights in the authors' files: settings, prefixes, discriminators."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from checkpoint_checklist import assert_refused, assert_same_weights
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.errors import UsageError

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
