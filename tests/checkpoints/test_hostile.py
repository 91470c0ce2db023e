"""Files made to run code, or to make us build something absurd: refused at once, with nothing run."""

import builtins
import io
import json
import os
import pickle
import signal
import tarfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from checkpoint_checklist import assert_refused
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.errors import CheckpointError


class Bomb:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def _bombs(canary: Path) -> list[Bomb]:
    python = f"open({str(canary)!r}, 'w').close()"
    return [
        Bomb(os.system, f"touch '{canary}'"),
        Bomb(builtins.exec, python),
        Bomb(builtins.eval, python),
        Bomb(builtins.open, str(canary), "w"),
        Bomb(Path.touch, canary),
        Bomb(torch.load, str(canary) + ".pkl", None, None, False),  # would read the second stage without protection
    ]


def _torch_zip(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _torch_legacy(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _torchscript(content: object) -> bytes:
    """A zip that torch takes for TorchScript, whose loader would read it in another way."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _old_tar(content: object) -> bytes:
    """The format of torch before 0.2, which is unpacked and unpickled in three parts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


FORMATS: dict[str, Callable[[object], bytes]] = {
    **{f"pickle-{protocol}": lambda content, p=protocol: pickle.dumps(content, protocol=p) for protocol in range(6)},
    "torch-zip": _torch_zip,
    "torch-legacy": _torch_legacy,
    "torchscript": _torchscript,
    "tar": _old_tar,
    "safetensors-like": lambda content: b"12345678{" + pickle.dumps(content),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("written", FORMATS.values(), ids=FORMATS)
def test_no_code_is_run(written: Callable[[object], bytes], suffix: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / f"bomb{suffix}"
    (tmp_path / "canary.pkl").write_bytes(pickle.dumps(Bomb(builtins.open, str(canary), "w")))
    for bomb in _bombs(canary):
        for content in (bomb, {"params": {"a": torch.ones(1), "b": bomb}}, {"params": {"a": torch.ones(1)}, "x": bomb}):
            path.write_bytes(written(content))
            assert_refused(path)
            assert not canary.exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    """The test above has teeth."""
    for bomb in _bombs(tmp_path / "canary")[:5]:
        result = pickle.loads(pickle.dumps(bomb))
        if isinstance(result, io.IOBase):
            result.close()
        assert (tmp_path / "canary").exists()
        (tmp_path / "canary").unlink()


class TookTooLong(BaseException):
    """Not an Exception, so that no handler takes it for an ordinary failure."""


@contextmanager
def _within(seconds: float) -> Generator[None, None, None]:
    """Stop what needs more processor time than this; the clock on the wall says little on a shared machine."""
    if not hasattr(signal, "setitimer"):  # Windows: no such alarm; the test then only checks the refusal
        yield
        return
    armed = True

    def stop(*_: object) -> None:
        if armed:
            raise TookTooLong(f"more than {seconds} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # again and again: one raised in a destructor is lost
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _own_file(path: Path, stored: str) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"pellucid": stored})


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "not json",
        "[]",
        "3",
        "null",
        "{}",
        "[" * 100_000,
        '{"system": "restormer", "config": {"width": ' + "9" * 10_000 + "}}",
        '{"system": "restormer"}',
        '{"system": "restormer", "config": []}',
        '{"system": "unknown", "config": {}}',
        '{"system": ["restormer"], "config": {}}',
        '{"system": "a\\nb", "config": {}}',
        '{"system": null, "config": {}}',
    ],
    ids=range(14),
)
def test_metadata_that_is_no_configuration_is_refused(stored: str, tmp_path: Path) -> None:
    _own_file(tmp_path / "own.safetensors", stored)
    assert_refused(tmp_path / "own.safetensors")


@pytest.mark.parametrize(
    "lie",
    [
        {},  # the default configuration, which these tensors are not
        {"unknown_field": 1},
        {"width": "48"},
        {"width": None},
        {"width": 4.5},
        {"width": [4]},
        {"width": {}},
        {"width": 0},
        {"width": -48},
        {"width": 7},
        {"width": 10**6},
        {"width": 10**15},
        {"width": 10**30},
        {"in_channels": -3, "out_channels": -3},
        {"in_channels": 10**18, "out_channels": 10**18},
        {"blocks": 4},
        {"blocks": "1111"},
        {"blocks": None},
        {"blocks": [1.0, 1, 1, 1]},
        {"blocks": [[1], 1, 1, 1]},
        {"blocks": [1, 1]},
        {"blocks": [], "heads": []},
        {"blocks": [1] * 5000, "heads": [1] * 5000},
        {"blocks": [10**9, 1, 1, 1]},
        {"blocks": [1, 1, 1, 10**5]},
        {"refinement": 10**9},
        {"refinement": -1},
        {"refinement": "many"},
        {"heads": [0, 1, 1, 1]},
        {"heads": [5, 1, 1, 1]},
        {"heads": ["1", 1, 1, 1]},
        {"heads": [-1, -1, -1, -1]},
        {"expansion": 1e308},
        {"expansion": float("nan")},
        {"expansion": float("inf")},
        {"expansion": "2"},
        {"expansion": -1},
        {"unshuffle": 0},
        {"unshuffle": -2},
        {"unshuffle": 10**9},
        {"unshuffle": 1.5},
        {"dual_pixel": True, "unshuffle": 2},
        {"bias": "yes"},
        {"norm_bias": 7},
    ],
    ids=lambda lie: json.dumps(lie)[:40],
)
def test_a_configuration_that_lies_is_refused_at_once(lie: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    _own_file(path, json.dumps({"system": "restormer", "config": lie}))
    with _within(3):
        assert_refused(path)


@pytest.mark.parametrize("width", [0, 1, 10**6, 10**12, 10**15])
def test_shapes_that_cost_nothing_to_write_are_refused_at_once(width: int, tmp_path: Path) -> None:
    """A tensor of any size is a few bytes in a torch file when all its values are one and the same."""
    state = torch.load(GOLDEN / "restormer_color_biasfree.pth", weights_only=True)["params"]
    path = tmp_path / "wide.pth"
    torch.save({**state, "patch_embed.proj.weight": torch.zeros(1).expand(width, 3, 3, 3)}, path)
    with _within(3):
        assert_refused(path)


@pytest.mark.parametrize(
    "name",
    [
        "patch_embed.proj.weight",
        "output.weight",
        "encoder_level1.0.attn.temperature",
        "latent.0.attn.temperature",
        "encoder_level1.0.ffn.project_out.weight",
        "latent.0.ffn.project_out.weight",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 0), (0, 1, 1), (5, 1, 1), (0, 0, 0, 0), (7, 5, 3, 3)], ids=str)
def test_shapes_from_which_sizes_are_read_may_be_anything(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    state = torch.load(GOLDEN / "restormer_color_biasfree.pth", weights_only=True)["params"]
    torch.save({**state, name: torch.zeros(shape)}, tmp_path / "odd.pth")
    with _within(3):
        assert_refused(tmp_path / "odd.pth")


def test_reading_alone_runs_no_code_either(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps(Bomb(os.system, f"touch '{tmp_path / 'canary'}'")))
    for entry in (checkpoints.read_weight_file, checkpoints.describe, checkpoints.load):
        with pytest.raises(CheckpointError):
            entry(path)
    assert not (tmp_path / "canary").exists()
