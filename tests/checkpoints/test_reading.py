"""Damaged and odd files: each is refused in one sentence that names it. Hostile ones are in test_hostile.py."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from checklist import randomise
from checkpoint_checklist import assert_refused
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import restormer
from pellucid.errors import PellucidError
from pellucid.models.restormer import Restormer, RestormerConfig

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """A small network in the authors' layout."""
    torch.manual_seed(0)
    config = RestormerConfig(width=2, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), refinement=1, norm_bias=False)
    network = randomise(Restormer(config))
    return {restormer.official_name(name): tensor for name, tensor in network.state_dict().items()}


def _save(state: Any, path: Path) -> bytes:
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_cut_anywhere_is_refused(state: State, suffix: str, tmp_path: Path) -> None:
    whole = _save(state, tmp_path / f"whole{suffix}")
    checkpoints.load(tmp_path / f"whole{suffix}")
    path = tmp_path / f"cut{suffix}"
    for length in (0, 1, 7, 8, 9, 10, 100, 1000, len(whole) // 4, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize(
    "content",
    [
        b"not a network\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 104\n",
        b"<!DOCTYPE html><html><title>404 Not Found</title></html>\n" * 50,
        b'{"params": {"a": 1}}\n',
        b"12345678{ and then text",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00.",
        b"\x80\x04.",
        b"(lp0\n.",
        bytes(4096),
        bytes(range(256)) * 4,
        "ein Bild, kein Netz — ünïcödé".encode(),
    ],
    ids=range(12),
)
def test_something_else_under_any_name_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert_refused(path)


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path)
    assert_refused(tmp_path / "missing.pth")
    assert_refused(tmp_path / ("long" * 100))
    assert_refused(tmp_path / "zero\0byte.pth")


def _tensor_header(**fields: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **fields}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{not json", 0),
        (b"{}", 0),
        (b'{"__metadata__": {"format": "pt"}}', 0),
        (b'{"__metadata__": {"pellucid": 3}}', 0),
        (b'{"a": ' + b'{"a": ' * 5000 + b"}" * 5001, 0),
        ({"a": _tensor_header(), "b": _tensor_header()}, 4),  # overlap
        ({"a": _tensor_header(), "b": _tensor_header(data_offsets=[8, 12])}, 12),  # hole
        ({"a": _tensor_header(data_offsets=[0, 400])}, 4),
        ({"a": _tensor_header(data_offsets=[4, 0])}, 4),
        ({"a": _tensor_header(data_offsets=[-4, 0])}, 4),
        ({"a": _tensor_header(shape=[2])}, 4),
        ({"a": _tensor_header(shape=[-1])}, 4),
        ({"a": _tensor_header(shape=[2**40, 2**40])}, 4),
        ({"a": _tensor_header(shape="1")}, 4),
        ({"a": _tensor_header(dtype="F33")}, 4),
        ({"a": 3}, 4),
        ({"a": _tensor_header()}, 100),  # surplus data
        ({"a": _tensor_header()}, 4),  # sound, but no network
    ],
    ids=range(18),
)
def test_a_safetensors_file_that_lies_about_itself_is_refused(header: Any, data: int, tmp_path: Path) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    assert_refused(path)


@pytest.mark.parametrize("announced", [11, 100_000_000, 100_000_001, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_a_header_longer_than_the_file_is_refused(announced: int, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(struct.pack("<Q", announced) + b'{"a": {}}\n')
    assert_refused(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"params": {}},
        {"params": {"a": "text"}},
        {"params": {"a": torch.ones(1), "b": 3}},
        {"a": 3},
        {1: torch.ones(1)},
        {("a", "b"): torch.ones(1)},
        {"params": [torch.ones(1)]},
        {"params": None},
        [torch.ones(1)],
        torch.ones(3),
        None,
        "text",
        {"conv.weight": torch.ones(1)},
        {"optimizer": {"a": torch.ones(1)}, "epoch": 3},
    ],
    ids=range(15),
)
def test_a_torch_file_that_holds_no_network_is_refused(content: Any, tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
        assert_refused(tmp_path / "file.pth")


def test_two_networks_in_one_file_are_refused(state: State, tmp_path: Path) -> None:
    golden = [
        torch.load(GOLDEN / f"restormer_{name}.pth", weights_only=True)["params"]
        for name in ("color_biasfree", "gray_withbias")
    ]
    names = list(state)
    for mixed in (
        {**golden[0], **golden[1]},
        {**golden[1], **golden[0]},
        {**state, **{f"module.{name}": tensor for name, tensor in state.items()}},
        {(f"module.{name}" if name in names[::2] else name): tensor for name, tensor in state.items()},
        {**state, **{f"backbone.{name}": tensor for name, tensor in state.items()}},
    ):
        torch.save({"params": mixed}, tmp_path / "mixed.pth")
        assert_refused(tmp_path / "mixed.pth")


@pytest.mark.parametrize(
    "odd",
    [
        lambda t: t.to(torch.complex64),
        lambda t: t.to_sparse(),
        lambda t: t.to("meta"),
        lambda t: t > 0,
        lambda t: t.to(torch.int8),
    ],
    ids=["complex", "sparse", "meta", "bool", "int8"],
)
def test_tensors_that_are_no_real_weights_are_refused(odd: Any, state: State, tmp_path: Path) -> None:
    name = "encoder_level1.0.attn.qkv.weight"
    torch.save({**state, name: odd(state[name])}, tmp_path / "odd.pth")
    assert_refused(tmp_path / "odd.pth")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_floats_are_loaded_or_refused(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    name = "encoder_level1.0.attn.qkv.weight"
    path = tmp_path / "odd.safetensors"
    save_file({**state, name: state[name].to(dtype)}, path)
    _load_or_refuse(path)


def _load_or_refuse(path: Path) -> bool:
    try:
        checkpoints.load(path)
    except PellucidError:
        assert_refused(path)
        return False
    return True


@pytest.mark.parametrize("content", ["network", "one tensor"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_bytes_changed_at_random_are_loaded_or_refused(content: str, suffix: str, state: State, tmp_path: Path) -> None:
    """In a whole network most bytes are weights; in one tensor's file nearly all are structure."""
    path, dice = tmp_path / f"file{suffix}", random.Random(0)
    tensors = {name: t.contiguous() for name, t in state.items()} if content == "network" else {"a": torch.ones(2)}
    whole, loaded = _save(tensors, path), 0
    for _ in range(12 if content == "network" else 150):
        changed = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        path.write_bytes(changed)
        loaded += _load_or_refuse(path)
    assert loaded or content == "one tensor"
