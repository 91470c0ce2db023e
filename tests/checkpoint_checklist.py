"""The questions that `test_contracts.py` asks every golden checkpoint: functions that take its row and a directory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from contracts import CheckpointRow
from pellucid import checkpoints
from pellucid.errors import CheckpointError
from tolerances import assert_close

State = dict[str, Tensor]

WRAPPERS: Mapping[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state, "params": {name: t + 1 for name, t in state.items()}},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{}]}},
    "model": lambda state: {"model": state, "iteration": 7},
}


def official_state(row: CheckpointRow) -> State:
    """The golden tensors under the authors' names, without a wrapper."""
    return checkpoints.read_weight_file(row.path).tensors


def load(row: CheckpointRow) -> torch.nn.Module:
    """The golden network."""
    return checkpoints.load(row.path, **row.settings)


def assert_same_weights(path: Path, expected: torch.nn.Module, row: CheckpointRow | None = None) -> None:
    """Check that the file, in the authors' layout if its row is given, loads to the very parameters of the network."""
    settings = {} if row is None else row.settings
    actual, wanted = checkpoints.load(path, **settings).state_dict(), expected.state_dict()
    assert actual.keys() == wanted.keys()
    assert all(torch.equal(actual[name], wanted[name]) for name in wanted)


def assert_refused(path: Path, **settings: Any) -> None:
    """Check that the file is refused as it should be: in one sentence that names it."""
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(path, **settings)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    assert len(sentence.replace(str(path), "")) < 500


def golden_output_is_met(row: CheckpointRow, directory: Path) -> None:
    """The authors' output for the authors' input, with and without gradients being recorded."""
    del directory
    recorded = load_file(row.path.with_name(f"{row.name}.io.safetensors"))
    inputs = [recorded[name] for name in sorted(recorded) if name.startswith("input")]
    network = load(row)
    assert not network.training
    assert_close(network(*inputs), recorded["output"], torch.float32)
    network.requires_grad_(True)
    assert_close(network(*inputs), recorded["output"], torch.float32)


def every_key_is_used_once(row: CheckpointRow, directory: Path) -> None:
    """Our names translate to exactly the names of the file, less those named as left out, and none to the same."""
    del directory
    described = checkpoints.describe(row.path, **row.settings)
    assert described.system == row.system
    assert described.official
    translated = [checkpoints.SYSTEMS[row.system].official_name(name) for name in described.tensors]
    assert sorted([*translated, *described.dismissed]) == sorted(official_state(row))
    assert all(described.dismissed.values())


def every_wrapper_is_taken_off(row: CheckpointRow, directory: Path) -> None:
    """The ways in which training code saves weights, with and without the prefix of parallel training."""
    expected, state = load(row), official_state(row)
    for name, wrap in WRAPPERS.items():
        for prefix in ("", "module."):
            path = directory / f"{name}{prefix}pth"
            torch.save(wrap({f"{prefix}{key}": tensor for key, tensor in state.items()}), path)
            assert_same_weights(path, expected, row)


def nothing_comes_from_the_name(row: CheckpointRow, directory: Path) -> None:
    """Contents decide: another name, another suffix or the old torch format change nothing."""
    expected = load(row)
    content = row.path.read_bytes()
    for name in ("x", "deraining.safetensors", "gaussian_gray_denoising_sigma50.pth", "a b é.bin"):
        (directory / name).write_bytes(content)
        assert_same_weights(directory / name, expected, row)
    save_file(official_state(row), directory / "authors.pth")
    assert_same_weights(directory / "authors.pth", expected, row)
    torch.save(official_state(row), directory / "old.pth", _use_new_zipfile_serialization=False)
    assert_same_weights(directory / "old.pth", expected, row)


def saving_and_loading_changes_nothing(row: CheckpointRow, directory: Path) -> None:
    """Our own file holds the same network, bit for bit; in half precision, within the table."""
    network, path = load(row), directory / "own.safetensors"
    checkpoints.save(network, row.system, path)
    assert_same_weights(path, network)
    described = checkpoints.describe(path)
    assert (described.system, described.official) == (row.system, False)
    assert described.config == checkpoints.describe(row.path, **row.settings).config
    for dtype in (torch.float16, torch.bfloat16):
        checkpoints.save(network, row.system, path, dtype=dtype)
        for name, tensor in checkpoints.load(path).state_dict().items():
            wanted = network.state_dict()[name]
            assert tensor.dtype == wanted.dtype
            if tensor.is_floating_point():
                assert_close(tensor, wanted, dtype)


def misfits_are_refused(row: CheckpointRow, directory: Path) -> None:
    """A tensor missing, one too many, one of another shape, one that is not a number: each is refused."""
    state, path = official_state(row), directory / "misfit.pth"
    dismissed = checkpoints.describe(row.path, **row.settings).dismissed
    used = [name for name in state if name not in dismissed]
    for name in (used[0], used[len(used) // 2], used[-1]):
        tensor, others = state[name], {key: t for key, t in state.items() if key != name}
        grown = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 1)
        for misfit in (
            others,
            {**state, f"{name}_2": tensor},
            {**others, name: grown},
            {**others, name: tensor[None]},
            {**others, name: torch.full_like(tensor, torch.nan)},
            {**others, name: torch.full_like(tensor, torch.inf)},
        ):
            torch.save({"params": misfit}, path)
            assert_refused(path, **row.settings)


CHECKPOINT_QUESTIONS: tuple[Callable[[CheckpointRow, Path], None], ...] = (
    golden_output_is_met,
    every_key_is_used_once,
    every_wrapper_is_taken_off,
    nothing_comes_from_the_name,
    saving_and_loading_changes_nothing,
    misfits_are_refused,
)
