"""The systems side by side: no file is taken for another's, and no file of ours can ask for something absurd."""

import json
from contextlib import suppress
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from checkpoint_checklist import assert_refused, official_state
from contracts import CHECKPOINTS, CheckpointRow
from pellucid import checkpoints
from pellucid.checkpoints import SYSTEMS
from pellucid.errors import CheckpointError

ONE_OF_EACH = list({row.system: row for row in CHECKPOINTS}.values())
BY_NAME = pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
BY_SYSTEM = pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: row.system)
# What may stand where a number, a list or a flag is expected.
LIES = (None, "3", -1, 0, 3.5, 2**31, 2**62, 10**400, float("nan"), True, [], [0], [-1, 2], [2**62] * 4, [[1]], {})


@BY_NAME
def test_a_file_is_recognised_by_its_own_system_alone(row: CheckpointRow) -> None:
    state = official_state(row)
    assert [name for name, system in SYSTEMS.items() if system.recognise(state)] == [row.system]


@pytest.mark.parametrize(("first", "second"), list(permutations(ONE_OF_EACH, 2)), ids=lambda row: row.system)
def test_two_systems_in_one_file_are_refused(first: CheckpointRow, second: CheckpointRow, tmp_path: Path) -> None:
    torch.save({**official_state(first), **official_state(second)}, tmp_path / "mixed.pth")
    assert_refused(tmp_path / "mixed.pth")


@BY_SYSTEM
def test_a_file_cut_anywhere_is_refused(row: CheckpointRow, tmp_path: Path) -> None:
    whole, path = row.path.read_bytes(), tmp_path / "cut.pth"
    for eighth in range(8):
        path.write_bytes(whole[: len(whole) * eighth // 8])
        assert_refused(path, **row.settings)


@BY_SYSTEM
def test_a_part_of_the_tensors_is_refused(row: CheckpointRow, tmp_path: Path) -> None:
    state, path = official_state(row), tmp_path / "part.pth"
    names = list(state)
    for kept in (names[: len(names) // 2], names[len(names) // 2 :], names[::2], names[1::2], names[:1]):
        torch.save({name: state[name] for name in kept}, path)
        assert_refused(path, **row.settings)


@BY_SYSTEM
def test_tensors_of_no_or_odd_shape_are_refused(row: CheckpointRow, tmp_path: Path) -> None:
    """Empty tensors, numbers and transposed ones make the inference of the configuration stumble, not crash."""
    state, path = official_state(row), tmp_path / "odd.pth"
    for change in (lambda t: t[:0], lambda _: torch.zeros(()), lambda t: t.flatten(), lambda t: t[None]):
        torch.save({name: change(t) if t.ndim else t[None] for name, t in state.items()}, path)
        assert_refused(path, **row.settings)


@BY_SYSTEM
def test_converted_files_need_no_settings(row: CheckpointRow, tmp_path: Path) -> None:
    checkpoints.convert(row.path, tmp_path / "own.safetensors", **row.settings)
    expected, actual = checkpoints.load(row.path, **row.settings), checkpoints.load(tmp_path / "own.safetensors")
    assert checkpoints.describe(tmp_path / "own.safetensors").config == expected.config
    assert all(torch.equal(t, actual.state_dict()[name]) for name, t in expected.state_dict().items())


def _lying(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**config, field: lie} for field in config for lie in LIES if lie != config[field]]


@BY_SYSTEM
def test_a_configuration_that_lies_is_refused_or_fits(row: CheckpointRow, tmp_path: Path) -> None:
    """Each field in turn becomes nonsense: one sentence, at once, and no network too large to build."""
    path = tmp_path / "own.safetensors"
    checkpoints.convert(row.path, path, **row.settings)
    content = checkpoints.read_weight_file(path)
    stored = json.loads(content.metadata["pellucid"])
    for lie in _lying(stored["config"]):
        save_file(content.tensors, path, metadata={"pellucid": json.dumps({**stored, "config": lie})})
        with suppress(CheckpointError):  # anything else is a defect
            checkpoints.describe(path)


def test_presets_are_built_and_named() -> None:
    for name, system in SYSTEMS.items():
        assert name == name.lower()
        assert system.presets
        for preset, config in system.presets.items():
            assert system.config(**asdict(config)) == config, preset
            assert system.input_rule(config)
        assert system.licence.endswith(".")
